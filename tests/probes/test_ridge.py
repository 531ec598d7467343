import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge, RidgeClassifier
from sklearn.metrics import f1_score, get_scorer
from sklearn.model_selection import KFold
from sklearn.utils.estimator_checks import parametrize_with_checks

from tlengine.data.folds import inner_folds
from tlengine.errors import EmptyInputError, InputError, NonFiniteError, ScoringWarning, ShapeMismatchError
from tlengine.probes import RidgeProbe, RidgeProbeCV, ridge_cv, ridge_path


@parametrize_with_checks([RidgeProbe(), RidgeProbeCV(), RidgeProbeCV(cv=3)])
def test_scikit_learn_contract(estimator, check):
    check(estimator)


@pytest.fixture
def several(digits):
    """Digits that are odd, above four, a three."""
    X, y = digits
    return X.astype(float), np.stack([y % 2 == 1, y > 4, y == 3], axis=1).astype(int)


def test_several_labels_are_columns_of_signs(several):
    X, Y = several
    alphas = np.logspace(-2, 5, 8)
    path = ridge_path(X, 2 * Y - 1, alphas)
    for i in (0, 5):
        probe = RidgeProbe(alpha=alphas[i]).fit(X, Y)
        np.testing.assert_array_equal(probe.coef_, path.coef_[i])
        np.testing.assert_array_equal(probe.intercept_, path.intercept_[i])
        scores = X @ path.coef_[i].T + path.intercept_[i]
        np.testing.assert_array_equal(probe.predict(X), scores > 0)
    chosen = RidgeProbeCV(alphas).fit(X, Y)
    np.testing.assert_array_equal(chosen.scores_, -path.loo_error_.mean(axis=1)[None])
    assert chosen.alpha_ == alphas[path.loo_error_.mean(axis=1).argmin()]
    assert chosen.multilabel_
    assert chosen.classes_.tolist() == [0, 1, 2]


def test_two_labels_are_not_two_classes(several):
    X, Y = several
    probe = RidgeProbe().fit(X, Y[:, :2])
    assert probe.coef_.shape == (2, 64)
    for label in range(2):
        np.testing.assert_allclose(probe.coef_[label], RidgeProbe().fit(X, Y[:, label]).coef_[0], atol=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_left_out_accuracy_of_several_labels_is_that_of_refits(several, weighted):
    X, Y = several[0][:40], several[1][:40]
    weight = np.arange(40) % 3 + 1.0 if weighted else None
    alphas = [1.0, 1e4]
    probe = RidgeProbeCV(alphas, scoring="accuracy").fit(X, Y, sample_weight=weight)
    right = np.zeros((2, 40))
    for row in range(40):
        kept = np.arange(40) != row
        used = None if weight is None else weight[kept]
        for i, alpha in enumerate(alphas):
            fitted = RidgeProbe(alpha).fit(X[kept], Y[kept], sample_weight=used)
            right[i, row] = (fitted.predict(X[row : row + 1]) == Y[row]).mean()
    np.testing.assert_allclose(probe.scores_[0], np.average(right, axis=1, weights=weight))


@pytest.mark.filterwarnings("ignore::tlengine.errors.GridEdgeWarning")  # three penalties are not the point
def test_predictions_in_blocks_are_those_of_one(several, monkeypatch):
    X, Y = several[0][:60], several[1][:60]
    whole = RidgeProbeCV([0.1, 1.0, 10.0], scoring="accuracy").fit(X, Y).scores_
    monkeypatch.setattr(ridge_cv, "_BYTES", 1)
    parts = RidgeProbeCV([0.1, 1.0, 10.0], scoring="accuracy").fit(X, Y).scores_
    np.testing.assert_array_equal(whole, parts)


def _by_hand(scorer, X, y, alphas, pairs, weight=None):
    """(folds, alphas) of a scorer on refits."""
    found = np.zeros((len(pairs), len(alphas)))
    for fold, (rows, held) in enumerate(pairs):
        for i, alpha in enumerate(alphas):
            probe = RidgeProbe(alpha).fit(
                X[rows], y[rows], sample_weight=None if weight is None else weight[rows]
            )
            further = {} if weight is None else {"sample_weight": weight[held]}
            found[fold, i] = get_scorer(scorer)(probe, X[held], y[held], **further)
    return found


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *(("f1_macro", kind) for kind in ("two", "ten", "several")),
        *(("average_precision", kind) for kind in ("two", "ten", "several")),
        *(("balanced_accuracy", kind) for kind in ("two", "ten")),
        *(("roc_auc", kind) for kind in ("two", "several")),
    ],
)
@pytest.mark.parametrize("weighted", [False, True])
def test_any_scorer_on_folds_is_that_of_refits(digits, several, name, kind, weighted):
    X, alphas, pairs = several[0][:300], [1.0, 1e3, 1e6], list(KFold(3).split(np.zeros(300)))
    y = {"two": digits[1] % 2, "ten": digits[1], "several": several[1]}[kind][:300]
    weight = np.arange(300) % 3 + 1.0 if weighted else None
    probe = RidgeProbeCV(alphas, cv=pairs, scoring=name).fit(X, y, sample_weight=weight)
    expected = _by_hand(name, X, y, alphas, pairs, weight)
    np.testing.assert_allclose(probe.scores_, expected, atol=1e-12)
    assert probe.alpha_ == alphas[expected.mean(axis=0).argmax()]


