"""Duplicates: rows of nearly the same features, and contents that carry two labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from tlengine.probes.neighbor_index import NeighborIndex

__all__ = ["NearDuplicates", "conflicting_labels", "near_duplicates"]

Rows = npt.NDArray[np.intp]
NEIGHBORS = 10
CHANCE = 0.003
"""How often rows that are nobody's copy may look like one."""
FARTHEST = 0.25
"""No row is a near-duplicate from this part of the distance to the tenth nearest on."""
BLOCK = 1_024
SAMPLE = 1_000
"""Reference rows by which the dimension is estimated."""


@dataclass(frozen=True, kw_only=True, eq=False)
class NearDuplicates:
    """Query rows that lie far closer to a reference row than rows of these data lie to each other.

    Attributes:
        rows: (m,) query rows, the most similar first.
        nearest: (m,) the reference row of each.
        similarity: (m,) 1 - r, where r is the distance to the nearest reference row over that to the tenth
            nearest: 1 for a copy.
        threshold: the similarity from which a row counts.
        dimension: the intrinsic dimension of the reference rows; nan where they tell none.
    """

    rows: Rows
    nearest: Rows
    similarity: npt.NDArray[np.float32]
    threshold: float
    dimension: float


def near_duplicates(
    queries: npt.NDArray[np.floating[Any]],
    reference: npt.NDArray[np.floating[Any]],
    *,
    chance: float = CHANCE,
) -> NearDuplicates:
    """Query rows that nearly repeat a reference row, judged by how close the data's own rows come.

    Distances are Euclidean, columns in units of their standard deviation in the reference. Around a row that
    is nobody's copy the neighbours lie as by chance: of k of them, in m dimensions, the nearest is within r
    times the distance of the k-th with probability ``1 - (1 - r^m)^(k - 1)``. A row is a near-duplicate where
    r is so small that this happens with probability ``chance`` at most, and at most 0.25; copies always
    are. m is the maximum-likelihood estimate of Levina and Bickel (NIPS 2004), averaged as by MacKay and
    Ghahramani (2005). In few dimensions near-duplicates hide among neighbours: only the closest are found.

    Args:
        queries: (m, d) features.
        reference: (n, d) features.
        chance: how often a row that is nobody's copy may be called one.

    >>> rng = np.random.default_rng(0)
    >>> reference = rng.normal(size=(200, 8))
    >>> found = near_duplicates(np.concatenate([reference[7:9] + 1e-3, rng.normal(size=(50, 8))]), reference)
    >>> found.rows.tolist(), found.nearest.tolist(), found.similarity.round(2).tolist()
    ([1, 0], [8, 7], [1.0, 1.0])
    """
    from tlengine.probes.neighbor_index import NeighborIndex

    rows, others = _in_units_of(reference, queries, reference)
    index = NeighborIndex(others, "euclidean")
    k = min(NEIGHBORS, len(others))
    nearest, distance = index.search(rows, k)
    ratio = np.divide(distance[:, 0], distance[:, -1], out=np.ones(len(rows)), where=distance[:, -1] > 0)
    ratio[distance[:, 0] == 0] = 0
    dimension = _dimension(index, others, k)
    limit = 0.0
    if k > 2 and np.isfinite(dimension):
        limit = min(FARTHEST, (1 - (1 - chance) ** (1 / (k - 1))) ** (1 / dimension))
    found = np.flatnonzero(ratio <= limit)
    found = found[np.argsort(ratio[found], kind="stable")]
    return NearDuplicates(
        rows=found,
        nearest=nearest[found, 0].astype(np.intp),
        similarity=(1 - ratio[found]).astype(np.float32),
        threshold=1 - limit,
        dimension=dimension,
    )


def _in_units_of(
    reference: npt.NDArray[np.floating[Any]], *arrays: npt.NDArray[np.floating[Any]]
) -> Iterator[npt.NDArray[np.float32]]:
    """Each array, its columns centred and in units of their standard deviation in the reference."""
    centre = reference.mean(axis=0, dtype=np.float64)
    squares = sum(((reference[part] - centre) ** 2).sum(axis=0) for part in _blocks(reference))
    scale = np.sqrt(squares / len(reference))
    scale = np.where(scale > 0, scale, 1.0)
    for X in arrays:
        found = np.empty(X.shape, dtype=np.float32)
        for part in _blocks(X):
            found[part] = (X[part] - centre) / scale
        yield found


def _blocks(X: npt.NDArray[Any]) -> Iterator[slice]:
    """Rows to be worked on in double precision at a time."""
    return (slice(start, start + BLOCK) for start in range(0, len(X), BLOCK))


def _dimension(index: NeighborIndex, X: npt.NDArray[np.float32], k: int) -> float:
    """The mean of log(distance of the k-th / distance of a nearer one), inverted; nan where all are alike."""
    if len(X) < 3:
        return float("nan")
    sample = np.unique(np.linspace(0, len(X) - 1, SAMPLE).astype(np.intp))
    # A row's first neighbour is itself, or a copy of it: a distance of 0, which counts in neither case.
    _, distance = index.search(X[sample], min(k + 1, len(X)))
    nearer, farthest = distance[:, 1:-1], distance[:, -1:]
    counted = (nearer > 0) & (nearer < farthest)
    if not counted.any():
        return float("nan")
    logs = np.log(np.broadcast_to(farthest, nearer.shape)[counted] / nearer[counted])
    return float(1 / logs.mean())


def conflicting_labels(keys: npt.NDArray[np.uint8], y: npt.ArrayLike) -> list[Rows]:
    """Sets of rows of identical content that carry more than one label.

    Args:
        keys: (n, 32) content digests.
        y: (n,) labels.

    >>> import numpy as np
    >>> keys = np.zeros((3, 32), dtype=np.uint8)
    >>> keys[2] = 1
    >>> [rows.tolist() for rows in conflicting_labels(keys, ["cat", "dog", "cat"])]
    [[0, 1]]
    """
    digests = np.ascontiguousarray(keys)
    _, content = np.unique(digests.view(np.dtype((np.void, digests.shape[1]))), return_inverse=True)
    content = content.ravel()
    _, codes = np.unique(np.asarray(y), return_inverse=True)
    order = np.argsort(content, kind="stable")
    blocks = np.split(order, np.flatnonzero(np.diff(content[order])) + 1)
    return [rows for rows in blocks if len(rows) > 1 and len(set(codes[rows].tolist())) > 1]
