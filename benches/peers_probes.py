"""What scikit-learn does for probes, prepared once and then timed, run to the same objective.

A peer that is far too slow is stopped: it drops values of C once those that it has done take ``limit``
seconds. What is left of its work bounds its time from below.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Work = Callable[[], Any]
TOLERANCES = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)


def load(folder: Path) -> tuple[Any, Any]:
    """X (n, d) float32, sparse where it was, and y (n,)."""
    from scipy.sparse import load_npz

    sparse = folder / "X.npz"
    return load_npz(sparse) if sparse.exists() else np.load(folder / "X.npy"), np.load(folder / "y.npy")


def objective(coef: Any, intercept: Any, X: Any, y: Any, C: float) -> float:
    """scikit-learn's objective in float64."""
    W = np.asarray(coef, dtype=np.float64)
    Z = X.astype(np.float64) @ W.T + intercept
    loss = np.logaddexp.reduce(Z, axis=1) - Z[np.arange(len(y)), y]
    return float(C * loss.sum() + 0.5 * (W * W).sum())


def lower_bound(coef: Any, intercept: Any, X: Any, y: Any, C: float) -> float:
    """A number that no coefficients can go below, in float64 and from a gradient alone.

    ``F(W) = min over b of C * sum(loss) + |W|^2 / 2`` is 1-strongly convex, so its minimum is at least
    ``F(W) - |F'(W)|^2 / 2``, whatever W is. Newton's method finds the best b, given the products of X and W.
    """
    b, n = np.array(intercept), len(y)
    Z = X @ coef.T
    for _ in range(30):
        P = Z + b
        P -= P.max(axis=1, keepdims=True)
        loss = -P[np.arange(n), y]
        np.exp(P, out=P)
        loss += np.log(P.sum(axis=1))
        P /= P.sum(axis=1, keepdims=True)
        g = P.sum(axis=0) - np.bincount(y)
        H = np.diag(P.sum(axis=0)) - P.T @ P
        step = np.linalg.lstsq(H, g, rcond=1e-12)[0]
        left = C * float(g @ step)  # Twice what another step would gain.
        if left <= 1e-16 * C * loss.sum():
            break
        b -= step
    P[np.arange(n), y] -= 1
    G = C * (P.T @ X) + coef
    return float(C * loss.sum() + 0.5 * (coef * coef).sum() - 0.5 * (G * G).sum() - left)


def newton_cg(X: Any, y: Any, C: float) -> float:
    """The optimum that scikit-learn's newton-cg finds."""
    from sklearn.linear_model import LogisticRegression

    found = LogisticRegression(C=C, solver="newton-cg", tol=1e-8, max_iter=1000).fit(X, y)
    return objective(found.coef_, found.intercept_, X, y, C)


def logistic_loop(
    folder: Path, Cs: Sequence[float], goals: Sequence[float], limit: float, solver: str = "lbfgs"
) -> Work:
    """A cold fit for every C, each with the loosest tolerance that reaches its goal.

    The most expensive come first. The work returns whether it does all of them.
    """
    from sklearn.linear_model import LogisticRegression

    warnings.simplefilter("ignore")
    X, y = load(folder)

    def fit(C: float, tol: float) -> tuple[Any, float]:
        start = time.perf_counter()
        model = LogisticRegression(C=C, tol=tol, solver=solver, max_iter=20_000).fit(X, y)
        return model, time.perf_counter() - start

    chosen: list[tuple[float, float]] = []
    spent, at = 0.0, 0
    for C, goal in sorted(zip(Cs, goals, strict=True), reverse=True):

        def attempt(tol: float, C: float = C, goal: float = goal) -> tuple[bool, float]:
            model, seconds = fit(C, tol)
            return objective(model.coef_, model.intercept_, X, y, C) <= goal, seconds

        at, seconds = _loosest(attempt, at, limit - spent)
        chosen.append((C, TOLERANCES[at]))
        spent += seconds
        if spent > limit:
            break
    complete = spent <= limit
    return lambda: [fit(C, tol) for C, tol in chosen] and complete


def _loosest(attempt: Callable[[float], tuple[bool, float]], at: int, limit: float) -> tuple[int, float]:
    """The loosest tolerance that reaches its goal, else the tightest, and its seconds; sought from ``at``.

    A tolerance only says where along the same iterates to stop, so one that is tighter than one that reaches
    the goal reaches it too. The first to take longer than ``limit`` is taken as it is.
    """
    found: dict[int, tuple[bool, float]] = {}
    while at not in found:
        found[at] = reached, seconds = attempt(TOLERANCES[at])
        if seconds > limit:
            return at, seconds
        at = max(at - 1, 0) if reached else min(at + 1, len(TOLERANCES) - 1)
    reaching = [i for i, (reached, _) in found.items() if reached]
    best = min(reaching) if reaching else len(TOLERANCES) - 1
    return best, found[best][1]


def logistic_warm(folder: Path, Cs: Sequence[float], goals: Sequence[float], limit: float) -> Work:
    """The same with warm starts from C to C, tightened until every C reaches its goal or time is up."""
    from sklearn.linear_model import LogisticRegression

    warnings.simplefilter("ignore")
    X, y = load(folder)

    def sweep(tols: Sequence[float]) -> list[float]:
        model, found = LogisticRegression(warm_start=True, max_iter=20_000), []
        for C, tol in zip(Cs, tols, strict=True):
            model.set_params(C=C, tol=tol).fit(X, y)
            found.append(objective(model.coef_, model.intercept_, X, y, C))
        return found

    tols, complete = [TOLERANCES[0]] * len(Cs), True
    for tol in TOLERANCES[1:]:
        start = time.perf_counter()
        missed = [value > goal for value, goal in zip(sweep(tols), goals, strict=True)]
        complete = not any(missed) or time.perf_counter() - start <= limit
        if not any(missed) or not complete:
            break
        tols = [tol if miss else kept for kept, miss in zip(tols, missed, strict=True)]

    def work() -> bool:
        model = LogisticRegression(max_iter=20_000)
        for C, tol in zip(Cs, tols, strict=True):
            model.set_params(C=C, tol=tol).fit(X, y)
            model.set_params(warm_start=True)
        return complete

    return work


def ridge_cv(folder: Path, alphas: Sequence[float]) -> Work:
    """``RidgeCV`` with its efficient leave-one-out on targets of +1 and -1."""
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