@pytest.mark.parametrize("kind", ["two", "ten", "several"])
def test_any_scorer_sees_the_scores_of_rows_left_out(digits, several, kind):
    X, alphas = several[0][:50], [1.0, 1e4]
    y = {"two": digits[1] % 2, "ten": digits[1], "several": several[1]}[kind][:50]
    left_out = np.stack(
        [
            [
                RidgeProbe(a).fit(np.delete(X, i, 0), np.delete(y, i, 0)).decision_function(X[i : i + 1])[0]
                for i in range(50)
            ]
            for a in alphas
        ]
    )
    seen = []

    def scorer(probe, X, y):
        seen.append((probe.decision_function(X), y))
        return float(len(seen))

    probe = RidgeProbeCV(alphas, scoring=scorer).fit(X, y)
    np.testing.assert_allclose([scores for scores, _ in seen], left_out, atol=1e-8)
    np.testing.assert_array_equal([truth for _, truth in seen], [y, y])
    assert probe.scores_.tolist() == [[1.0, 2.0]]
    assert probe.alpha_ == 1e4


def test_a_scorer_without_a_number_is_said():
    X, y = np.random.default_rng(0).normal(size=(30, 2)), np.arange(30) % 2
    with pytest.raises(InputError, match=r"no score at any alpha.*predict_proba"):
        RidgeProbeCV([1.0, 2.0], scoring="neg_log_loss").fit(X, y)
    with pytest.raises(InputError, match="macro_f1"):
        RidgeProbeCV([1.0, 2.0], scoring="macro_f1").fit(X, y)
    with pytest.warns(ScoringWarning, match="1 of 2 values of alpha") as told:
        probe = RidgeProbeCV([1.0, 2.0], scoring=_fails_first()).fit(X, y)
    assert told[0].filename == __file__
    assert probe.alpha_ == 2.0
    assert np.isnan(probe.scores_).tolist() == [[True, False]]


def _fails_first():
    calls = iter([np.nan, 0.5])
    return lambda probe, X, y: next(calls)


@pytest.mark.parametrize("scoring", ["accuracy", "neg_mean_squared_error"])
def test_folds_of_several_labels(several, scoring):
    X, Y = several
    alphas, pairs = [10.0, 1e5], list(KFold(3).split(X))
    probe = RidgeProbeCV(alphas, cv=pairs, scoring=scoring).fit(X, Y)
    assert RidgeProbeCV(alphas, cv=3, scoring=scoring).fit(X, Y).scores_.shape == (3, 2)
    for fold, (rows, held) in enumerate(pairs):
        path = ridge_path(X[rows], 2 * Y[rows] - 1, alphas)
        scores = X[held] @ path.coef_.transpose(0, 2, 1) + path.intercept_[:, None]
        right = -((scores - (2 * Y[held] - 1)) ** 2)
        if scoring == "accuracy":
            right = (scores > 0) == Y[held]
        np.testing.assert_allclose(probe.scores_[fold], right.mean(axis=(1, 2)))


def test_several_labels_with_groups_and_class_weights(several):
    X, Y = several
    X, Y = np.repeat(X[:60], 4, axis=0), np.repeat(Y[np.random.default_rng(0).permutation(60)], 4, axis=0)
    groups = np.arange(240) // 4
    loose, grouped = RidgeProbeCV().fit(X, Y), RidgeProbeCV().fit(X, Y, groups=groups)
    assert grouped.scores_.shape == (5, 25)
    assert loose.scores_.max() > grouped.scores_.mean(axis=0).max() + 0.3
    with pytest.raises(InputError, match="class_weight with a column per label"):
        RidgeProbe(class_weight="balanced").fit(X, Y)


