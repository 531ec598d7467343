from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from tests.probes.conftest import objective
from tlengine.errors import InputError, LabelError, NonFiniteError, SingleClassError
from tlengine.probes import probe_path

Cs = [1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3]


def fitted(reference, classes):
    """A scikit-learn model as a path of one C."""
    coef = reference.coef_
    intercept = np.broadcast_to(reference.intercept_, len(coef))
    return SimpleNamespace(coef_=coef[None], intercept_=intercept[None], classes_=classes)


def test_a_cold_fit_at_large_c_converges(digits):
    """The preconditioner of the start is no good at the end: it has to be renewed on the way."""
    for dtype in (np.float32, np.float64):
        path = probe_path(digits[0].astype(dtype), digits[1], [1e5], tol=1e-6)
        assert path.converged_.all()
        assert path.n_iter_[0] < 500


@pytest.mark.parametrize("classes", [2, 10])
def test_objective_within_1e_6_of_scikit_learn_run_to_1e_8(digits, classes):
    X, y = digits[0][::3], digits[1][::3]
    y = y % 2 if classes == 2 else y
    paths = [probe_path(X.astype(dtype), y, Cs, tol=1e-6) for dtype in (np.float32, np.float64)]
    for i, C in enumerate(Cs if classes == 2 else Cs[:5]):
        solver = "newton-cholesky" if classes == 2 else "newton-cg"
        reference = LogisticRegression(C=C, solver=solver, tol=1e-8, max_iter=10_000).fit(X.astype(float), y)
        best = objective(fitted(reference, paths[0].classes_), 0, X, y, C)
        for path in paths:
            assert path.converged_.all()
            ours = objective(path, i, X, y, C)
            assert ours == pytest.approx(path.objective_[i], rel=1e-9)
            assert ours <= best * (1 + 1e-6)
            assert best >= ours - path.gap_bound_[i] - 1e-9 * ours


@pytest.mark.filterwarnings("ignore:Line search of Newton solver")  # the reference, at rounding level
@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(6, 60),
    d=st.integers(1, 40),
    classes=st.integers(2, 5),
    offset=st.sampled_from([0.0, 100.0]),
    intercept=st.booleans(),
    weighted=st.booleans(),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 999),
)
def test_certificate_is_true(n, d, classes, offset, intercept, weighted, dtype, seed):
    """The claimed gap holds against an independent solver, whatever the data."""
    rng = np.random.default_rng(seed)
    X = (rng.normal(size=(n, d)) + offset * intercept).astype(dtype)
    y = np.concatenate([np.arange(classes), rng.integers(0, classes, n - classes)])
    weight = rng.integers(1, 4, n).astype(float) if weighted else None
    path = probe_path(X, y, [0.1, 1.0], sample_weight=weight, fit_intercept=intercept)
    assert path.converged_.all()
    for i, C in enumerate(path.Cs):
        reference = LogisticRegression(
            C=C, fit_intercept=intercept, solver="newton-cholesky", tol=1e-10, max_iter=1000
        ).fit(X.astype(float), y, sample_weight=weight)
        best = objective(fitted(reference, path.classes_), 0, X, y, C, weight)
        ours = objective(path, i, X, y, C, weight)
        assert ours == pytest.approx(path.objective_[i], rel=1e-6)
        assert ours - best <= path.gap_bound_[i] + 1e-6 * best


def test_the_order_of_c_does_not_matter(digits):
    X, y = digits
    shuffled = probe_path(X, y, [1.0, 1e-3, 10.0])
    assert np.array_equal(shuffled.coef_[[1, 0, 2]], probe_path(X, y, [1e-3, 1.0, 10.0]).coef_)


