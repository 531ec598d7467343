"""The choice of C or alpha by held-out scores, and whether a wider grid might have had a better one."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.errors import GridEdgeWarning

__all__ = ["choose", "choose_alpha", "is_idle", "pick"]

Scores = npt.NDArray[np.float64]

GRID = 3
"""Fewer values of C are a comparison: one of two is at an edge whatever it is."""
SHARE = 0.01
"""Of the gain of the whole grid: less in its last step is none."""
ROUNDING = 1e-6
"""Of a score without folds, solved in single precision: less in its last step is none."""
IDLE = 0.05
"""Standard deviation of logits or margins below which log-losses differ by some 0.05**2 / 8."""


def _never() -> bool:
    return False


def pick(
    scores: Scores, means: Scores, Cs: Scores, *, idle: Callable[[], bool] = _never, least: float = 0.0
) -> tuple[int, int]:
    """The position of the highest mean score, of the smallest C among equal ones, and at which edge it is.

    The edge is -1 for the smallest C of three or more and 1 for the largest; 0 inside, and where nothing is
    to be gained beyond: the last step of the grid gained less than 1 % of what the best C gains over the
    worst, or less than its standard error over the folds. So data that are separated, whose loss falls
    towards 0 for ever, are at no edge; nor is a smallest C at which nothing is learnt.

    Args:
        scores: (n_folds, n_C), NaN where a fold has none.
        means: (n_C,) over the folds, NaN for a C that is not to be chosen.
        Cs: (n_C,) those that were solved, in any order.
        idle: whether the solution at the smallest C is that of C = 0 already: intercepts alone. Asked only
            where that is chosen.
        least: a last step that gained less gained nothing.

    >>> Cs, means = np.array([1.0, 10.0, 100.0]), np.array([0.2, 0.5, 0.7])
    >>> pick(means[None], means, Cs), pick(-means[None], -means, Cs)
    ((2, 1), (0, -1))
    >>> pick(-means[None], -means, Cs, idle=lambda: True)
    (0, 0)
    """
    ties = np.flatnonzero(means >= np.nanmax(means) - 1e-12)
    best = int(ties[np.argmin(Cs[ties])])
    order = np.argsort(Cs, kind="stable")
    at = int(np.flatnonzero(order == best)[0])
    edge = -1 if at == 0 else int(Cs[best] == Cs.max())
    if not edge or len(np.unique(Cs)) < GRID:
        return best, 0
    inside = int(order[1] if at == 0 else order[at - 1])
    whole = float(np.nanmax(means) - np.nanmin(means))
    gains = _gains(scores[:, best] - scores[:, inside], max(SHARE * whole, least))
    return best, edge if gains and not (edge < 0 and idle()) else 0


def choose(
    scores: Scores,
    means: Scores,
    Cs: Scores,
    *,
    ended_early: bool = False,
    idle: Callable[[], bool] = _never,
    stacklevel: int = 2,
) -> int:
    """The position that :func:`pick` gives; a ``GridEdgeWarning`` where it is at an edge.

    Where the path was ended early, by a loss that no longer falls while another score still rises, that is
    said instead.

    Args:
        scores: as :func:`pick`, and so ``means``, ``Cs`` and ``idle``.
        means: (n_C,).
        Cs: (n_C,).
        ended_early: whether larger values of C were asked for.
        idle: whether nothing is learnt at the smallest.
        stacklevel: of the warning.

    >>> Cs, means = np.array([1.0, 10.0, 100.0]), np.array([0.2, 0.5, 0.5])
    >>> choose(means[None], means, Cs)
    1
    >>> import pytest
    >>> with pytest.warns(GridEdgeWarning, match="C=100 is the largest of the grid"):
    ...     choose(means[None] + [0, 0, 0.2], means + [0, 0, 0.2], Cs)
    2
    """
    best, edge = pick(scores, means, Cs, idle=idle)
    if edge:
        _warn(float(Cs[best]), smallest=edge < 0, ended_early=ended_early, stacklevel=stacklevel + 1)
    return best


def choose_alpha(
    scores: Scores, means: Scores, alphas: Scores, *, idle: Callable[[], bool], stacklevel: int = 2
) -> int:
    """As :func:`choose` for the penalty of a ridge, the largest among equal scores.

    Leave-one-out has no folds whose standard error could be asked: only a last step that gained less than
    1 % of the whole grid, or than rounding, gained nothing. At alpha = 0 there is nothing beyond.

    Args:
        scores: (n_folds, n_alphas), one row for leave-one-out, NaN where a fold has none.
        means: (n_alphas,) over the folds.
        alphas: (n_alphas,) 0 or more.
        idle: whether nothing is learnt at the largest.
        stacklevel: of the warning.

    >>> import pytest
    >>> alphas, means = np.array([1.0, 10.0, 100.0]), np.array([0.2, 0.5, 0.7])
    >>> with pytest.warns(GridEdgeWarning, match="alphas=np.logspace"):
    ...     choose_alpha(means[None], means, alphas, idle=lambda: False)
    2
    """
    best, edge = pick(scores, means, -alphas, idle=idle, least=ROUNDING * abs(float(np.nanmax(means))))
    alpha = float(alphas[best])
    if edge and alpha > 0:
        low, high = int(np.floor(np.log10(alphas[alphas > 0].min()))), int(np.ceil(np.log10(alphas.max())))
        which, low, high = ("largest", low, high + 3) if edge < 0 else ("smallest", low - 3, high)
        warnings.warn(
            f"alpha={alpha:g} is the {which} of the grid, and the held-out score still rises there: "
            f"pass alphas=np.logspace({low}, {high}, {4 * (high - low) + 1}), say",
            GridEdgeWarning,
            stacklevel=stacklevel + 1,
        )
    return best


def is_idle(X: Any, coef: npt.NDArray[Any], rows: npt.NDArray[np.intp] | None = None) -> bool:
    """Whether scores hardly differ between rows (some, spread evenly), so that no smaller C changes them.

    Args:
        X: (n, d), also sparse.
        coef: (columns, d).
        rows: those of X that were fitted; None: all.
    """
    step = max(1, (X.shape[0] if rows is None else len(rows)) // 200)
    some = X[::step] if rows is None else X[rows[::step]]
    return bool((some @ coef.T).std(axis=0).max() < IDLE)


def _gains(steps: Scores, least: float) -> bool:
    """Whether the last step to the edge gains more than ``least`` and noise, by its gain in each fold."""
    steps = steps[np.isfinite(steps)]
    if not len(steps):
        return False
    error = float(steps.std(ddof=1)) / len(steps) ** 0.5 if len(steps) > 1 else 0.0
    return float(steps.mean()) > max(least, error)


def _warn(C: float, *, smallest: bool, ended_early: bool, stacklevel: int) -> None:
    if smallest:
        what, way = "smallest of the grid", f"pass Cs down to {C / 1000:g}, say"
    elif ended_early:
        what, way = (
            "largest before the path was ended early",
            "patience=None (or more max_seconds) solves all Cs",
        )
    else:
        what, way = "largest of the grid", f"pass Cs up to {C * 1000:g}, say"
    warnings.warn(
        f"C={C:g} is the {what}, and the held-out score still rises there: {way}",
        GridEdgeWarning,
        stacklevel=stacklevel,
    )
