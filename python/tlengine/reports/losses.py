"""Training curves: the loss by step of every fit at the largest budget, one drawing for each strategy."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, median
from typing import Any

from tlengine.reports.axis import Axis, ticks
from tlengine.reports.cells import Document, Row
from tlengine.reports.fits import Fit, curve_of, fits_of, number_of, told
from tlengine.reports.text import in_fits

__all__ = ["loss_drawings"]

WIDTH, HEIGHT = 380, 230
LEFT, RIGHT, TOP, BOTTOM = 40.0, 366.0, 12.0, 184.0
TALLEST = 3.0
"""Of the median first loss: a training that runs away is cut off there, and leaves the others their room."""
Curve = list[tuple[float, float]]


def loss_drawings(document: Document, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """All on one scale of losses; none for what told no curve of two points."""
    budget, fits = document["configuration"]["budgets"][-1], fits_of(document)
    found: list[tuple[Row, list[Fit]]] = []
    for row in rows:
        known = [fit for fit in fits.get((*row.pair, budget), ()) if len(curve_of(fit)) > 1]
        if known:
            found.append((row, known))
    if not found:
        return []
    curves = [curve_of(fit) for _, known in found for fit in known]
    first, highest = median(curve[0][1] for curve in curves), max(loss for c in curves for _, loss in c)
    values = ticks(0.0, min(highest, TALLEST * first) if first > 0 else highest)
    axis = Axis(low=values[0], high=values[-1], start=BOTTOM, end=TOP)
    return [_drawing(row, known, axis, values) for row, known in found]


def _drawing(row: Row, fits: Sequence[Fit], y: Axis, losses: Sequence[float]) -> dict[str, Any]:
    curves = [curve_of(fit) for fit in fits]
    steps = ticks(0.0, max(step for curve in curves for step, _ in curve), most=4)
    x = Axis(low=0.0, high=steps[-1], start=LEFT, end=RIGHT)
    return {
        "title": row.name,
        "look": row.look,
        "width": WIDTH,
        "height": HEIGHT,
        "left": LEFT,
        "right": RIGHT,
        "bottom": BOTTOM,
        "middle": (LEFT + RIGHT) / 2,
        "ticks": [{"x": x(step), "text": f"{step:,.10g}"} for step in steps],
        "losses": [{"y": y(loss), "text": f"{loss:g}"} for loss in losses],
        "lines": [" ".join(f"{x(step)},{y(loss)}" for step, loss in curve) for curve in curves],
        "note": _note(fits, curves, y.high),
    }


def _note(fits: Sequence[Fit], curves: Sequence[Curve], top: float) -> str:
    """How long, how fast, how far; whether it would have gone on, and whether the drawing ends below it."""
    rates = sorted({rate for fit in fits if (rate := number_of(fit, "rate")) is not None})
    parts = [
        f"{max(curve[-1][0] for curve in curves):,.0f} steps",
        *([f"rate {' or '.join(f'{rate:.3g}' for rate in rates)}"] if rates else []),
        f"loss {fmean(curve[-1][1] for curve in curves):.3g} at the end",
    ]
    under = sum(told(fit, "under_trained") is True for fit in fits)
    still = f"; still falling {in_fits(under, len(fits))}" if under else ""
    cut = f"; drawn up to {top:g}" if any(loss > top for curve in curves for _, loss in curve) else ""
    return f"{', '.join(parts)}{still}{cut}"
