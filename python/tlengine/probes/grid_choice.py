"""The choice of C inside a budget, and whether a wider grid might have had a better one."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tlengine.probes.choice import pick

__all__ = ["Choice", "choose"]

Floats = npt.NDArray[np.float64]


class Choice(NamedTuple):
    """Which values of C are reported.

    Attributes:
        kept: their positions among those that were solved.
        Cs: what they are.
        edge: -1 for the smallest C of three or more, 1 for the largest, where the held-out loss still falls.
    """

    kept: slice
    Cs: Floats
    edge: int = 0


def choose(losses: Floats, Cs: Floats, *, idle: Callable[[], bool] = lambda: False) -> Choice:
    """The C of least mean log-loss; of equal ones the smallest.

    Its edge is that of :func:`tlengine.probes.choice.pick`, but the largest C that was solved is none where
    patience ended the path.

    Args:
        losses: (folds, n) on held-out rows, for the n smallest values of C, in their order in ``Cs``.
        Cs: (n_C,) all of them.
        idle: whether nothing is learnt at the smallest C.

    >>> choose(np.array([[3.0, 2.0, 1.0], [3.0, 2.0, 1.1]]), np.array([0.1, 1.0, 10.0]))
    Choice(kept=slice(2, 3, None), Cs=array([10.]), edge=1)
    >>> choose(np.array([[3.0, 1.0], [3.0, 1.2]]), np.array([0.1, 10.0, 1.0])).Cs
    array([1.])
    """
    solved = Cs[np.sort(np.argsort(Cs, kind="stable")[: losses.shape[1]])]
    best, edge = pick(-losses, -losses.mean(axis=0), solved, idle=idle)
    kept = slice(best, best + 1)
    return Choice(kept, solved[kept], 0 if edge > 0 and solved[best] < Cs.max() else edge)
