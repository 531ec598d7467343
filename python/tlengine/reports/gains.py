"""The gain over each control with its interval, budget by budget: one drawing for each control."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tlengine.reports.axis import Axis, ticks
from tlengine.reports.text import points, signed_interval

__all__ = ["gain_drawings"]

Record = Mapping[str, Any]
WIDTH, LEFT, RIGHT, TOP, ROW, FOOT = 380, 34.0, 202.0, 8.0, 25.0, 40.0
"""User units: the whole, the axis between left and right, the numbers beside it."""


def gain_drawings(document: Record) -> list[dict[str, Any]]:
    """All on one scale, in percentage points; none for a run of one budget, whose table says it all."""
    by_budget = [r for r in document["verdict"]["by_budget"] if r.get("controls")]
    if len(by_budget) < 2:
        return []
    found: dict[tuple[str, str], list[tuple[Any, Record]]] = {}
    for record in by_budget:
        for test in record["controls"]:
            key = (test["control"], test["control_backbone"])
            found.setdefault(key, []).append((record["budget"], test))
    tests = [test for tests in found.values() for _, test in tests]
    known = [test[end] for test in tests for end in ("effect", "low", "high") if test[end] is not None]
    values = ticks(100 * min(0.0, *known), 100 * max(0.0, *known), most=4)
    axis = Axis(low=values[0], high=values[-1], start=LEFT, end=RIGHT)
    return [_drawing(key, tests, axis, values) for key, tests in found.items()]


def _drawing(
    key: tuple[str, str], tests: list[tuple[Any, Record]], axis: Axis, values: list[float]
) -> dict[str, Any]:
    name, view = key
    bottom = TOP + ROW * len(tests)
    return {
        "title": name if name == view else f"{name} ({view})",
        "width": WIDTH,
        "height": bottom + FOOT,
        "top": TOP,
        "bottom": bottom,
        "left": LEFT,
        "middle": (LEFT + RIGHT) / 2,
        "zero": axis(0.0),
        "ticks": [{"x": axis(v), "text": f"{v:+g}".replace("-", "−") if v else "0"} for v in values],
        "rows": [
            _row(str(budget), test, axis, TOP + ROW * (at + 0.5)) for at, (budget, test) in enumerate(tests)
        ],
    }


def _row(budget: str, test: Record, axis: Axis, y: float) -> dict[str, Any]:
    low, high, effect = test["low"], test["high"], test["effect"]
    found = {"budget": budget, "y": y, "x": axis(100 * effect), "look": "open", "x_low": None, "x_high": None}
    if low is None or high is None:
        return {**found, "text": f"{points(effect)} (no interval)"}
    look = "gain" if low > 0 else "loss" if high < 0 else "open"
    ends = {"x_low": axis(100 * low), "x_high": axis(100 * high), "look": look}
    return {**found, **ends, "text": f"{points(effect)} ({signed_interval(low, high)})"}
