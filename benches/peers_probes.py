"""What scikit-learn does for probes, prepared once and then timed, run to the same objective."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Work = Callable[[], Any]
TOLERANCES = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)


def load(folder: Path) -> tuple[Any, Any]:
    """X (n, d) float32 and y (n,)."""
    return np.load(folder / "X.npy"), np.load(folder / "y.npy")


def objective(coef: Any, intercept: Any, X: Any, y: Any, C: float) -> float:
    """scikit-learn's objective in float64."""
    W = np.asarray(coef, dtype=np.float64)
    Z = X.astype(np.float64) @ W.T + intercept
    loss = np.logaddexp.reduce(Z, axis=1) - Z[np.arange(len(y)), y]
    return float(C * loss.sum() + 0.5 * (W * W).sum())


def _loosest(make: Callable[[float], Any], X: Any, y: Any, C: float, goal: float) -> float:
    """The loosest tolerance that reaches the objective; the tightest where none does."""
    for tol in TOLERANCES:
        model = make(tol).fit(X, y)
        if objective(model.coef_, model.intercept_, X, y, C) <= goal:
            break
    return tol


def logistic_loop(folder: Path, Cs: Sequence[float], goals: Sequence[float], solver: str = "lbfgs") -> Work:
    """A cold fit for every C, each with the loosest tolerance that reaches its goal."""
    from sklearn.linear_model import LogisticRegression

    warnings.simplefilter("ignore")
    X, y = load(folder)

    def make(C: float, tol: float) -> Any:
        return LogisticRegression(C=C, tol=tol, solver=solver, max_iter=20_000)

    tols = [_loosest(lambda tol, C=C: make(C, tol), X, y, C, g) for C, g in zip(Cs, goals, strict=True)]
    return lambda: [make(C, tol).fit(X, y) for C, tol in zip(Cs, tols, strict=True)] and None


def logistic_warm(folder: Path, Cs: Sequence[float], goals: Sequence[float]) -> Work:
    """The same with warm starts from C to C, tightened until every C reaches its goal."""
    from sklearn.linear_model import LogisticRegression

    warnings.simplefilter("ignore")
    X, y = load(folder)

    def sweep(tols: Sequence[float]) -> list[float]:
        model, found = LogisticRegression(warm_start=True, max_iter=20_000), []
        for C, tol in zip(Cs, tols, strict=True):
            model.set_params(C=C, tol=tol).fit(X, y)
            found.append(objective(model.coef_, model.intercept_, X, y, C))
        return found

    tols = [TOLERANCES[0]] * len(Cs)
    for tol in TOLERANCES[1:]:
        missed = [value > goal for value, goal in zip(sweep(tols), goals, strict=True)]
        tols = [tol if miss else kept for kept, miss in zip(tols, missed, strict=True)]
    model = LogisticRegression(max_iter=20_000)

    def work() -> None:
        model.set_params(warm_start=False)
        for C, tol in zip(Cs, tols, strict=True):
            model.set_params(C=C, tol=tol).fit(X, y)
            model.set_params(warm_start=True)

    return work


def ridge_cv(folder: Path, alphas: Sequence[float]) -> Work:
    """``RidgeCV`` with its efficient leave-one-out on one-hot targets of +1 and -1."""
    from sklearn.linear_model import RidgeCV

    X, y = load(folder)
    Y = np.where(y[:, None] == np.arange(y.max() + 1), 1.0, -1.0).astype(np.float32)
    return lambda: RidgeCV(alphas=alphas).fit(X, Y).alpha_


def small_probes(folder: Path, count: int, rows: int, Cs: Sequence[float]) -> Work:
    """A joblib loop of ``LogisticRegression`` at its default tolerance, two jobs."""
    from joblib import Parallel, delayed

    X, y = load(folder)
    draws = [np.random.default_rng(i).permutation(len(y))[:rows] for i in range(count)]
    pool = Parallel(n_jobs=2)
    return lambda: pool(delayed(_small)(X[draw], y[draw], Cs) for draw in draws) and None


def _small(X: Any, y: Any, Cs: Sequence[float]) -> int:
    from sklearn.linear_model import LogisticRegression

    warnings.simplefilter("ignore")
    return len([LogisticRegression(C=C, max_iter=1000).fit(X, y) for C in Cs])