def test_folds_equal_separate_fits_on_their_rows(digits):
    X, y = (part[:600] for part in digits)
    split = (np.arange(0, 400), np.arange(400, 600))
    path = probe_path(X, y, [0.01, 1.0], folds=[split], tol=1e-8)
    alone = probe_path(X[:400], y[:400], [0.01, 1.0], tol=1e-8)
    fold = path.folds[0]
    assert fold.objective_ == pytest.approx(alone.objective_, rel=1e-7)
    Z = X[400:] @ alone.coef_[0].T + alone.intercept_[0]
    accuracy = (Z.argmax(axis=1) == y[400:]).mean()
    loss = (np.logaddexp.reduce(Z, axis=1) - Z[np.arange(200), y[400:]]).mean()
    assert fold.accuracy_[0] == pytest.approx(accuracy, abs=0.006)
    assert fold.log_loss_[0] == pytest.approx(loss, rel=1e-3)


def test_weights_equal_repetition_and_zero_equals_leaving_out(digits):
    X, y = digits[0][:300].astype(float), digits[1][:300]
    weight = np.random.default_rng(0).integers(0, 3, 300)
    weighted = probe_path(X, y, [0.1], sample_weight=weight, tol=1e-10, class_weight="balanced")
    repeated = probe_path(X.repeat(weight, 0), y.repeat(weight), [0.1], tol=1e-10, class_weight="balanced")
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, rtol=0, atol=1e-5)
    assert weighted.objective_ == pytest.approx(repeated.objective_, rel=1e-9)


def test_separable_data_is_recognised(digits):
    X, y = digits
    path = probe_path(X, y, [1e-4, 1.0, 1e4])
    assert path.separable_.tolist() == [False, True, True]
    assert path.converged_.all()


@pytest.mark.parametrize("multi_class", ["multinomial", "ovr"])
def test_patience_ends_the_path_after_the_best_c(digits, multi_class):
    X, y = digits[0][:600], digits[1][:600]
    Cs = np.logspace(3, -6, 10)
    whole = probe_path(X, y, Cs, folds=3, multi_class=multi_class)
    short = probe_path(X, y, Cs, folds=3, patience=2, multi_class=multi_class)
    loss = np.mean([fold.log_loss_ for fold in whole.folds], axis=0)
    kept = short.Cs
    assert len(kept) < 10
    assert kept.tolist() == Cs[-len(kept) :].tolist()
    assert short.coef_.shape == (len(kept), 10, 64)
    assert all(len(fold.log_loss_) == len(fold.Cs) == len(kept) for fold in short.folds)
    np.testing.assert_array_equal(short.coef_, whole.coef_[-len(kept) :])
    assert short.n_passes_.sum() < whole.n_passes_.sum()
    if multi_class == "multinomial":
        best = 9 - loss[::-1].argmin()
        assert Cs[best] == kept[2]


@pytest.mark.parametrize("multi_class", ["multinomial", "ovr"])
def test_patience_outlasts_values_of_c_that_learn_nothing_yet(digits, multi_class):
    X, y = digits[0][:400] / 60, digits[1][:400]
    whole, short = (
        probe_path(X, y, 23, folds=2, patience=patience, multi_class=multi_class) for patience in (None, 2)
    )
    loss = np.mean([fold.log_loss_ for fold in whole.folds], axis=0)
    assert loss[2] > 0.9999 * loss[0]  # three in a row without a gain
    assert 10 < len(short.Cs) < 23
    assert abs(np.mean([fold.log_loss_ for fold in short.folds], axis=0).argmin() - loss.argmin()) <= 1


def test_patience_longer_than_the_path_changes_nothing(digits):
    X, y = digits[0][:300], digits[1][:300]
    short = probe_path(X, y, [1e-4, 1e-2, 1.0], folds=2, patience=3)
    np.testing.assert_array_equal(short.coef_, probe_path(X, y, [1e-4, 1e-2, 1.0], folds=2).coef_)


