"""The linear SVM against scipy on the same objective, and against scikit-learn's LinearSVC."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import parametrize_with_checks

from tlengine.probes import LinearSVMProbe, LinearSVMProbeCV, from_pretrained


@parametrize_with_checks([LinearSVMProbe(), LinearSVMProbeCV(Cs=[1e-3, 1e-2], cv=3)])
def test_scikit_learn_contract(estimator, check):
    check(estimator)


def hinge_objective(coef, intercept, X, signs, C, weight=1.0):
    """``C * sum(weight * max(0, 1 - t z)^2) + |W|^2 / 2`` in float64; signs (n, columns)."""
    short = np.maximum(0, 1 - signs * (X.astype(float) @ coef.astype(float).T + intercept))
    return C * (short**2 * np.reshape(weight, (-1, 1))).sum() + 0.5 * (coef.astype(float) ** 2).sum()


def optimum(X, signs, C, weight, intercept):
    """The least objective by an independent method, column by column."""
    total = 0.0
    for t in signs.T:

        def value(v, t=t):
            w, b = v[:-1], v[-1] * intercept
            short = np.maximum(0, 1 - t * (X @ w + b))
            slope = -2 * C * weight * short * t
            gradient = np.append(slope @ X + w, slope.sum() * intercept)
            return C * (weight * short**2).sum() + 0.5 * w @ w, gradient

        start = np.zeros(X.shape[1] + 1)
        options = {"maxiter": 20_000, "maxfun": 50_000, "ftol": 0, "gtol": 1e-11, "maxcor": 50}
        total += minimize(value, start, jac=True, method="L-BFGS-B", options=options).fun
    return total


@settings(max_examples=20, deadline=None)
@given(
    n=st.integers(6, 60),
    d=st.integers(1, 30),
    classes=st.integers(2, 4),
    offset=st.sampled_from([0.0, 100.0]),
    intercept=st.booleans(),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 999),
)
def test_certificate_is_true(n, d, classes, offset, intercept, dtype, seed):
    rng = np.random.default_rng(seed)
    X = (rng.normal(size=(n, d)) + offset * intercept).astype(dtype)
    y = np.concatenate([np.arange(classes), rng.integers(0, classes, n - classes)])
    weight = rng.integers(1, 4, n).astype(float)
    probe = LinearSVMProbe(0.1, fit_intercept=intercept).fit(X, y, weight)
    signs = np.where(y[:, None] == (np.arange(classes) if classes > 2 else [1]), 1.0, -1.0)
    ours = hinge_objective(probe.coef_, probe.intercept_, X, signs, 0.1, weight)
    # Centred: the intercept is free, so the optimum is the same and the reference is well conditioned.
    wide = X.astype(float)
    best = optimum(wide - wide.mean(axis=0) * intercept, signs, 0.1, weight, intercept)
    assert probe.converged_
    assert ours == pytest.approx(probe.objective_, rel=1e-9)
    assert ours - probe.gap_bound_ <= best * (1 + 1e-7)
    assert best <= ours * (1 + 1e-7)


def test_as_linear_svc_when_its_intercept_is_as_good_as_free(digits):
    X, y = digits[0].astype(float) / 16, digits[1] % 3
    ours = LinearSVMProbe(0.1, tol=1e-8).fit(X, y)
    theirs = LinearSVC(C=0.1, dual=False, intercept_scaling=1e4, tol=1e-9, max_iter=10_000).fit(X, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=2e-4)
    assert np.array_equal(ours.predict(X), theirs.predict(X))


def test_digits(digits):
    X, y = digits
    probe = LinearSVMProbe(1e-3).fit(X[:1000], y[:1000])
    assert probe.converged_
    assert probe.score(X[1000:], y[1000:]) > 0.92


def test_cross_validation_chooses_the_best_mean_accuracy(digits, tmp_path):
    X, y = (part[:400] for part in digits)
    split = [(np.arange(0, 300), np.arange(300, 400)), (np.arange(100, 400), np.arange(0, 100))]
    cv = LinearSVMProbeCV(Cs=[1e-3, 1e-6], cv=split).fit(X, y)
    for fold, (train, test) in enumerate(split):
        for i, C in enumerate([1e-3, 1e-6]):
            alone = LinearSVMProbe(C).fit(X[train], y[train])
            assert cv.scores_[fold, i] == pytest.approx(alone.score(X[test], y[test]), abs=0.011)
    assert cv.Cs_[cv.scores_.mean(axis=0).argmax()] == cv.C_
    again = from_pretrained(cv.save_pretrained(tmp_path))
    np.testing.assert_array_equal(again.predict(X), cv.predict(X))


def test_several_labels_per_row(digits):
    X, y = digits
    Y = np.stack([y % 2, y > 4, y == 3, np.zeros_like(y)], axis=1)
    probe = LinearSVMProbe(1e-3).fit(X, Y)
    assert probe.converged_
    for label in range(3):
        alone = LinearSVMProbe(1e-3).fit(X, Y[:, label])
        assert (alone.predict(X) == probe.predict(X)[:, label]).mean() > 0.998
    assert not probe.predict(X)[:, 3].any()
