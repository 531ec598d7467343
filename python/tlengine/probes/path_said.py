"""What is said of a path that was ended, or of solutions that are not certified."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import numpy as np

from tlengine.errors import TimeLimitWarning
from tlengine.probes.inputs import TrainingSet
from tlengine.probes.path import ProbePath
from tlengine.probes.said import users_level
from tlengine.probes.scales import far_columns
from tlengine.probes.sparse import is_sparse

__all__ = ["warn_of_time", "warn_unless_converged"]

SINGLE = 1e3
"""A column that varies so many times as much as the median one can be more than float32 certifies."""


def warn_of_time(done: int, asked: int, *, kept: bool) -> None:
    """A ``TimeLimitWarning`` that a path was ended before all was done.

    Args:
        done: values of C that are the result; 0: it is the one that was under way.
        asked: all of them.
        kept: whether the next call on the same data goes on from there.
    """
    result = f"after {done} of {asked} values of C" if done else "on the way to its first C"
    what = "which are the result" if done else "whose solution so far is the result"
    way = "the next call goes on from there" if kept else "resume=FILE or warm_start=True goes on from there"
    warnings.warn(
        f"the path was ended {result}, {what}; with more time {way}",
        TimeLimitWarning,
        stacklevel=users_level(),
    )


def warn_unless_converged(
    paths: Iterable[ProbePath], tol: float, train: TrainingSet, *, ended: bool = False
) -> None:
    """One ``ConvergenceWarning`` for all solutions whose certificate is not within ``tol``.

    It names the column that float32 is too short for: the bound grows with the square of its gradient, which
    rounding leaves in proportion to the column's size, however near the solution is.
    """
    from sklearn.exceptions import ConvergenceWarning

    missed = [
        (C, gap)
        for p in paths
        for C, gap in zip(p.Cs[~p.converged_], (p.gap_bound_ / p.objective_)[~p.converged_], strict=True)
    ]
    if missed:
        C, gap = max(missed, key=lambda pair: pair[1])
        way = "Give it more time, or raise" if ended else "Raise"
        warnings.warn(
            f"{len(missed)} solutions are not certified to tol={tol:g}; the relative gap (gap_bound_ / "
            f"objective_) of the worst, at C={C:g}, is {gap:.1e}. {way} max_iter, or tol if this is good "
            f"enough{_way_out_of_float32(train)}",
            ConvergenceWarning,
            stacklevel=users_level(),
        )


def _way_out_of_float32(train: TrainingSet) -> str:
    if is_sparse(train.X) or train.X.dtype != np.float32:
        return ""
    far = far_columns(train.X, SINGLE)
    if far is None:
        return "; or pass X in float64, whose rounding is no limit"
    name = far.name(train.names)
    return (
        f". Column {name} varies {far.ratio:.0e} times as much as the median column: in float32 rounding "
        "alone may keep the bound on the gap above tol. Scale the columns, as "
        "make_pipeline(StandardScaler(), ...) does, or pass X in float64"
    )
