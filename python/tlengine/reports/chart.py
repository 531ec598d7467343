"""The label-efficiency curve as geometry; the template draws it as SVG.

>>> points = (Point(labels=15, value=0.5, low=0.4, high=0.6), Point(labels=300, value=0.7, low=0.6, high=0.8))
>>> chart = label_curve(
...     [(15, "5"), (300, "all")], [Series(name="probe", look="best", points=points)], width=400, chance=1 / 3
... )
>>> chart["series"][0]["name"], chart["budgets"][1]["text"], chart["chance"] is not None
('probe', 'all', True)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

__all__ = ["Point", "Series", "label_curve"]

LINE = 17
"""Least distance of two end labels, in user units."""
TICK = 40
"""Least distance of two labels below the axis."""
NAME = 23
"""Characters of a name beside its curve."""
ORDER = ("other", "control", "hardest", "best")
"""What is drawn first; what comes last lies on top, and has its name where there is no room for all."""
BANDS = ("hardest", "best")


@dataclass(frozen=True, kw_only=True)
class Point:
    """A value with so many labels; ``low`` and ``high`` are None where no interval can be had."""

    labels: float
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class Series:
    """One curve: name, look (``best``, ``hardest``, ``control`` or ``other``), points by rising labels."""

    name: str
    look: str
    points: tuple[Point, ...]


@dataclass(frozen=True, kw_only=True)
class _Frame:
    left: float
    right: float
    top: float
    bottom: float
    low: float
    high: float
    fewest: float
    most: float

    def x(self, labels: float) -> float:
        share = math.log(labels / self.fewest) / math.log(self.most / self.fewest)
        return round(self.left + share * (self.right - self.left), 1)

    def y(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.bottom - share * (self.bottom - self.top), 1)


def label_curve(
    ticks: Sequence[tuple[float, str]], series: Sequence[Series], *, width: int, chance: float | None = None
) -> dict[str, Any]:
    """Coordinates of axes, bands, lines and end labels; a share against labels, on a logarithmic axis.

    Args:
        ticks: number of labels and name of each budget, ascending; at least two numbers.
        series: curves; the best is drawn on top.
        width: of the drawing, in user units; the height follows.
        chance: what a guess reaches; drawn as a line.
    """
    values = _ticks(series, chance)
    height = 310 if width < 500 else 350
    margin = 20 + 7.2 * max((len(_short(s.name)) for s in series), default=4)
    frame = _Frame(
        left=44, right=width - margin, top=14, bottom=height - 62, low=values[0], high=values[-1],
        fewest=ticks[0][0], most=ticks[-1][0],
    )  # fmt: skip
    drawn = [_curve(s, frame) for s in sorted(series, key=lambda s: ORDER.index(s.look))]
    _name(drawn, frame)
    return {
        "width": width,
        "height": height,
        "left": frame.left,
        "right": frame.right,
        "bottom": frame.bottom,
        "middle": round((frame.left + frame.right) / 2, 1),
        "ticks": [{"y": frame.y(t), "text": f"{100 * t:.0f}"} for t in values],
        "budgets": _budgets(ticks, frame),
        "chance": None if chance is None else frame.y(chance),
        "series": drawn,
    }


def _ticks(series: Sequence[Series], chance: float | None) -> list[float]:
    """Round values that span all points, the intervals that are drawn, and chance."""
    points = [(p, s.look in BANDS) for s in series for p in s.points]
    ends = [p.value for p, _ in points] + ([] if chance is None else [chance])
    ends += [end for p, banded in points if banded for end in (p.low, p.high) if end is not None]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    step = next(s for s in (0.01, 0.02, 0.05, 0.1, 0.2, 0.25) if (high - low) / s <= 5 or s == 0.25)
    first = math.floor(low / step + 1e-9)
    last = max(first + 1, math.ceil(min(1.0, high) / step - 1e-9))
    return [round(i * step, 4) for i in range(first, last + 1)]


def _curve(series: Series, frame: _Frame) -> dict[str, Any]:
    dots = [{"x": frame.x(p.labels), "y": frame.y(p.value)} for p in series.points]
    return {
        "name": _short(series.name),
        "look": series.look,
        "bands": _bands(series, frame) if series.look in BANDS else [],
        "line": " ".join(f"{d['x']},{d['y']}" for d in dots),
        "dots": dots,
        "end_x": dots[-1]["x"],
        "end_y": dots[-1]["y"],
        "label_x": round(dots[-1]["x"] + 12, 1),
        "label_y": dots[-1]["y"],
        "named": True,
    }


def _short(name: str) -> str:
    """A name that fits beside the curve: its beginning and its end."""
    return name if len(name) <= NAME else f"{name[: NAME // 3]}…{name[1 + NAME // 3 - NAME :]}"


def _bands(series: Series, frame: _Frame) -> list[str]:
    """A polygon for each run of points that have an interval."""
    found = []
    for known, run in groupby(series.points, key=lambda p: p.low is not None and p.high is not None):
        points = list(run)
        if known:
            upper = [f"{frame.x(p.labels)},{frame.y(p.high)}" for p in points if p.high is not None]
            lower = [f"{frame.x(p.labels)},{frame.y(p.low)}" for p in reversed(points) if p.low is not None]
            found.append(" ".join(upper + lower))
    return found


def _budgets(ticks: Sequence[tuple[float, str]], frame: _Frame) -> list[dict[str, Any]]:
    """Ticks at their number of labels; their texts moved apart, to the left, as little as it takes."""
    places = [frame.x(labels) for labels, _ in ticks]
    room = min(TICK, (frame.right - frame.left) / max(1, len(places) - 1))
    at = list(places)
    for i in range(len(at) - 2, -1, -1):
        at[i] = min(at[i], at[i + 1] - room)
    at[0] = max(at[0], frame.left)
    for i in range(1, len(at)):
        at[i] = max(at[i], at[i - 1] + room)
    return [
        {"x": x, "at": round(place, 1), "text": text, "labels": f"{labels:,.0f}"}
        for x, place, (labels, text) in zip(places, at, ticks, strict=True)
    ]


def _name(drawn: list[dict[str, Any]], frame: _Frame) -> None:
    """Names at the ends, moved apart as little as it takes; without room, what is drawn first has none."""
    room = int((frame.bottom - frame.top) // LINE)
    ranked = sorted(drawn, key=lambda s: (ORDER.index(s["look"]), -s["end_y"]), reverse=True)
    for left_out in ranked[room:]:
        left_out["named"] = False
    labels = sorted(ranked[:room], key=lambda s: s["label_y"])
    for above, below in pairwise(labels):
        below["label_y"] = max(below["label_y"], above["label_y"] + LINE)
    floor = frame.bottom
    for label in reversed(labels):
        label["label_y"] = round(min(label["label_y"], floor), 1)
        floor = label["label_y"] - LINE
