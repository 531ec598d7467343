"""The label-efficiency curves of a run: balanced accuracy against the number of labels, with chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tlengine.reports.cells import Cells, Document, Row, labels_of
from tlengine.reports.chart import Point, Series, label_curve

__all__ = ["curves"]

METRIC = "balanced_accuracy"
"""Its decisions do not follow how a budget's classes are shared out, so budgets can be compared."""
WIDTHS = (("wide", 760), ("narrow", 380))


def curves(document: Document, cells: Cells, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The same drawing for a wide and for a narrow page. One budget makes no curve."""
    budgets = document["configuration"]["budgets"]
    labels = labels_of(cells, budgets)
    if len(set(labels.values())) < 2:
        return []
    series = [one for row in rows if len((one := _series(cells, row, budgets)).points) > 0]
    ticks = [(count, str(budget)) for budget, count in labels.items()]
    chance = next((r["chance"] for r in document["verdict"]["by_budget"]), None)
    return [
        {"kind": kind, **label_curve(ticks, series, width=width, chance=chance)} for kind, width in WIDTHS
    ]


def _series(cells: Cells, row: Row, budgets: Sequence[Any]) -> Series:
    found = [cells.get((*row.pair, budget), {}).get(METRIC) for budget in budgets]
    points = tuple(
        Point(labels=float(r["labels"]), value=r["value"], low=r["low"], high=r["high"])
        for r in found
        if r is not None and r["value"] is not None
    )
    return Series(name=row.name, look=row.look, points=points)
