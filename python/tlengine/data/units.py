"""Units: rows that must not be told apart by a split, since they are of one group or of equal content."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.errors import ShapeMismatchError

__all__ = ["content_digests", "unit_index"]

Rows = npt.NDArray[np.intp]


def unit_index(
    n: int, *, groups: npt.ArrayLike | None = None, keys: npt.NDArray[np.uint8] | None = None
) -> Rows:
    """The unit of each row: rows linked by an equal group or content digest, directly or through others.

    Args:
        n: how many rows there are.
        groups: (n,) names or numbers.
        keys: (n, b) uint8 content digests.

    Returns:
        (n,) numbers from 0, without gaps.

    Raises:
        ShapeMismatchError: groups or keys of another length.

    >>> unit_index(4, groups=["a", "a", "b", "c"]).tolist()
    [0, 0, 1, 2]
    """
    links = [first for column in _columns(n, groups, keys) if (first := _first_alike(column)) is not None]
    rows = np.arange(n)
    if not links:
        return rows
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ends = np.concatenate([*links, rows])
    starts = np.concatenate([rows] * (len(links) + 1))
    graph = coo_array((np.ones(len(ends), dtype=np.int8), (starts, ends)), shape=(n, n))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.intp)


def _columns(
    n: int, groups: npt.ArrayLike | None, keys: npt.NDArray[np.uint8] | None
) -> list[npt.NDArray[Any]]:
    columns: list[npt.NDArray[Any]] = []
    if groups is not None:
        columns.append(np.asarray(groups))
    if keys is not None:
        digests = np.ascontiguousarray(keys, dtype=np.uint8)
        if digests.ndim != 2:
            raise ShapeMismatchError(
                f"keys have shape {digests.shape}", hint="a digest for each row: (n, 32)"
            )
        columns.append(digests.view(np.dtype((np.void, digests.shape[1]))).ravel())
    for column in columns:
        if column.shape != (n,):
            raise ShapeMismatchError(
                f"groups or keys have shape {column.shape}, there are {n} rows", hint="one entry for each row"
            )
    return columns


def _first_alike(column: npt.NDArray[Any]) -> Rows | None:
    """For each row the first row with an equal value; None where all differ."""
    values, first, inverse = np.unique(column, return_index=True, return_inverse=True)
    return None if len(values) == len(column) else np.asarray(first[inverse.ravel()], dtype=np.intp)


def content_digests(X: npt.NDArray[Any], *more: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """A digest (n, 32) of each row, for features that come without the content they stand for.

    Zeros are one zero, whatever their sign. With several arrays a row is what it is in all of them.

    >>> digests = content_digests(np.array([[1, 0.0], [1, -0.0], [3, 4]], dtype=np.float32))
    >>> bool((digests[0] == digests[1]).all()), bool((digests[0] == digests[2]).all())
    (True, False)
    """
    raw = [b"" for _ in range(len(X))]
    for array in (X, *more):
        rows = np.ascontiguousarray(array + 0).view(np.uint8).reshape(len(array), -1)
        raw = [
            hashlib.blake2b(row.data, digest_size=32, key=last).digest()
            for row, last in zip(rows, raw, strict=True)
        ]
    return np.frombuffer(b"".join(raw), dtype=np.uint8).reshape(len(X), 32)
