"""Nearest neighbours of each row among the rows of other units, for twins and groups."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.errors import InputError, ShapeMismatchError
from tlengine.probes.groups import check_known
from tlengine.probes.neighbor_index import Found, NeighborIndex

__all__ = ["check_units", "search_apart"]

_LARGE = 64
"""Units of more rows are searched one by one; for smaller ones it is cheaper to look further and drop."""


def check_units(units: npt.ArrayLike, rows: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """The unit of each row numbered without gaps, and the size of each.

    Raises:
        ShapeMismatchError: not one unit for each row.
        InputError: all rows are one unit; a unit is missing.
    """
    given = np.asarray(units)
    if given.shape != (rows,):
        raise ShapeMismatchError(f"units have shape {given.shape}, X has {rows} rows")
    check_known(units, "units")
    _, own = np.unique(given, return_inverse=True)
    sizes = np.bincount(own)
    if len(sizes) < 2:
        raise InputError(
            f"all {rows} rows are of one unit, so none has another to be compared with",
            hint="look at the groups: are they what may not be told apart?",
        )
    return own, sizes


def search_apart(
    index: NeighborIndex,
    X: npt.NDArray[Any],
    own: npt.NDArray[np.intp],
    sizes: npt.NDArray[np.intp],
    k: int,
    *,
    n_jobs: int | None = None,
) -> Found:
    """The ``k`` nearest rows of other units for each row of ``X``, as an index gives them.

    Args:
        index: of ``X``.
        X: (n, d) rows.
        own: (n,) the unit of each row, as :func:`check_units` returns it.
        sizes: of each unit.
        k: how many, at most the rows outside of the largest unit.
        n_jobs: threads.

    >>> X = np.array([[0.0, 1], [0, 1], [1, 1], [1, 0]])
    >>> own, sizes = check_units([0, 0, 1, 2], 4)
    >>> search_apart(NeighborIndex(X), X, own, sizes, 1)[0].ravel().tolist()
    [2, 2, 0, 2]
    """
    ids, scores = np.empty((len(X), k), np.int64), np.empty((len(X), k))
    small = np.flatnonzero(sizes[own] <= _LARGE)
    if len(small):
        further = min(k + int(sizes[own[small]].max()) - 1, len(X) - 1)
        found, of_found = index.search(None, further, n_jobs=n_jobs)
        found, of_found = found[small], of_found[small]
        others = own[found] != own[small][:, None]
        first = np.argsort(~others, axis=1, kind="stable")[:, :k]
        ids[small] = np.take_along_axis(found, first, axis=1)
        scores[small] = np.take_along_axis(of_found, first, axis=1)
    for unit in np.flatnonzero(sizes > _LARGE).tolist():
        inside, outside = np.flatnonzero(own == unit), np.flatnonzero(own != unit)
        rest = NeighborIndex(X[outside], **index._options)
        found, scores[inside] = rest.search(X[inside], k, n_jobs=n_jobs)
        ids[inside] = outside[found]
    return ids, scores
