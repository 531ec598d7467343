"""What accuracy costs: the Pareto fronts of a run as geometry; the template draws them as SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tlengine.reports.cells import Document, Row
from tlengine.reports.text import duration, joules, percent

__all__ = ["fronts"]

WIDTH, HEIGHT = 380, 300
LEFT, RIGHT, TOP, BOTTOM = 40.0, 366.0, 26.0, 244.0
AXES = {
    "labels": ("Labels", "labels in all"),
    "seconds": ("Time", "seconds of a fit and of embedding its rows"),
    "joules": ("Energy", "joules of a fit and of embedding its rows"),
}
DRAWN = {"dominated": 0, "undecided": 1, "front": 2}
"""What lies on top comes last."""
NUMBER = 13.0
"""Room for a number beside its dot."""
Point = Mapping[str, Any]


def fronts(document: Document, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """One drawing for each kind of cost that is known of two points or more."""
    names = {row.pair: row.name for row in rows}
    found = {axis: [p for p in document["costs"]["fronts"] if p["axis"] == axis] for axis in AXES}
    return [_front(axis, points, names) for axis, points in found.items() if len(points) > 1]


def _front(kind: str, points: Sequence[Point], names: Mapping[tuple[str, str], str]) -> dict[str, Any]:
    points = sorted(points, key=lambda p: (p["cost"], p["value"]))
    x, ticks = _log_axis([p["cost"] for p in points])
    y, shares = _share_axis([p["value"] for p in points])
    drawn = [_drawn(point, x, y) for point in points]
    best = [(point, dot) for point, dot in zip(points, drawn, strict=True) if dot["standing"] == "front"]
    for number, (_, dot) in enumerate(best, 1):
        dot["number"] = str(number)
        dot["crowded"] = (
            number > 1 and _close(dot, best[number - 2][1]) and not best[number - 2][1]["crowded"]
        )
    title, axis = AXES[kind]
    sources = sorted({p["source"] for p in points} - {"counter"})
    return {
        "title": title,
        "axis": axis,
        "width": WIDTH,
        "height": HEIGHT,
        "left": LEFT,
        "right": RIGHT,
        "bottom": BOTTOM,
        "middle": (LEFT + RIGHT) / 2,
        "ticks": ticks,
        "shares": shares,
        "line": _steps([dot for _, dot in best]),
        "points": sorted(drawn, key=lambda dot: DRAWN.get(dot["standing"], 0)),
        "listed": [_listed(kind, point, names) for point, _ in best],
        "note": f"By a {' and a '.join(sources)}: no counter could be read." if sources else "",
    }


def _drawn(point: Point, x: Any, y: Any) -> dict[str, Any]:
    """A dot with its bars of error, as far as they lie inside the drawing."""
    low, high = point["low"], point["high"]
    return {
        "standing": point["standing"],
        "control": point["role"] == "control",
        "x": x(point["cost"]),
        "y": y(point["value"]),
        "x_low": x(point["cost_low"]),
        "x_high": x(point["cost_high"]),
        "y_low": y(point["value"] if low is None else low),
        "y_high": y(point["value"] if high is None else high),
        "number": "",
        "crowded": False,
    }


def _close(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether the numbers of two dots would lie on each other, so that one goes to the other side."""
    return all(abs(float(one[way]) - float(other[way])) < NUMBER for way in ("x", "y"))


def _listed(axis: str, point: Point, names: Mapping[tuple[str, str], str]) -> str:
    pair = (point["backbone"], point["strategy"])
    name, budget = names.get(pair, " · ".join(pair)), point["budget"]
    many = "all labels" if budget == "all" else f"{budget} per class"
    found = f"{name}, {many}: {percent(point['value'])}"
    if axis == "seconds":
        return f"{found}, {duration(point['cost'])}"
    return f"{found}, {joules(point['cost'], point['source'])} J" if axis == "joules" else found


def _steps(best: Sequence[Mapping[str, Any]]) -> str:
    """The border of what can be had: level until the next point of the front."""
    corners: list[str] = []
    for i, dot in enumerate(best):
        corners += [f"{dot['x']},{best[i - 1]['y']}"] if i else []
        corners.append(f"{dot['x']},{dot['y']}")
    return " ".join([*corners, f"{RIGHT},{best[-1]['y']}"]) if best else ""


def _log_axis(costs: Sequence[float]) -> tuple[Any, list[dict[str, Any]]]:
    """A place for each cost, and ticks at round numbers; what is 0 stands where the least other one does.

    Where all cost the same, that is the tick.
    """
    known = [cost for cost in costs if cost > 0] or [1.0]
    low, high = math.log10(min(known)), math.log10(max(known))
    room = max(0.1 * (high - low), 0.1)
    low, high = low - room, high + room

    def place(cost: float) -> float:
        share = (math.log10(max(cost, 10**low)) - low) / (high - low)
        return round(LEFT + min(1.0, max(0.0, share)) * (RIGHT - LEFT), 1)

    many = high - low > 3
    steps = [1.0] if many else [1.0, 2.0, 5.0]
    powers = range(math.floor(low), math.ceil(high) + 1, max(1, round((high - low) / 5)) if many else 1)
    values = [step * 10.0**power for power in powers for step in steps]
    if len(set(known)) == 1:
        values = known[:1]
    shown = [value for value in values if low <= math.log10(value) <= high]
    return place, [{"x": place(value), "text": f"{value:,.10g}"} for value in shown]


def _share_axis(values: Sequence[float]) -> tuple[Any, list[dict[str, Any]]]:
    low = max(0.0, math.floor(10 * min(values) - 0.5) / 10)
    high = min(1.0, max(low + 0.1, math.ceil(10 * max(values)) / 10))

    def place(value: float) -> float:
        share = (value - low) / (high - low)
        return round(BOTTOM - min(1.0, max(0.0, share)) * (BOTTOM - TOP), 1)

    step = 0.1 if high - low <= 0.6 else 0.2
    shares = [low + i * step for i in range(int((high - low) / step + 1e-9) + 1)]
    return place, [{"y": place(share), "text": f"{100 * share:.0f}"} for share in shares]
