"""Duplicates: rows of nearly the same features, and contents that carry two labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["NearDuplicates", "conflicting_labels", "near_duplicates"]

Rows = npt.NDArray[np.intp]
THRESHOLD = 0.99


@dataclass(frozen=True, kw_only=True, eq=False)
class NearDuplicates:
    """Query rows whose nearest reference row is nearly the same.

    Attributes:
        rows: (m,) query rows, the most similar first.
        nearest: (m,) the reference row of each.
        similarity: (m,) their cosine.
    """

    rows: Rows
    nearest: Rows
    similarity: npt.NDArray[np.float32]


def near_duplicates(
    queries: npt.NDArray[np.floating[Any]],
    reference: npt.NDArray[np.floating[Any]],
    *,
    threshold: float = THRESHOLD,
) -> NearDuplicates:
    """Query rows with a reference row at a cosine above the threshold.

    Args:
        queries: (m, d) features.
        reference: (n, d) features.
        threshold: cosine that must be exceeded.

    >>> import numpy as np
    >>> found = near_duplicates(np.array([[1.0, 0.01], [1.0, 1.0]]), np.array([[0.0, 1.0], [2.0, 0.0]]))
    >>> found.rows.tolist(), found.nearest.tolist()
    ([0], [1])
    """
    from tlengine.probes import nearest

    index, similarity = nearest(queries, reference, k=1, metric="cosine")
    index, similarity = index[:, 0], similarity[:, 0]
    rows = np.flatnonzero(similarity > threshold)
    rows = rows[np.argsort(-similarity[rows], kind="stable")]
    return NearDuplicates(
        rows=rows, nearest=index[rows].astype(np.intp), similarity=similarity[rows].astype(np.float32)
    )


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
