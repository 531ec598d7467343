"""What goes wrong numerically in other solvers; each case is certified or exact here."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from tests.probes.conftest import objective
from tlengine.probes import LinearProbe, probe_path, ridge_path


def features(n=200, d=12, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    return X, (X[:, 0] + 0.5 * rng.normal(size=n) > 0).astype(int) + (X[:, 1] > 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "change",
    [
        lambda X: X + 1e4,
        lambda X: X * 1e2,
        lambda X: X * 1e-30,
        lambda X: np.hstack([X, 1e3 * X[:, :1]]),
        lambda X: np.hstack([X, X]),
        lambda X: np.hstack([X, np.ones((len(X), 2)), np.zeros((len(X), 2))]),
        lambda X: X[:, :1] * np.ones((1, 30)),
        lambda X: X[:8],
    ],
    ids=["offset", "large", "tiny", "one-large-column", "duplicates", "constants", "rank-one", "few-rows"],
)
def test_hard_features_are_certified(change, dtype):
    X, y = features()
    X = change(X).astype(dtype)
    path = probe_path(X, y[: len(X)], [1e-2, 1.0, 1e2])
    assert path.converged_.all()
    for i, C in enumerate(path.Cs):
        assert objective(path, i, X, y[: len(X)], C) == pytest.approx(path.objective_[i], rel=1e-4)


def test_identical_rows_give_the_class_shares():
    X = np.full((30, 5), 3.0, dtype=np.float32)
    probe = LinearProbe().fit(X, np.arange(30) % 3 // 2)
    assert probe.predict_proba(X[:1])[0] == pytest.approx([2 / 3, 1 / 3], abs=1e-6)
    assert np.abs(probe.coef_).max() < 1e-6


def test_imbalanced_classes():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2, 3], [1500, 300, 20, 1])
    X = (rng.normal(size=(len(y), 20)) + y[:, None]).astype(np.float32)
    assert probe_path(X, y, np.logspace(-4, 4, 9)).converged_.all()


def test_a_loss_that_underflows_stays_relative():
    """At large C on separable data the mean loss is far below the rounding of a logit."""
    X, _ = features(80, 100)
    y = (X[:, 0] > 0).astype(int)
    for dtype in (np.float32, np.float64):
        path = probe_path(X.astype(dtype), y, [1e5, 1e8], tol=1e-4)
        assert path.converged_.all()
        assert path.separable_.all()


def test_many_classes():
    rng = np.random.default_rng(0)
    y = np.arange(3000) % 1500
    X = rng.normal(size=(1500, 8)).astype(np.float32)[y] + 0.01 * rng.normal(size=(3000, 8)).astype(
        np.float32
    )
    assert probe_path(X, y, [1.0]).converged_.all()


def test_ridge_with_an_offset_and_a_null_space():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 10))
    X = np.hstack([X, X[:, :3], np.ones((300, 1))]) + 1e4
    Y = X[:, :2] + rng.normal(size=(300, 2))
    path = ridge_path(X, Y, [1e-3, 1.0])
    assert path.rank_ == 10
    expected = Ridge(alpha=1.0, solver="svd").fit(X - X.mean(0), Y)
    np.testing.assert_allclose(path.coef_[1], expected.coef_, atol=1e-7)


def test_ridge_at_alpha_zero_has_least_norm():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(10, 30))
    Y = rng.normal(size=(10, 1))
    path = ridge_path(X, Y, [0.0], fit_intercept=False)
    np.testing.assert_allclose(path.coef_[0], np.linalg.pinv(X).dot(Y).T, atol=1e-10)
