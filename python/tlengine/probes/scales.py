"""A column that is larger than the others by orders of magnitude: an index, a time, an amount."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.errors import FeatureScaleWarning

__all__ = ["warn_of_scales"]

FAR = 1e4
"""Standard deviations over their median that are no matter of taste; massive activations of networks are some
100 to 1,000."""
ROWS = 1_000
"""Looked at, spread evenly: enough for a scale, and nothing beside a pass over X."""


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
    if not isinstance(X, np.ndarray) or X.ndim != 2 or len(X) < 2:
        return
    with np.errstate(all="ignore"):
        spread = X[:: -(-len(X) // ROWS)].std(axis=0, dtype=np.float64)
    vary = np.sort(spread[np.isfinite(spread) & (spread > 0)])
    if not len(vary) or vary[-1] < FAR * (usual := vary[(len(vary) - 1) // 2]):
        return
    far = np.flatnonzero(spread >= FAR * usual)
    first = int(far[spread[far].argmax()])
    name = f"{first}" if names is None else f"{names[first]!r}"
    others = f", and so do {len(far) - 1} others" if len(far) > 1 else ""
    warnings.warn(
        f"column {name} has a standard deviation of {spread[first]:.2g}, the median column one of {usual:.2g}"
        f"{others}: it is hardly penalised and slows the solver down. Drop it if it is an index; else scale "
        "the columns, as make_pipeline(StandardScaler(), ...) does",
        FeatureScaleWarning,
        stacklevel=3,
    )