def test_several_labels_are_pickled(several):
    X, Y = several
    for probe in (RidgeProbe(), RidgeProbeCV([1.0, 10.0])):
        probe.fit(X, pd.DataFrame(Y, columns=["odd", "large", "three"]))
        other = pickle.loads(pickle.dumps(probe))  # noqa: S301 - our own bytes
        assert other.classes_.tolist() == ["odd", "large", "three"]
        np.testing.assert_array_equal(other.predict(X), probe.predict(X))
        assert f1_score(Y, probe.predict(X), average="macro") > 0.8


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(4, 50),
    d=st.integers(1, 60),
    outputs=st.integers(1, 3),
    dtype=st.sampled_from([np.float32, np.float64]),
    intercept=st.booleans(),
    weighted=st.booleans(),
    seed=st.integers(0, 999),
)
def test_path_and_leave_one_out_match_refits(n, d, outputs, dtype, intercept, weighted, seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)).astype(dtype)
    Y = rng.normal(size=(n, outputs))
    weight = rng.integers(0, 3, n).astype(float) if weighted else np.ones(n)
    weight[:3] = 1.0
    path = ridge_path(X, Y, [0.1, 10.0], sample_weight=weight, fit_intercept=intercept)
    for i, alpha in enumerate(path.alphas):
        wide = X.astype(float)
        make = Ridge(alpha=alpha, fit_intercept=intercept)
        expected = make.fit(wide, Y, sample_weight=weight)
        np.testing.assert_allclose(path.coef_[i], expected.coef_.reshape(outputs, d), atol=2e-4)
        errors = []
        used = np.flatnonzero(weight)
        for row in used:
            without = weight.copy()
            without[row] = 0
            refit = make.fit(wide, Y, sample_weight=without)
            errors.append((Y[row] - refit.predict(wide[row : row + 1]).reshape(outputs)) ** 2)
        loo = np.average(errors, axis=0, weights=weight[used])
        np.testing.assert_allclose(path.loo_error_[i], loo, rtol=2e-3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("unit", [1e-18, 1.0, 1e18])
def test_many_penalties_match_the_formula(dtype, unit):
    rng = np.random.default_rng(0)
    X = ((rng.normal(size=(700, 40)) / np.arange(1, 41) + 5) * unit).astype(dtype)
    Y = rng.normal(size=(700, 7)) + X[:, :7].astype(float) / unit
    alphas = np.concatenate([[0.0], np.logspace(-3, 5, 24)]) * unit**2
    path = ridge_path(X, Y, alphas)
    wide = X.astype(float)
    wide, outputs = wide - wide.mean(axis=0), Y - Y.mean(axis=0)
    values, vectors = np.linalg.eigh(wide.T @ wide)
    z = wide @ vectors
    for i, alpha in enumerate(alphas):
        coef = vectors @ ((z.T @ outputs) / (values + alpha)[:, None])
        leverage = 1 / len(X) + (z * z / (values + alpha)).sum(axis=1)
        left = (outputs - wide @ coef) / (1 - leverage)[:, None]
        np.testing.assert_allclose(path.coef_[i] * unit, coef.T * unit, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(path.loo_error_[i], (left**2).mean(axis=0), rtol=2e-6)


def test_classifier_equals_scikit_learn(digits):
    X, y = digits
    for classes in (2, 10):
        target = y % 2 if classes == 2 else y
        ours = RidgeProbe(alpha=10.0, class_weight="balanced").fit(X, target)
        theirs = RidgeClassifier(alpha=10.0, class_weight="balanced").fit(X.astype(float), target)
        np.testing.assert_allclose(ours.coef_, np.atleast_2d(theirs.coef_), atol=1e-5)
        np.testing.assert_allclose(ours.intercept_, theirs.intercept_, atol=1e-4)


def test_leave_one_out_and_folds_choose_alike(digits):
    X, y = digits
    alphas = np.logspace(-2, 5, 8)
    loo = RidgeProbeCV(alphas).fit(X, y)
    folds = RidgeProbeCV(alphas, cv=10).fit(X, y)
    assert loo.scores_.shape == (1, 8)
    assert folds.scores_.shape == (10, 8)
    assert abs(np.log10(loo.alpha_ / folds.alpha_)) <= 1
    accuracy = RidgeProbeCV(alphas, scoring="accuracy").fit(X, y)
    assert 0.9 < accuracy.scores_.max() < 1


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"Y": np.zeros(3)}, ShapeMismatchError),
        ({"Y": np.zeros((20, 0))}, EmptyInputError),
        ({"Y": np.full(20, np.nan)}, NonFiniteError),
        ({"X": np.full((20, 2), np.inf)}, NonFiniteError),
        ({"alphas": []}, InputError),
        ({"alphas": [-1.0]}, InputError),
    ],
)
def test_bad_input(change, error):
    arguments = {"X": np.ones((20, 2)), "Y": np.ones(20), "alphas": [1.0]}
    with pytest.raises(error):
        ridge_path(**(arguments | change))


@pytest.mark.parametrize("scoring", ["accuracy", "neg_mean_squared_error"])
def test_groups_are_left_out_whole(scoring):
    """Random labels, every sample four times: leaving out one row knows them, a group does not."""
    rng = np.random.default_rng(0)
    X, y = np.repeat(rng.normal(size=(60, 80)), 4, axis=0), np.repeat(rng.integers(0, 2, 60), 4)
    groups = np.arange(240) // 4
    probe = RidgeProbeCV([1e-2, 1.0], scoring=scoring)
    loose, grouped = probe.fit(X, y).scores_, probe.fit(X, y, groups=groups).scores_
    same = RidgeProbeCV([1e-2, 1.0], scoring=scoring, cv=inner_folds(y, groups)).fit(X, y)
    assert np.array_equal(grouped, same.scores_)
    assert (loose.mean(axis=0) > grouped.mean(axis=0) + 0.3).all()
    with pytest.raises(ShapeMismatchError, match="groups have shape"):
        probe.fit(X, y, groups=groups[:9])


def test_groups_of_one_row_each_are_left_out_one_by_one(digits):
    X, y = (part[:120] for part in digits)
    alone, loose = RidgeProbeCV().fit(X, y, groups=np.arange(120)), RidgeProbeCV().fit(X, y)
    np.testing.assert_array_equal(alone.scores_, loose.scores_)
