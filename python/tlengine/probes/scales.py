"""A column that is larger than the others by orders of magnitude: an index, a time, an amount."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tlengine.errors import FeatureScaleWarning
from tlengine.probes.said import users_level

__all__ = ["Far", "far_columns", "warn_of_scales"]

FAR = 1e4
"""Standard deviations over their median that are no matter of taste; massive activations of networks are some
100 to 1,000."""
ROWS = 1_000
"""Looked at, spread evenly: enough for a scale, and nothing beside a pass over X."""


class Far(NamedTuple):
    """Columns that vary far more than the median one.

    Attributes:
        column: the widest.
        spread: its standard deviation. ``usual``: that of the median column.
        others: how many more there are.
    """

    column: int
    spread: float
    usual: float
    others: int

    @property
    def ratio(self) -> float:
        """How many times as much as the median column the widest varies."""
        return self.spread / self.usual

    def name(self, names: Sequence[Any] | npt.NDArray[Any] | None) -> str:
        """The name of the widest, or its number."""
        return f"{self.column}" if names is None else f"{names[self.column]!r}"


def far_columns(X: Any, times: float) -> Far | None:
    """Columns of X (n, d) that vary at least so many times as much as the median one, if there are any.

    >>> far_columns(np.c_[np.eye(4), 1e6 * np.arange(4)], 1e3).column
    4
    """
    if not isinstance(X, np.ndarray) or X.ndim != 2 or len(X) < 2:
        return None
    with np.errstate(all="ignore"):
        spread = X[:: -(-len(X) // ROWS)].std(axis=0, dtype=np.float64)
    vary = np.sort(spread[np.isfinite(spread) & (spread > 0)])
    if not len(vary) or vary[-1] < times * (usual := vary[(len(vary) - 1) // 2]):
        return None
    far = np.flatnonzero(spread >= times * usual)
    first = int(far[spread[far].argmax()])
    return Far(first, float(spread[first]), float(usual), len(far) - 1)


def warn_of_scales(X: Any, names: Sequence[Any] | npt.NDArray[Any] | None = None) -> None:
    """One ``FeatureScaleWarning`` where columns vary at least 1e4 times as much as the median column does.

    Such a column is nearly free of penalty and takes the solver many steps. Constant columns are no matter,
    and sparse matrices are not looked at.

    Args:
        X: (n, d) finite or not.
        names: (d,) of the columns, for the message.

    >>> import pytest
    >>> X = np.random.default_rng(0).normal(size=(50, 3))
    >>> warn_of_scales(X)
    >>> with pytest.warns(FeatureScaleWarning, match="column 2 has a standard deviation of 1.4e.05"):
    ...     warn_of_scales(np.c_[X[:, :2], 1e4 * np.arange(50)])
    """
    far = far_columns(X, FAR)
    if far is None:
        return
    others = f", and so do {far.others} others" if far.others else ""
    warnings.warn(
        f"column {far.name(names)} has a standard deviation of {far.spread:.2g}, the median column one of "
        f"{far.usual:.2g}{others}: it is hardly penalised and slows the solver down. Drop it if it is an "
        "index; else scale the columns, as make_pipeline(StandardScaler(), ...) does",
        FeatureScaleWarning,
        stacklevel=users_level(),
    )
