"""The choice of C by held-out scores, and whether a wider grid might have had a better one."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt

from tlengine.errors import GridEdgeWarning

__all__ = ["choose"]

Scores = npt.NDArray[np.float64]

GRID = 3
"""Fewer values of C are a comparison: one of two is at an edge whatever it is."""
SHARE = 0.01
"""Of the gain of the whole grid: less in its last step is none."""


def choose(
    scores: Scores, means: Scores, Cs: Scores, *, ended_early: bool = False, idle: bool = False
) -> int:
    """The position of the highest mean score; of the smallest C among equal ones.

    A ``GridEdgeWarning`` says that it is the smallest or largest C, unless nothing is to be gained beyond:
    the last step of the grid gained less than 1 % of what the best C gains over the worst, or less than its
    standard error over the folds. So data that are separated, whose loss falls towards 0 for ever, do not
    warn; nor do a smallest C at which nothing is learnt, and a choice between two values. Where the path was
    ended early, by a loss that no longer falls while another score still rises, that is said instead.

    Args:
        scores: (n_folds, n_C), NaN where a fold has none.
        means: (n_C,) over the folds, NaN for a C that is not to be chosen.
        Cs: (n_C,) those that were solved, in any order.
        ended_early: whether larger ones were asked for.
        idle: whether the solution at the smallest C is that of C = 0 already: intercepts alone.

    >>> Cs, means = np.array([1.0, 10.0, 100.0]), np.array([0.2, 0.5, 0.5])
    >>> choose(means[None], means, Cs)
    1
    >>> import pytest
    >>> with pytest.warns(GridEdgeWarning, match="C=100 is the largest of the grid"):
    ...     choose(means[None] + [0, 0, 0.2], means + [0, 0, 0.2], Cs)
    2
    """
    ties = np.flatnonzero(means >= np.nanmax(means) - 1e-12)
    best = int(ties[np.argmin(Cs[ties])])
    order = np.argsort(Cs, kind="stable")
    at = int(np.flatnonzero(order == best)[0])
    is_edge = not idle if at == 0 else Cs[best] == Cs.max()
    if is_edge and len(np.unique(Cs)) >= GRID:
        inside = int(order[1] if at == 0 else order[at - 1])
        if _gains(scores[:, best] - scores[:, inside], float(np.nanmax(means) - np.nanmin(means))):
            _warn(float(Cs[best]), smallest=at == 0, ended_early=ended_early)
    return best


def _gains(steps: Scores, whole: float) -> bool:
    """Whether the last step to the edge gains anything, by its gain in each fold."""
    steps = steps[np.isfinite(steps)]
    if not len(steps):
        return False
    error = float(steps.std(ddof=1)) / len(steps) ** 0.5 if len(steps) > 1 else 0.0
    return float(steps.mean()) > max(SHARE * whole, error)


def _warn(C: float, *, smallest: bool, ended_early: bool) -> None:
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
        stacklevel=4,
    )
