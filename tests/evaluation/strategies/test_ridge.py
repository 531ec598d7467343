"""Ridge as a strategy: its alpha and its held-out scores, against one fit at a time."""

from collections.abc import Sequence

import numpy as np
import pytest

from tests.evaluation.machinery import clouds, roles_of
from tests.evaluation.strategies.built_in import fitted, refitted
from tlengine.evaluation.strategies import RidgeStrategy, ridge
from tlengine.plugins.contracts import Roles
from tlengine.testing import ArrayView


def left_out_errors(
    X: np.ndarray, targets: np.ndarray, parts: Sequence[tuple[np.ndarray, np.ndarray]], alphas: np.ndarray
) -> np.ndarray:
    """(n_alphas,) mean squared errors of held-out rows: textbook ridge on the rows of each part alone."""
    squared = []
    for rows, held in parts:
        mean, offset = X[rows].mean(axis=0), targets[rows].mean(axis=0)
        U, s, V = np.linalg.svd(X[rows] - mean, full_matrices=False)
        shrunk = (s / (s**2 + alphas[:, None]))[:, :, None] * (U.T @ (targets[rows] - offset))
        squared.append(((X[held] - mean) @ V.T @ shrunk + offset - targets[held]) ** 2)
    return np.asarray(np.concatenate(squared, axis=1).mean(axis=(1, 2)))


@pytest.mark.parametrize(("n", "d"), [(60, 20), (60, 90), (200, 6)])
@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("alone", [True, False])
def test_alpha_has_the_least_error_on_held_out_rows(n: int, d: int, classes: int, alone: bool) -> None:
    """By leave-one-out where every row is a unit; else by whole folds. Both against one fit at a time."""
    X, codes = clouds(n + 10, d, classes, apart=0.5)
    roles = roles_of(n, n + 10, folds=5)
    units = np.arange(n + 10) if alone else np.arange(n + 10) // 2
    train, parts = roles.train, [(np.delete(roles.train, i), roles.train[[i]]) for i in range(n)]
    if not alone:
        folds = [np.flatnonzero(units[:n] % 5 == f) for f in range(5)]
        parts = [(np.setdiff1d(train, fold), fold) for fold in folds]
        roles = Roles(train=train, test=roles.test, inner=tuple(parts))
    view = ArrayView(X, codes, roles)
    view.units = units
    grid = [candidate["alpha"] for candidate in RidgeStrategy().candidates(view, n)]
    errors = left_out_errors(X.astype(float), 2.0 * np.eye(classes)[codes] - 1, parts, np.array(grid))
    chosen = RidgeStrategy().fit(view, roles).chosen["alpha"]
    assert errors[grid.index(chosen)] <= errors.min() * (1 + 1e-5)


@pytest.mark.parametrize(("n", "d"), [(40, 10), (25, 50), (200, 6)])
@pytest.mark.parametrize("classes", [2, 3])
def test_folds_are_left_out_without_a_fit_for_each(n: int, d: int, classes: int) -> None:
    X, codes = clouds(n + 10, d, classes)
    roles = roles_of(n, n + 10, folds=2 if n == 200 else 5)
    found, view = fitted("ridge", X, codes, roles)
    assert found.held_out == pytest.approx(refitted("ridge", view, roles, dict(found.chosen)), abs=2e-4)


def test_the_grid_of_alphas_is_no_concern_of_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """Warnings are errors here: an alpha at the edge of a grid that no one can widen is not said."""
    monkeypatch.setattr(ridge, "GRID", np.array([1e2, 1e3, 1e4]))
    X, codes = clouds(50, 10, 3)
    roles = roles_of(40, 50, folds=5)
    chosen = RidgeStrategy().fit(ArrayView(X, codes, roles), roles).chosen
    assert chosen["alpha"] == RidgeStrategy().candidates(ArrayView(X, codes, roles), 40)[0]["alpha"]
