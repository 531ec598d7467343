"""Ridge regression of numbers: scikit-learn's contract, RidgeCV's answers, names kept, all kinds of folds."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks

import tlengine as tl
from tlengine.errors import DtypeError, HeadFormatError, InputError, NonFiniteError, ShapeMismatchError

ALPHAS = np.logspace(-4, 4, 17)


@parametrize_with_checks([tl.RidgeRegressor(), tl.RidgeRegressor(alphas=[0.1, 10.0], fit_intercept=False)])
def test_scikit_learn_contract(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def data():
    """The diabetes rows and three outputs that need different penalties: the disease, noise, and a sum."""
    X, y = load_diabetes(return_X_y=True)
    noise = np.random.default_rng(0).normal(size=len(y))
    return X * 20, np.stack([y / y.std(), noise, X[:, 2] + X[:, 3]], axis=1)


@pytest.mark.parametrize("columns", [0, 1, 2, slice(None)])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("shape", ["tall", "wide"])
def test_alpha_and_predictions_are_those_of_ridge_cv(data, columns, fit_intercept, shape):
    X, y = data[0], data[1][:, columns]
    if shape == "wide":
        X, y = np.hstack([X, np.random.default_rng(1).normal(size=(len(X), 60))])[:50], y[:50]
    ours = tl.RidgeRegressor(ALPHAS, fit_intercept=fit_intercept).fit(X, y)
    theirs = RidgeCV(ALPHAS, fit_intercept=fit_intercept, gcv_mode="svd").fit(X, y)
    assert ours.alpha_ == theirs.alpha_
    assert ours.coef_.shape == theirs.coef_.shape
    assert np.shape(ours.intercept_) == np.shape(theirs.intercept_) or not fit_intercept
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=0, atol=1e-6)
    assert ours.score(X, y) == pytest.approx(theirs.score(X, y), abs=1e-9)


def test_the_error_is_that_of_the_path_and_weights_are_repeats(data):
    X, Y = data
    path = tl.ridge_path(X, Y, ALPHAS)
    model = tl.RidgeRegressor(ALPHAS).fit(X, Y)
    np.testing.assert_array_equal(model.loo_error_, path.loo_error_)
    best = int(model.loo_error_.mean(axis=1).argmin())
    assert model.alpha_ == ALPHAS[best]
    np.testing.assert_array_equal(model.coef_, path.coef_[best])
    weight = np.arange(len(X)) % 3
    one = tl.RidgeRegressor([1.0]).fit(X, Y, sample_weight=weight)
    repeated = tl.RidgeRegressor([1.0]).fit(np.repeat(X, weight, axis=0), np.repeat(Y, weight, axis=0))
    np.testing.assert_allclose(one.coef_, repeated.coef_, atol=1e-9)


def test_groups_are_left_out_whole():
    """Noise, every sample four times: leaving out one row knows its copies, leaving out a group does not."""
    rng = np.random.default_rng(0)
    X, y = np.repeat(rng.normal(size=(60, 80)), 4, axis=0), np.repeat(rng.normal(size=60), 4)
    groups = np.repeat(rng.permutation(60), 4)
    loose = tl.RidgeRegressor([1e-3, 1e3]).fit(X, y)
    grouped = tl.RidgeRegressor([1e-3, 1e3]).fit(X, y, groups=groups)
    assert (loose.alpha_, grouped.alpha_) == (1e-3, 1e3)
    assert grouped.loo_error_[0, 0] > 10 * loose.loo_error_[0, 0]
    np.testing.assert_array_equal(
        tl.RidgeRegressor([1.0]).fit(X, y, groups=np.arange(240)).loo_error_,
        tl.RidgeRegressor([1.0]).fit(X, y).loo_error_,
    )
    weight = np.where(groups < 30, 1.0, 0.0)
    kept = weight > 0
    np.testing.assert_allclose(
        tl.RidgeRegressor([1.0]).fit(X, y, sample_weight=weight, groups=groups).loo_error_,
        tl.RidgeRegressor([1.0]).fit(X[kept], y[kept], groups=groups[kept]).loo_error_,
    )
    with pytest.raises(InputError, match="no two groups"):
        tl.RidgeRegressor().fit(X, y, groups=np.zeros(240))
    with pytest.raises(ShapeMismatchError, match="groups have shape"):
        tl.RidgeRegressor().fit(X, y, groups=groups[:-1])


@pytest.mark.parametrize(
    ("make", "names", "single"),
    [
        (lambda Y: Y, [0, 1, 2], False),
        (lambda Y: Y[:, 0], [0], True),
        (lambda Y: Y[:, :1], [0], False),
        (lambda Y: pd.DataFrame(Y, columns=["disease", "noise", "sum"]), ["disease", "noise", "sum"], False),
        (lambda Y: pd.Series(Y[:, 0], name="disease"), ["disease"], True),
        (lambda Y: pd.Series(Y[:, 0]), [0], True),
        (lambda Y: Y.tolist(), [0, 1, 2], False),
        (lambda Y: pd.DataFrame(Y), [0, 1, 2], False),
    ],
)
def test_names_and_shapes_survive_saving(tmp_path, data, make, names, single):
    X, Y = data
    y = make(Y)
    model = tl.RidgeRegressor([1.0, 10.0]).fit(pd.DataFrame(X, columns=[f"f{i}" for i in range(10)]), y)
    assert model.target_names_.tolist() == names
    predicted = model.predict(pd.DataFrame(X, columns=[f"f{i}" for i in range(10)]))
    assert predicted.shape == np.shape(y)
    assert model.coef_.shape == ((10,) if single else (len(names), 10))
    loaded = tl.RidgeRegressor.from_pretrained(model.save_pretrained(tmp_path))
    for other in (loaded, pickle.loads(pickle.dumps(model))):  # noqa: S301 - our own
        assert other.target_names_.tolist() == names
        assert (other.alpha_, other.rank_) == (model.alpha_, model.rank_)
        assert other.feature_names_in_.tolist() == [f"f{i}" for i in range(10)]
        np.testing.assert_array_equal(
            other.predict(pd.DataFrame(X, columns=other.feature_names_in_)), predicted
        )
        np.testing.assert_array_equal(other.loo_error_, model.loo_error_)
    with pytest.raises(HeadFormatError, match="holds a RidgeRegressor"):
        tl.RidgeProbe.from_pretrained(tmp_path)


def test_folds_of_every_kind():
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(40, 5)), rng.normal(size=(40, 2))
    pairs = list(KFold(4).split(X))
    fitted = [tl.RidgeRegressor([1.0, 9.0], cv=cv).fit(X, Y) for cv in (KFold(4), pairs, iter(pairs))]
    expected = np.zeros((2, 2))
    for rows, held in pairs:
        path = tl.ridge_path(X[rows], Y[rows], [1.0, 9.0])
        predicted = X[held] @ path.coef_.transpose(0, 2, 1) + path.intercept_[:, None]
        expected += ((Y[held] - predicted) ** 2).sum(axis=1) / len(X)
    for model in fitted:
        np.testing.assert_allclose(model.loo_error_, expected)
    weight = (np.arange(40) < 30) * 1.0
    kept = [tuple(part[part < 30] for part in pair) for pair in pairs[:3]]
    np.testing.assert_allclose(
        tl.RidgeRegressor([1.0], cv=pairs[:3]).fit(X, Y, sample_weight=weight).loo_error_,
        tl.RidgeRegressor([1.0], cv=kept).fit(X[:30], Y[:30]).loo_error_,
    )
    assert tl.RidgeRegressor(cv=40).fit(X, Y).loo_error_ == pytest.approx(
        tl.RidgeRegressor().fit(X, Y).loo_error_
    )
    for cv, message in [(1, "cv=1"), (41, "cv=41"), ([], "empty"), ([([0, 1], [])], "score on")]:
        with pytest.raises(InputError, match=message):
            tl.RidgeRegressor(cv=cv).fit(X, Y)
    with pytest.raises(InputError, match="groups beside"):
        tl.RidgeRegressor(cv=pairs).fit(X, Y, groups=np.arange(40))


def test_float32_is_solved_in_float32(data):
    X, Y = data
    model = tl.RidgeRegressor(ALPHAS).fit(X.astype(np.float32), Y)
    wide = tl.RidgeRegressor(ALPHAS).fit(X, Y)
    assert model.coef_.dtype == np.float32
    assert model.alpha_ == wide.alpha_
    np.testing.assert_allclose(model.predict(X.astype(np.float32)), wide.predict(X), atol=1e-4)


def test_scikit_learns_searches_take_it(data):
    X, y = data[0], data[1][:, 0]
    assert cross_val_score(tl.RidgeRegressor(), X, y, scoring="r2").mean() > 0.4
    search = GridSearchCV(tl.RidgeRegressor(), {"alphas": [[1.0], [1e9]]}).fit(X, y)
    assert search.best_params_ == {"alphas": [1.0]}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"y": ["a"] * 20}, DtypeError, "y holds text"),
        ({"y": [None] * 20}, NonFiniteError, "row 0"),
        ({"y": np.r_[np.zeros(7), np.nan, np.zeros(12)]}, NonFiniteError, "row 7, column 0"),
        ({"y": np.zeros((20, 2, 2))}, ShapeMismatchError, "shape"),
        ({"y": np.zeros((20, 0))}, InputError, "nothing to fit"),
        ({"y": np.zeros(19)}, ShapeMismatchError, "19 rows"),
        ({"y": np.zeros(20, complex)}, DtypeError, "Complex"),
        ({"y": 3.0}, ShapeMismatchError, "shape"),
        ({"y": None}, InputError, "requires y"),
        ({"y": pd.DataFrame({"a": np.zeros(20), "b": ["x"] * 20})}, DtypeError, "column 'b'"),
        ({"y": pd.DataFrame(np.zeros((20, 2)), columns=["a", "a"])}, InputError, "2 columns named 'a'"),
        ({"alphas": "1"}, InputError, "alphas='1'"),
        ({"alphas": [-1.0]}, InputError, "alpha=-1"),
        ({"fit_intercept": "yes"}, InputError, "fit_intercept='yes'"),
        ({"sample_weight": ["1"] * 20}, DtypeError, "sample_weight"),
        ({"X": np.full((20, 2), np.nan)}, NonFiniteError, "X contains NaN"),
    ],
)
def test_bad_input(change, error, message):
    arguments = {"X": np.random.default_rng(0).normal(size=(20, 2)), "y": np.arange(20.0), **change}
    fitted = {name: arguments.pop(name) for name in ("X", "y", "sample_weight") if name in arguments}
    with pytest.raises(error, match=message):
        tl.RidgeRegressor(**arguments).fit(**fitted)


@pytest.mark.parametrize(
    "change",
    [
        {"coef_": np.zeros(10)},
        {"coef_": np.zeros((2, 10))},
        {"coef_": np.zeros((3, 9))},
        {"coef_": np.zeros((1, 3, 10))},
        {"intercept_": np.array(0.0)},
        {"intercept_": np.zeros(2)},
        {"loo_error_": np.zeros((1, 2))},
        {"loo_error_": np.zeros((2, 3))},
        {"coef_": np.full((3, 10), np.nan)},
    ],
)
def test_a_model_whose_shapes_do_not_agree_is_refused(tmp_path, data, change):
    model = tl.RidgeRegressor([1.0]).fit(*data)
    for name, array in change.items():
        setattr(model, name, array)
    with pytest.raises(HeadFormatError):
        tl.from_pretrained(model.save_pretrained(tmp_path))
