"""Tables of a report: accuracy by budget, training beside test, the other metrics, what a model takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tlengine.reports.cells import Cells, Document, Row, gains_of, labels_of
from tlengine.reports.footnotes import Footnotes
from tlengine.reports.text import (
    count,
    interval,
    megabytes,
    milliseconds,
    p_value,
    percent,
    points,
    signed_interval,
)

__all__ = ["accuracy_table", "metrics_table", "training_table", "use_table"]

MISSING = {"value": "–", "interval": "", "mark": ""}
METRICS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "log_loss": "log-loss",
    "ece": "calibration error",
    "macro_f1": "macro F1",
    "auroc": "AUROC",
    "average_precision": "average precision",
    "top5": "in the top 5",
    "brier": "Brier score",
}
"""What to call metrics; others have their own name."""
SHARES = ("accuracy", "balanced_accuracy", "macro_f1", "top5")
"""Metrics that people read in per cent."""


def accuracy_table(document: Document, cells: Cells, rows: Sequence[Row]) -> dict[str, Any]:
    """One row for each strategy, one column for each budget: test accuracy and its interval."""
    notes = Footnotes()

    def cell(pair: tuple[str, str], budget: Any) -> dict[str, str]:
        record = cells.get((*pair, budget), {}).get("accuracy")
        return MISSING if record is None else _metric(record, notes)

    return {**_by_budget(document, cells, rows, cell), "notes": notes.entries}


def training_table(document: Document, cells: Cells, rows: Sequence[Row]) -> dict[str, Any]:
    """The same with the accuracy on the rows that were fitted, and the test accuracy beneath."""
    fits = _fits(document)

    def cell(pair: tuple[str, str], budget: Any) -> dict[str, str]:
        own = _mean(fits.get((*pair, budget), ()), "train_accuracy")
        record = cells.get((*pair, budget), {}).get("accuracy")
        tested = "" if record is None or record["value"] is None else f"test {percent(record['value'])}"
        return {**MISSING, "value": "–" if own is None else percent(own), "interval": tested}

    return {**_by_budget(document, cells, rows, cell), "notes": []}


def _by_budget(
    document: Document,
    cells: Cells,
    rows: Sequence[Row],
    cell: Callable[[tuple[str, str], Any], dict[str, str]],
) -> dict[str, Any]:
    labels = labels_of(cells, document["configuration"]["budgets"])
    heads = [{"text": str(budget), "small": f"{count(n)} in all"} for budget, n in labels.items()]
    shown = [_shown(row, [cell(row.pair, budget) for budget in labels]) for row in rows]
    return {"heads": heads, "rows": shown}


def metrics_table(document: Document, cells: Cells, rows: Sequence[Row]) -> dict[str, Any]:
    """At the largest budget: the difference to the control that is hardest for it, and every other metric."""
    budget = document["configuration"]["budgets"][-1]
    names = [name for name in document["configuration"]["metrics"] if name != "accuracy"]
    gains, notes = gains_of(document, budget), Footnotes()
    shown = []
    for row in rows:
        cell = cells.get((*row.pair, budget), {})
        found = [MISSING if name not in cell else _metric(cell[name], notes) for name in names]
        gain = [_gain(gains.get(row.pair), notes)] if gains else []
        shown.append(_shown(row, [*gain, *found]))
    heads = [METRICS.get(name, name) for name in names]
    return {
        "heads": [{"text": text, "small": ""} for text in [*(["difference"] if gains else []), *heads]],
        "rows": shown,
        "notes": notes.entries,
        "largest": "all labels" if budget == "all" else f"{budget} labels per class",
        "compared": bool(gains),
        "calibrated": any("null" in r for cell in cells.values() for r in cell.values()),
    }


def use_table(document: Document, rows: Sequence[Row]) -> dict[str, Any]:
    """At the largest budget: time for a sample, size, and time of a fit."""
    budget, fits = document["configuration"]["budgets"][-1], _fits(document)
    shown = []
    for row in rows:
        found = fits.get((*row.pair, budget), ())
        numbers = [_mean(found, name) for name in ("predict_ms", "nbytes", "seconds")]
        texts = [
            "–" if number is None else say(number)
            for number, say in zip(numbers, (milliseconds, megabytes, _milliseconds_of), strict=True)
        ]
        shown.append(_shown(row, [{**MISSING, "value": text} for text in texts]))
    heads = ("ms a sample", "MB", "ms a fit")
    return {"heads": [{"text": text, "small": ""} for text in heads], "rows": shown, "notes": []}


def _milliseconds_of(seconds: float) -> str:
    return milliseconds(1000 * seconds)


def _shown(row: Row, cells: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    return {"name": row.name, "look": row.look, "cells": list(cells)}


def _metric(record: Mapping[str, Any], notes: Footnotes) -> dict[str, str]:
    """A value with its interval, or what a perfectly calibrated model would show, or why there is neither."""
    value, low, high = record["value"], record["low"], record["high"]
    if value is None:
        return {"value": "–", "interval": "", "mark": notes.mark(record.get("reason"))}
    share = record["metric"] in SHARES
    text = percent(value) if share else f"{value:.3f}"
    null = record.get("null")
    if isinstance(null, dict) and {"expected", "high"} <= null.keys():
        perfect = f"perfect: {null['expected']:.3f}, ≤ {null['high']:.3f}"
        return {"value": text, "interval": perfect, "mark": notes.mark(null.get("reason"))}
    if low is None or high is None:
        return {"value": text, "interval": "–", "mark": notes.mark(record.get("reason"))}
    return {"value": text, "interval": interval(low, high) if share else f"{low:.3f}–{high:.3f}", "mark": ""}


def _gain(record: Mapping[str, Any] | None, notes: Footnotes) -> dict[str, str]:
    if record is None:
        return MISSING
    ends = signed_interval(record["low"], record["high"])
    return {
        "value": f"{points(record['effect'])} ({record['control']})",
        "interval": f"{ends}, {p_value(record['p_adjusted'])}",
        "mark": notes.mark(record.get("reason") if record["low"] is None else None),
    }


def _fits(document: Document) -> dict[tuple[str, str, Any], list[Mapping[str, Any]]]:
    found: dict[tuple[str, str, Any], list[Mapping[str, Any]]] = {}
    for fit in document["fits"]:
        found.setdefault((fit["backbone"], fit["strategy"], fit["budget"]), []).append(fit)
    return found


def _mean(fits: Sequence[Mapping[str, Any]], name: str) -> float | None:
    known = [float(fit[name]) for fit in fits if fit.get(name) is not None]
    return sum(known) / len(known) if known else None
