"""Leave-one-out errors are those of leaving rows out, however near to one their leverages are.

Where nothing but the penalty is left of a row, both its residual and what its leverage leaves are
differences of almost equal numbers; a clamp there made "unknown" look like "predicted perfectly".
"""

import numpy as np
import pytest

from tests.probes.naive_scale import fit_scale
from tlengine.probes import PreValProbe, RidgeProbeCV, ridge_path


def left_out(X, Y, alpha, weight, *, intercept):
    """(n, m) residuals of each row under the ridge of least norm of all others, each refitted by an SVD."""
    X, residuals = X.astype(np.float64), np.empty(Y.shape)
    for i in range(len(X)):
        rest = np.flatnonzero((np.arange(len(X)) != i) & (weight > 0))
        share = weight[rest] / weight[rest].sum() if len(rest) else np.empty(0)
        mean, centre = (share @ X[rest], share @ Y[rest]) if intercept else (0.0, 0.0)
        root = np.sqrt(weight[rest])[:, None]
        U, s, Vt = np.linalg.svd(root * (X[rest] - mean), full_matrices=False)
        s = np.where(s > 1e-14 * len(X) * s.max(initial=0), s, 0)
        shrink = np.divide(s, s * s + alpha, out=np.zeros_like(s), where=s > 0)
        coef = Vt.T @ (shrink[:, None] * (U.T @ (root * (Y[rest] - centre))))
        residuals[i] = Y[i] - centre - (X[i] - mean) @ coef
    return residuals


def with_a_column_of_row_7(n, d, size, rng):
    X = rng.normal(size=(n, d))
    X[:, -1] = 0
    X[7, -1] = size
    return X


FEATURES = {
    "wide": lambda rng: rng.normal(size=(40, 150)),
    "square": lambda rng: rng.normal(size=(30, 30)),
    "one row more": lambda rng: rng.normal(size=(31, 30)),
    "two rows more": lambda rng: rng.normal(size=(32, 30)),
    "tall": lambda rng: rng.normal(size=(120, 20)),
    "one row's column": lambda rng: with_a_column_of_row_7(200, 20, 100.0, rng),
    "one row's column, far away": lambda rng: with_a_column_of_row_7(200, 20, 100.0, rng) + 10.0,
    "one row's column, wide": lambda rng: with_a_column_of_row_7(30, 60, 100.0, rng),
    "a column for each row": lambda rng: np.eye(60, 20) * np.geomspace(0.1, 50, 20),
    "repeated rows": lambda rng: rng.normal(size=(20, 60))[np.r_[0:20, 0:12]],
    "rank 5, wide": lambda rng: rng.integers(-2, 3, (30, 5)) @ rng.integers(-2, 3, (5, 50)),
    "rank 5, tall": lambda rng: rng.integers(-2, 3, (70, 5)) @ rng.integers(-2, 3, (5, 12)),
    "two rows": lambda rng: rng.normal(size=(2, 4)),
    "nothing": lambda rng: np.ones((8, 3)),
}  # fmt: skip


# Powers of two: what is of rank 5 stays so in float32.
@pytest.mark.parametrize("unit", [2.0**-10, 1.0, 2.0**10])
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", FEATURES)
def test_leave_one_out_is_leaving_out(kind, dtype, intercept, unit):
    rng = np.random.default_rng(0)
    X = (unit * FEATURES[kind](rng)).astype(dtype)
    Y = 3 + rng.normal(size=(len(X), 2))
    weight = rng.integers(1, 4, len(X)).astype(float)
    alphas = [0.0, 1e-12 * unit**2, 1e-8, 1e-3, 1.0, 100.0]
    path = ridge_path(X, Y, alphas, sample_weight=weight, fit_intercept=intercept)
    for i, alpha in enumerate(alphas):
        errors = left_out(X, Y, alpha, weight, intercept=intercept) ** 2
        expected = np.average(errors, axis=0, weights=weight)
        np.testing.assert_allclose(path.loo_error_[i], expected, rtol=1e-4 if unit == 1 else 2e-3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_interpolating_penalty_is_not_chosen_for_its_training_error(dtype):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(50, 200)).astype(dtype)
    y = np.arange(50) % 2
    probe = RidgeProbeCV(alphas=[0.0, 1.0, 1e5]).fit(X, y)
    assert probe.scores_[0, 0] < -0.5
    signs = np.where(y == 1, 1.0, -1.0)[:, None]
    accuracy = RidgeProbeCV(alphas=[0.0, 1.0], scoring="accuracy").fit(X, y).scores_[0]
    for score, alpha in zip(accuracy, [0.0, 1.0], strict=True):
        predicted = signs - left_out(X, signs, alpha, np.ones(50), intercept=True)
        assert score == pytest.approx(np.mean((predicted[:, 0] > 0) == (y == 1)))


@pytest.mark.parametrize("alpha", [0.0, 1e-9, 1.0])
@pytest.mark.parametrize("shape", [(40, 100), (60, 12)])
def test_prevalidated_probabilities_come_from_rows_left_out(alpha, shape):
    rng = np.random.default_rng(2)
    X = 1e3 * rng.normal(size=shape)
    X[:, 1] = 0
    X[5, 1] = 1e4
    y = np.arange(len(X)) % 3
    probe = PreValProbe(alphas=[alpha]).fit(X, y)
    signs = np.where(y[:, None] == np.arange(3), 1.0, -1.0)
    centre, share = signs.mean(axis=0), np.full(len(X), 1 / len(X))
    moves = signs - left_out(X, signs, alpha, np.ones(len(X)), intercept=True) - centre
    scale, loss = fit_scale(moves, centre, y.astype(np.uint32), share)
    assert probe.scores_[0] == pytest.approx(-loss, rel=1e-6)
    assert probe.temperature_ == pytest.approx(1 / scale, rel=1e-4)


def test_a_row_that_is_all_there_is_is_predicted_by_nothing():
    path = ridge_path(np.ones((1, 3)), [[2.0]], [0.0, 1.0])
    np.testing.assert_allclose(path.loo_error_, 4.0)


@pytest.mark.parametrize("spread", [30.0, 300.0, 3000.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_row_of_high_leverage_beside_a_dominating_direction(dtype, spread):
    """What single precision loses of the weak directions counts as many times as 1 / (1 - h) says."""
    rng = np.random.default_rng(0)
    n, d = 1000, 100
    X = rng.normal(size=(n, d))
    X[:, 0] *= spread
    X[7, 50] = 700.0
    X = (X @ np.linalg.qr(rng.normal(size=(d, d)))[0]).astype(dtype)
    y = rng.normal(size=n)
    y[7] = 30.0
    alphas = [0.0, 1e-3]
    path = ridge_path(X, y[:, None], alphas)
    exact = X.astype(np.float64)
    exact -= exact.mean(axis=0)
    for i, alpha in enumerate(alphas):
        hat = exact @ np.linalg.solve(exact.T @ exact + alpha * np.eye(d), exact.T) + 1 / n
        assert 0.997 < hat[7, 7] < 0.999
        errors = ((y - hat @ y) / (1 - np.diag(hat))) ** 2
        np.testing.assert_allclose(path.loo_error_[i], errors.mean(), rtol=1e-4)
