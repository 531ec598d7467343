"""The choice of C inside a budget, and whether a wider grid might have had a better one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tlengine.probes.choice import GRID, SHARE

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


def choose(losses: Floats, Cs: Floats) -> Choice:
    """The C of least mean log-loss; of equal ones the smallest.

    As in :func:`tlengine.probes.choice.choose`, at an edge the loss still falls where the last step gains
    more than its standard error over the folds, and more than 1 % of what the best C gains over the worst. So
    the loss of data that are separated, which falls towards 0 for ever, does not count; nor does the largest
    C that was solved where patience ended the path.

    Args:
        losses: (folds, n) on held-out rows, for the n smallest values of C, in their order in ``Cs``.
        Cs: (n_C,) all of them.

    >>> choose(np.array([[3.0, 2.0, 1.0], [3.0, 2.0, 1.1]]), np.array([0.1, 1.0, 10.0]))
    Choice(kept=slice(2, 3, None), Cs=array([10.]), edge=1)
    >>> choose(np.array([[3.0, 1.0], [3.0, 1.2]]), np.array([0.1, 10.0, 1.0])).Cs
    array([1.])
    """
    solved = Cs[np.sort(np.argsort(Cs, kind="stable")[: losses.shape[1]])]
    means = losses.mean(axis=0)
    best = int(np.lexsort((solved, means))[0])
    kept, C = slice(best, best + 1), solved[best]
    order = np.argsort(solved, kind="stable")
    edge = int(Cs.max() <= C) - int(Cs.min() >= C)
    if len(np.unique(Cs)) < GRID or not edge or len(solved) < 2:
        return Choice(kept, solved[kept])
    steps = losses[:, order[-2 if edge > 0 else 1]] - losses[:, best]
    error = steps.std(ddof=1) / np.sqrt(len(steps)) if len(steps) > 1 else 0.0
    gains = steps.mean() > max(error, SHARE * np.ptp(means))
    return Choice(kept, solved[kept], edge if gains else 0)
