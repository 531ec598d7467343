"""Tables of a report: accuracy by budget, training beside test, the other metrics, what a model takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tlengine.reports.cells import Cells, Document, Row, gains_of, labels_of
from tlengine.reports.fits import fits_of, mean_of
from tlengine.reports.footnotes import Footnotes
from tlengine.reports.text import (
    count,
    interval,
    joules,
    megabytes,
    milliseconds,
    p_value,
    percent,
    points,
    signed_interval,
)

__all__ = [
    "MISSING",
    "accuracy_table",
    "by_budget",
    "costs_table",
    "metrics_table",
    "training_table",
    "use_table",
]

MISSING = {"value": "–", "interval": "", "mark": ""}


def accuracy_table(document: Document, cells: Cells, rows: Sequence[Row]) -> dict[str, Any]:
    """One row for each strategy, one column for each budget: the first metric, accuracy, and its interval."""
    first, notes = document["metrics"][0], Footnotes()

    def cell(pair: tuple[str, str], budget: Any) -> dict[str, str]:
        record = cells.get((*pair, budget), {}).get(first["name"])
        return MISSING if record is None else _metric(first, record, notes)

    return {**by_budget(document, cells, rows, cell), "notes": notes.entries}


def training_table(document: Document, cells: Cells, rows: Sequence[Row]) -> dict[str, Any]:
    """The same with the accuracy on the rows that were fitted, and the test accuracy beneath."""
    fits = fits_of(document)

    def cell(pair: tuple[str, str], budget: Any) -> dict[str, str]:
        own = mean_of(fits.get((*pair, budget), ()), "train_accuracy")
        record = cells.get((*pair, budget), {}).get("accuracy")
        tested = "" if record is None or record["value"] is None else f"test {percent(record['value'])}"
        return {**MISSING, "value": "–" if own is None else percent(own), "interval": tested}

    return {**by_budget(document, cells, rows, cell), "notes": []}


def by_budget(
    document: Document,
    cells: Cells,
    rows: Sequence[Row],
    cell: Callable[[tuple[str, str], Any], dict[str, str]],
) -> dict[str, Any]:
    """A table with a row for each strategy and a column for each budget; ``cell`` says what stands in it."""
    labels = labels_of(cells, document["configuration"]["budgets"])
    heads = [{"text": str(budget), "small": f"{count(n)} in all"} for budget, n in labels.items()]
    shown = [_shown(row, [cell(row.pair, budget) for budget in labels]) for row in rows]
    return {"heads": heads, "rows": shown}


def metrics_table(document: Document, cells: Cells, rows: Sequence[Row]) -> dict[str, Any]:
    """At the largest budget: the difference to the control that is hardest for it, and every other metric."""
    budget = document["configuration"]["budgets"][-1]
    metrics = document["metrics"][1:]
    gains, notes = gains_of(document, budget), Footnotes()
    shown = []
    for row in rows:
        cell = cells.get((*row.pair, budget), {})
        found = [MISSING if m["name"] not in cell else _metric(m, cell[m["name"]], notes) for m in metrics]
        gain = [_gain(gains.get(row.pair), notes)] if gains else []
        shown.append(_shown(row, [*gain, *found]))
    nulls = {name for cell in cells.values() for name, record in cell.items() if "null" in record}
    return {
        "heads": [*([{"text": "difference", "small": ""}] if gains else []), *map(_head, metrics)],
        "rows": shown,
        "notes": notes.entries,
        "largest": "all labels" if budget == "all" else f"{budget} labels per class",
        "compared": bool(gains),
        "nulls": ", ".join(m["label"] for m in metrics if m["name"] in nulls),
    }


def _head(metric: Mapping[str, Any]) -> dict[str, str]:
    return {"text": metric["label"], "small": "" if metric["greater_is_better"] else "less is better"}


def use_table(document: Document, rows: Sequence[Row]) -> dict[str, Any]:
    """At the largest budget: time for a sample, size, and time of a fit."""
    budget, fits = document["configuration"]["budgets"][-1], fits_of(document)
    shown = []
    for row in rows:
        found = fits.get((*row.pair, budget), ())
        numbers = [mean_of(found, name) for name in ("predict_ms", "nbytes", "seconds")]
        texts = [
            "–" if number is None else say(number)
            for number, say in zip(numbers, (milliseconds, megabytes, _milliseconds_of), strict=True)
        ]
        shown.append(_shown(row, [{**MISSING, "value": text} for text in texts]))
    heads = ("ms a sample", "MB", "ms a fit")
    return {"heads": [{"text": text, "small": ""} for text in heads], "rows": shown, "notes": []}


def costs_table(document: Document, rows: Sequence[Row]) -> dict[str, Any]:
    """At the largest budget, what one model takes: its fit, and beneath it the embedding of its rows."""
    budget = document["configuration"]["budgets"][-1]
    found = {
        (c["backbone"], c["strategy"]): c for c in document["costs"]["strategies"] if c["budget"] == budget
    }
    gpu = any(cost["gpu_seconds"] is not None for cost in found.values())
    heads = ["seconds", "CPU seconds", *(["GPU seconds"] if gpu else []), "GFLOP", "MB more", "joules"]
    shown = [_shown(row, _cost(found[row.pair], gpu)) for row in rows if row.pair in found]
    taken_up = sum(cost["taken_up"] for cost in document["costs"]["strategies"])
    return {
        "heads": [{"text": text, "small": ""} for text in heads],
        "rows": shown,
        "notes": [],
        "taken_up": count(taken_up) if taken_up else "",
    }


def _cost(cost: Mapping[str, Any], gpu: bool) -> list[dict[str, str]]:
    source, joule = cost["source"], cost["joules"]
    own = cost.get("embedding_joules")
    energy = "" if joule is None else joules(joule, source)
    beside = source if own is None else f"+ {joules(own, cost.get('embedding_source') or source)}, {source}"
    return [
        _with(cost["seconds"], cost.get("embedding_seconds"), milliseconds),
        _with(cost["cpu_seconds"], None, milliseconds),
        *([_with(cost["gpu_seconds"], None, milliseconds)] if gpu else []),
        _with(cost["flops"], cost.get("embedding_flops"), lambda flops: milliseconds(flops / 1e9)),
        _with(cost["peak_bytes"], None, megabytes),
        {**MISSING, "value": energy or "–", "interval": beside if energy else ""},
    ]


def _with(value: float | None, beside: float | None, say: Callable[[float], str]) -> dict[str, str]:
    text = "–" if value is None else say(value) if value else "0"
    return {**MISSING, "value": text, "interval": f"+ {say(beside)}" if beside else ""}


def _milliseconds_of(seconds: float) -> str:
    return milliseconds(1000 * seconds)


def _shown(row: Row, cells: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    return {"name": row.name, "look": row.look, "cells": list(cells)}


def _metric(metric: Mapping[str, Any], record: Mapping[str, Any], notes: Footnotes) -> dict[str, str]:
    """A value with its interval, or what a perfectly calibrated model would show, or why there is neither."""
    value, low, high = record["value"], record["low"], record["high"]
    if value is None:
        return {"value": "–", "interval": "", "mark": notes.mark(record.get("reason"))}
    share = metric["percent"]
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
