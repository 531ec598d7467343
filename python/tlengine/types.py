"""Frozen records that travel between the rooms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.errors import InputError, ShapeMismatchError

__all__ = ["ROLES", "CheckRows", "ExtractionStats", "Failure", "Features", "FloatArray"]

FloatArray = npt.NDArray[np.floating[Any]]

ROLES = ("train", "select", "calibrate", "test")
"""What a row may be used for; ``select`` is a validation split that the user brought."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A sample that could not be read: its id and why."""

    id: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class ExtractionStats:
    """What one extraction did; times in seconds."""

    rows: int
    embedded: int
    """Forward passes made: rows computed anew."""
    cached: int
    failed: int
    seconds: float
    device: str = "cpu"
    precision: str = "float32"
    seconds_saved: float = 0.0
    """What the cached rows cost when they were first embedded."""
    flops_per_row: float | None = None
    """Operations of the network for a row; None where they were not counted."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CheckRows:
    """A few samples as the network gets them, and their embeddings: what a backbone must still give.

    Attributes:
        inputs: k preprocessed samples: pixels, token ids, …
        X: (k, d) float32.
    """

    inputs: tuple[npt.NDArray[Any], ...]
    X: npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Features:
    """A dataset as a backbone sees it: one row of float32 for each readable sample.

    Attributes:
        X: (n, d) float32, row-major.
        y: (n,) labels as the user wrote them, or None.
        ids: (n,) str.
        groups, domains, splits: (n,) str, or None where the dataset has no such column.
            ``splits`` holds a role per row (``"train"``, ``"test"``, ``"select"``).
        keys: (n, 32) uint8 content digests; equal digests mean equal contents. None for plain arrays.
        backbone: the name of the backbone, or None for plain arrays.
        fingerprint: hex digest of the backbone, or None.
        dataset: a short name of the source, for people.
        rows: (n,) row numbers in the dataset, or None for plain arrays: an id need not be unique.
        stats, failures: what the extraction did, and the samples it could not read.
        recipe: everything that determined the rows (JSON-able).
        check_rows: a few samples with their embeddings, for a model that is to be kept; else None.

    >>> import numpy as np
    >>> f = Features(X=np.eye(2, dtype=np.float32), ids=np.array(["a", "b"]), y=np.array(["cat", "dog"]))
    >>> len(f), f.dim, f.take([1]).y.tolist()
    (2, 2, ['dog'])
    """

    X: npt.NDArray[np.float32]
    ids: npt.NDArray[np.str_]
    y: npt.NDArray[Any] | None = None
    groups: npt.NDArray[np.str_] | None = None
    domains: npt.NDArray[np.str_] | None = None
    splits: npt.NDArray[np.str_] | None = None
    keys: npt.NDArray[np.uint8] | None = None
    rows: npt.NDArray[np.intp] | None = None
    backbone: str | None = None
    fingerprint: str | None = None
    dataset: str = "arrays"
    stats: ExtractionStats | None = None
    failures: tuple[Failure, ...] = ()
    recipe: Mapping[str, Any] = field(default_factory=dict)
    check_rows: CheckRows | None = None

    _COLUMNS = ("X", "ids", "y", "groups", "domains", "splits", "keys", "rows")

    def __post_init__(self) -> None:
        for name in self._COLUMNS:
            column = getattr(self, name)
            if column is not None and len(column) != len(self.X):
                raise ShapeMismatchError(f"{name} has {len(column)} rows, X has {len(self.X)}")

    def __len__(self) -> int:
        return len(self.X)

    @property
    def dim(self) -> int:
        """The number of columns of X."""
        return int(self.X.shape[1])

    def take(self, rows: npt.ArrayLike) -> Features:
        """The chosen rows (indices or a mask), in the order given; X is copied."""
        index = np.asarray(rows)
        chosen = {n: c[index] for n in self._COLUMNS if (c := getattr(self, n)) is not None}
        return replace(self, **chosen)

    def split(self, role: str) -> Features:
        """The rows of one of the user's own splits.

        Raises:
            InputError: the dataset has no split column, or no such split.
        """
        if self.splits is None:
            raise InputError(
                f"no split {role!r}: this dataset has no split column", hint="name one with split="
            )
        rows = np.flatnonzero(self.splits == role)
        if not rows.size:
            known = ", ".join(sorted(set(self.splits.tolist())))
            raise InputError(f"no rows in split {role!r}", hint=f"splits here: {known}")
        return self.take(rows)
