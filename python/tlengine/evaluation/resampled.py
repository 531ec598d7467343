"""Rows of features by the user's own split, and inner folds that respect groups and identical contents."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tlengine.data.resamples import assign_folds, unit_index
from tlengine.types import Features

__all__ = ["fold_pairs", "given_parts"]

Rows = npt.NDArray[np.intp]


def given_parts(features: Features) -> tuple[Rows, Rows | None]:
    """Training rows and test rows of the user's split; all rows and None where there is none.

    >>> features = Features(X=np.eye(2, dtype=np.float32), ids=np.array(["a", "b"]))
    >>> given_parts(features)[0].tolist(), given_parts(features)[1]
    ([0, 1], None)
    """
    if features.splits is None:
        return np.arange(len(features)), None
    train, test = np.flatnonzero(features.splits == "train"), np.flatnonzero(features.splits == "test")
    if not train.size or not test.size:
        return np.arange(len(features)), None
    return train, test


def fold_pairs(features: Features, n_folds: int) -> list[tuple[Rows, Rows]]:
    """(rows to fit, rows held out) for each stratified fold."""
    _, codes = np.unique(np.asarray(features.y), return_inverse=True)
    units = unit_index(len(features), groups=features.groups, keys=features.keys)
    folds = assign_folds(codes, units, n_folds, np.random.default_rng(0))
    return [(np.flatnonzero(folds != f), np.flatnonzero(folds == f)) for f in np.unique(folds)]
