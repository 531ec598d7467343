"""The label-efficiency curve as geometry; the template draws it as SVG.

>>> chart = label_curve(
...     [5, 10], [Series(name="probe", role="best", values=((0.5, 0.4, 0.6), (0.7, 0.6, 0.8)))], width=400
... )
>>> chart["series"][0]["name"], len(chart["ticks"]) >= 3
('probe', True)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

__all__ = ["Series", "label_curve"]

Interval = tuple[float, float, float]
LINE = 17
"""Least distance of two end labels, in user units."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """One curve: name, role (``best``, ``control`` or ``other``), and (value, low, high) per budget."""

    name: str
    role: str
    values: tuple[Interval | None, ...]


@dataclass(frozen=True)
class _Frame:
    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    low: float
    high: float
    n: int

    def x(self, at: int) -> float:
        return round(self.left + at * (self.right - self.left) / max(1, self.n - 1), 1)

    def y(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.bottom - share * (self.bottom - self.top), 1)


def label_curve(budgets: Sequence[int | str], series: Sequence[Series], *, width: int) -> dict[str, Any]:
    """Coordinates of axes, bands, lines and end labels; accuracy against labels per class.

    Args:
        budgets: in ascending order.
        series: curves; the control and the others are drawn first, the best on top.
        width: of the drawing, in user units; the height follows.
    """
    ticks = _ticks(series)
    height = 300 if width < 500 else 340
    margin = min(190, 16 + 7.2 * max((len(s.name) for s in series), default=4))
    frame = _Frame(width, height, 44, width - margin, 14, height - 46, ticks[0], ticks[-1], len(budgets))
    order = {"other": 0, "control": 1, "best": 2}
    drawn = [_curve(s, frame) for s in sorted(series, key=lambda s: order[s.role])]
    _spread(drawn, frame)
    return {
        "width": width,
        "height": height,
        "left": frame.left,
        "right": frame.right,
        "bottom": frame.bottom,
        "middle": round((frame.left + frame.right) / 2, 1),
        "ticks": [{"y": frame.y(t), "text": f"{100 * t:.0f}"} for t in ticks],
        "budgets": [{"x": frame.x(i), "text": str(b)} for i, b in enumerate(budgets)],
        "series": drawn,
    }


def _ticks(series: Sequence[Series]) -> list[float]:
    """Round values that span all intervals."""
    ends = [end for s in series for value in s.values if value for end in value[1:]]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    step = next(s for s in (0.01, 0.02, 0.05, 0.1, 0.2, 0.25) if (high - low) / s <= 5 or s == 0.25)
    first = math.floor(low / step + 1e-9)
    last = max(first + 1, math.ceil(min(1.0, high) / step - 1e-9))
    return [round(i * step, 4) for i in range(first, last + 1)]


def _curve(series: Series, frame: _Frame) -> dict[str, Any]:
    at = [(frame.x(i), value) for i, value in enumerate(series.values) if value]
    upper = [f"{x},{frame.y(v[2])}" for x, v in at]
    lower = [f"{x},{frame.y(v[1])}" for x, v in reversed(at)]
    dots = [{"x": x, "y": frame.y(v[0]), "low": frame.y(v[1]), "high": frame.y(v[2])} for x, v in at]
    return {
        "name": series.name,
        "role": series.role,
        "band": " ".join(upper + lower),
        "line": " ".join(f"{d['x']},{d['y']}" for d in dots),
        "dots": dots,
        "label_x": dots[-1]["x"] + 12,
        "label_y": dots[-1]["y"],
        "end_y": dots[-1]["y"],
        "end_x": dots[-1]["x"],
    }


def _spread(drawn: list[dict[str, Any]], frame: _Frame) -> None:
    """Move end labels apart, as little as it takes, within the frame."""
    labels = sorted(drawn, key=lambda s: s["label_y"])
    for above, below in pairwise(labels):
        below["label_y"] = max(below["label_y"], above["label_y"] + LINE)
    floor = frame.bottom
    for label in reversed(labels):
        label["label_y"] = round(min(label["label_y"], floor), 1)
        floor = label["label_y"] - LINE
