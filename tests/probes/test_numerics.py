"""What goes wrong numerically in other solvers; each case is certified or exact here."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from tests.probes.conftest import objective
from tlengine.errors import InputError
from tlengine.probes import LinearProbe, NeighborIndex, nearest, probe_path, ridge_path


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


@pytest.mark.parametrize("size", [1e2, 1e3])
@pytest.mark.parametrize("seed", range(4))
def test_rounded_coefficients_get_their_own_best_intercepts(seed, size):
    """A column this large turns the rounding of its coefficient into an error that the intercept can take."""
    X, y = features(seed=seed)
    X = np.hstack([X, size * X[:, :1]]).astype(np.float32)
    assert probe_path(X, y, [1e-2, 1.0, 1e2]).converged_.all()


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


def reference(X, y, C, **options):
    """scikit-learn's optimum in float64, run to the end."""
    return LogisticRegression(C=C, solver="newton-cg", tol=1e-10, max_iter=10_000, **options).fit(X, y)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_offset_costs_no_passes(dtype):
    X, y = features(400, 30)
    plain, moved = (probe_path(Z.astype(dtype), y, np.logspace(-3, 3, 7)) for Z in (X, X + 100))
    assert moved.converged_.all()
    assert moved.n_passes_.sum() <= 1.2 * plain.n_passes_.sum()
    np.testing.assert_allclose(moved.objective_, plain.objective_, rtol=1e-4)


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scaling_inside_leaves_the_objective_as_it_is(intercept, dtype):
    """Columns of very different size, off centre: standardised they would be another problem."""
    X, y = features(300, 6)
    X = ((X + 0.5) * np.array([0.01, 0.1, 1.0, 1.0, 10.0, 100.0])).astype(dtype)
    path = probe_path(X, y, [1e-2, 1.0], tol=1e-8, fit_intercept=intercept)
    for i, C in enumerate(path.Cs):
        theirs = reference(X.astype(float), y, C, fit_intercept=intercept)
        np.testing.assert_allclose(path.coef_[i], theirs.coef_, rtol=5e-3, atol=5e-4)
        assert intercept or not path.intercept_.any()


def test_the_intercept_is_free_and_has_no_mean():
    X, y = features(300, 6)
    path = probe_path(X, y, [1e-6, 1.0], tol=1e-10)
    np.testing.assert_allclose(path.intercept_.sum(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(path.coef_.sum(axis=1), 0, atol=1e-12)
    # With hardly any weights left, a free intercept gives the shares of the classes.
    b = np.exp(path.intercept_[0])
    np.testing.assert_allclose(b / b.sum(), np.bincount(y) / len(y), atol=1e-4)


@pytest.mark.parametrize("offset", [0.0, 10.0, 1000.0])
def test_ridge_in_single_precision_keeps_its_small_eigenvalues(offset):
    """The Gram matrix of float32 rows with an offset loses them, in one pass, to negative ones."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 40)) * np.geomspace(1, 3e-3, 40)
    Y = X @ rng.normal(size=(40, 2)) / X.std(axis=0)[-1] + rng.normal(size=(2000, 2))
    X = (X + offset).astype(np.float32)
    path = ridge_path(X, Y, [1e-4])
    wide = X.astype(float)
    expected = Ridge(alpha=1e-4, solver="svd").fit(wide - wide.mean(0), Y)
    np.testing.assert_allclose(
        path.coef_[0], expected.coef_, rtol=2e-3, atol=2e-3 * np.abs(expected.coef_).max()
    )
    assert path.rank_ == 40


def test_leave_one_out_where_a_row_is_its_own_direction():
    """Its leverage is one: what is left of its residual is nothing over nothing without the penalty."""
    X = np.vstack([np.eye(5), np.zeros((20, 5))])
    X[0, 0] = 1e3
    Y = np.random.default_rng(0).normal(size=(25, 1))
    path = ridge_path(X, Y, [1e-8, 1.0])
    assert np.isfinite(path.loo_error_).all()
    errors = []
    for i in range(25):
        row = np.delete(np.arange(25), i)
        left = Ridge(alpha=1.0).fit(X[row], Y[row])
        errors.append((Y[i, 0] - left.predict(X[i : i + 1])[0]) ** 2)
    assert path.loo_error_[1, 0] == pytest.approx(np.mean(errors), rel=1e-6)


@pytest.mark.parametrize(("precision", "d"), [("int8", 65_536), ("float32", 70_000), ("auto", 70_000)])
def test_long_rows_are_searched_exactly(precision, d):
    """More than 66,000 products of full 8-bit codes overflow 32 bits."""
    X = np.random.default_rng(0).choice([-1.0, 1.0], (12, d)).astype(np.float32)
    X[3] = X[7] = 1.0
    rows, found = NeighborIndex(X, "inner", precision=precision).search(np.ones((1, d), np.float32), 2)
    assert rows.tolist() == [[3, 7]]
    assert found.tolist() == [[d, d]]
    with pytest.raises(InputError, match="65536 columns at the most, X has 70000"):
        NeighborIndex(np.ones((2, 70_000), np.float32), precision="int8")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_distances_of_near_duplicates_far_from_the_origin(dtype):
    """``|x|^2 - 2 x.y + |y|^2`` cancels: the distances have to come from differences."""
    X = np.full((50, 8), 1e4, dtype)
    X[:, 0] += np.arange(50) * dtype(0.01)
    idx, scores = nearest(X[20:21], X, k=3, metric="euclidean")
    exact = np.linalg.norm(X.astype(float) - X[20].astype(float), axis=1)
    assert idx[0].tolist() == np.argsort(exact, kind="stable")[:3].tolist()
    np.testing.assert_allclose(np.abs(scores[0]), np.sort(exact)[:3], rtol=1e-6, atol=1e-9)
