"""A linear axis with round ticks."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Axis", "ticks"]


@dataclass(frozen=True, kw_only=True)
class Axis:
    """Values from ``low`` to ``high`` on a line from ``start`` to ``end``; what lies outside stands there.

    >>> Axis(low=0.0, high=10.0, start=100.0, end=200.0)(2.5)
    125.0
    """

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The place of a value."""
        share = min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))
        return round(self.start + share * (self.end - self.start), 1)


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round values that span ``low`` to ``high``: steps of 1, 2 or 5 by a power of ten, about ``most``.

    >>> ticks(-3.2, 21.0), ticks(0.0, 1.38), ticks(4.0, 4.0)
    ([-5.0, 0.0, 5.0, 10.0, 15.0, 20.0, 25.0], [0.0, 0.5, 1.0, 1.5], [4.0, 4.2])
    """
    wide = (high - low) or 1.0
    power = 10.0 ** math.floor(math.log10(wide / most))
    step = next(factor * power for factor in (1, 2, 5, 10) if wide / (factor * power) <= most)
    first = math.floor(low / step + 1e-9)
    last = max(first + 1, math.ceil(high / step - 1e-9))
    return [float(f"{i * step:.12g}") for i in range(first, last + 1)]
