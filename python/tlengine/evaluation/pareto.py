"""Pareto fronts of value against cost, where both are known up to an error: arrays in, standings out."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = ["Standing", "standings"]

Standing = Literal["front", "undecided", "dominated"]
Numbers = npt.ArrayLike


def standings(
    value: Numbers,
    value_low: Numbers,
    value_high: Numbers,
    cost: Numbers,
    cost_low: Numbers,
    cost_high: Numbers,
) -> list[Standing]:
    """Where each of n points stands, more value and less cost being better.

    Two points are ordered in value, or in cost, only where their intervals do not meet, or where both are
    known exactly. A point is ``"dominated"`` if another is surely better in one of them, and in the other
    surely better or exactly equal. It is on the ``"front"`` if none is as good in both and better in one by
    the plain numbers. In between it is ``"undecided"``: behind another by a difference within the error.

    Args:
        value: (n,) finite numbers.
        value_low: (n,) the lower ends of their intervals; NaN for none, which orders the point with no other.
        value_high: (n,) the upper ends.
        cost: (n,) finite numbers.
        cost_low: (n,) the lower ends of their intervals, as those of the values.
        cost_high: (n,) the upper ends.

    Returns:
        n standings.

    >>> standings([0.9, 0.8, 0.85], [0.88, 0.78, 0.8], [0.92, 0.82, 0.9], [1, 2, 2], [1, 2, 1], [1, 2, 3])
    ['front', 'dominated', 'undecided']
    """
    value_better, value_as_good = _ordered(-_array(value_high), -_array(value_low))
    cost_better, cost_as_good = _ordered(_array(cost_low), _array(cost_high))
    surely = value_as_good & cost_as_good & (value_better | cost_better)
    v, c = _array(value), _array(cost)
    more, less = v[:, None] - v[None, :], c[None, :] - c[:, None]
    plainly = (more >= 0) & (less >= 0) & ((more > 0) | (less > 0))
    return [
        "dominated" if surely[:, i].any() else "undecided" if plainly[:, i].any() else "front"
        for i in range(len(v))
    ]


def _array(numbers: Numbers) -> npt.NDArray[np.float64]:
    return np.asarray(numbers, dtype=np.float64)


def _ordered(
    low: npt.NDArray[np.float64], high: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """(n, n) each: whether the first is surely less than the second; whether it is that or exactly equal."""
    less = high[:, None] < low[None, :]  # a comparison with NaN is false
    exact = low == high
    equal = exact[:, None] & exact[None, :] & (low[:, None] == low[None, :])
    return less, less | equal