def test_not_converged_is_said(digits):
    with pytest.warns(ConvergenceWarning, match="not certified"):
        path = probe_path(*digits, [1.0, 100.0], max_iter=3)
    assert not path.converged_.any()
    assert (path.gap_bound_ > 1e-4 * path.objective_).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_first_bad_number_is_named(digits, value):
    X = digits[0].copy()
    X[17, 5] = value
    with pytest.raises(NonFiniteError, match="row 17, column 5") as caught:
        probe_path(X, digits[1])
    assert caught.value.context == {"row": 17, "column": 5}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"y": np.zeros(40)}, SingleClassError, "one class"),
        ({"y": np.linspace(0, 1, 40)}, LabelError, "label type"),
        ({"y": [np.nan] * 40}, LabelError, "row 0: nan"),
        ({"y": [0, 1]}, ValueError, "inconsistent"),
        ({"X": np.zeros((0, 3)), "y": []}, ValueError, "0 sample"),
        ({"X": np.zeros((40, 0))}, ValueError, "0 feature"),
        ({"Cs": 0}, InputError, "Cs=0"),
        ({"Cs": []}, InputError, "empty"),
        ({"Cs": [1.0, -1.0]}, InputError, "C=-1"),
        ({"Cs": [np.nan]}, InputError, "C=nan"),
        ({"tol": 0.0}, InputError, "tol=0"),
        ({"max_iter": 0}, InputError, "max_iter=0"),
        ({"folds": 1}, InputError, "1 folds"),
        ({"patience": 2}, InputError, "patience=2 without held-out rows"),
        ({"patience": 0, "folds": 2}, InputError, "patience=0"),
        ({"multi_class": "auto"}, InputError, "multi_class='auto'"),
        ({"folds": []}, InputError, "empty"),
        ({"folds": [(np.arange(4), np.arange(0))]}, InputError, "no row"),
        ({"folds": [([0, 2, 4], [1, 3])]}, SingleClassError, "fold 0"),
        ({"sample_weight": np.zeros(40)}, InputError, "every sample weight is zero"),
        ({"sample_weight": -np.ones(40)}, ValueError, "[Nn]egative"),
        ({"sample_weight": np.full(40, np.nan)}, NonFiniteError, "sample_weight"),
        ({"n_jobs": 0}, InputError, "threads"),
    ],
)
def test_bad_input(change, error, message):
    arguments = {"X": np.random.default_rng(0).normal(size=(40, 3)), "y": np.arange(40) % 2, "Cs": [1.0]}
    with pytest.raises(error, match=message):
        probe_path(**(arguments | change))


@pytest.mark.parametrize("labels", ["text", "object", "gaps", "bool", "float"])
def test_labels_of_every_kind(labels):
    X = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    code = np.arange(60) % 2 if labels == "bool" else np.arange(60) % 3
    names = {
        "text": np.array(["a", "b", "ü"]), "object": np.array(["x", "y", "z"], object),
        "gaps": np.array([-5, 7, 900]),
        "bool": np.array([False, True]), "float": np.array([1.0, 2.0, 4.0]),
    }[labels]  # fmt: skip
    path = probe_path(X, names[code], [1.0])
    assert path.classes_.tolist() == sorted(names.tolist())
    assert np.array_equal(path.coef_, probe_path(X, code, [1.0]).coef_)


@pytest.mark.parametrize(
    "kind", ["fortran", "strided", "reversed", "readonly", "swapped", "half", "integer", "list"]
)
def test_arrays_of_every_kind_are_not_modified(kind):
    base = np.random.default_rng(0).integers(-8, 8, (50, 4)).astype(np.float32)
    y = np.arange(50) % 3
    X = {
        "fortran": np.asfortranarray(base), "strided": np.repeat(base, 2, axis=1)[:, ::2],
        "reversed": base[::-1][::-1], "readonly": base.copy(), "swapped": base.astype(">f4"),
        "half": base.astype(np.float16), "integer": base.astype(np.int32), "list": base.tolist(),
    }[kind]  # fmt: skip
    if kind == "readonly":
        X.flags.writeable = False
    before = np.array(X)
    path = probe_path(X, y, [1.0], tol=1e-8)
    assert np.array_equal(before, np.array(X))
    assert path.coef_.dtype == (np.float64 if kind in ("swapped", "integer", "list") else np.float32)
    np.testing.assert_allclose(path.coef_, probe_path(base, y, [1.0], tol=1e-8).coef_, atol=2e-4)
