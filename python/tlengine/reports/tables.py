"""Tables of a report: accuracy by budget, the other metrics, confusions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tlengine.reports.text import interval, p_value, percent, points

__all__ = ["accuracy_table", "confusion_table", "metrics_table"]

Cells = Mapping[tuple[str, str, Any], Mapping[str, Mapping[str, Any]]]
Rows = Sequence[Mapping[str, Any]]

MATRIX = 12
"""Up to this many classes the confusion matrix is drawn; beyond, the most frequent confusions are listed."""
MISSING = {"value": "–", "interval": ""}


def accuracy_table(cells: Cells, rows: Rows, budgets: Sequence[Any]) -> dict[str, Any]:
    """One row per strategy, one column per budget."""
    shown = []
    for row in rows:
        found = [cells.get((*row["pair"], budget), {}).get("accuracy") for budget in budgets]
        shown.append({**row, "cells": [_shares(record) if record else MISSING for record in found]})
    return {"heads": [str(budget) for budget in budgets], "rows": shown}


def metrics_table(
    cells: Cells, rows: Rows, budget: Any, comparisons: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """One row per strategy: the gain over the control, balanced accuracy, log-loss, calibration error."""
    gains = {(c["backbone"], c["strategy"], c["budget"]): c for c in comparisons}
    shown = []
    for row in rows:
        cell, gain = cells.get((*row["pair"], budget), {}), gains.get((*row["pair"], budget))
        numbers = [_metric(name, cell.get(name)) for name in ("balanced_accuracy", "log_loss", "ece")]
        shown.append({**row, "cells": numbers, "gain": _gain(gain) if gain else {**MISSING, "p": ""}})
    return shown


def _shares(record: Mapping[str, Any]) -> dict[str, str]:
    return {"value": percent(record["value"]), "interval": interval(record["low"], record["high"])}


def _metric(name: str, record: Mapping[str, Any] | None) -> dict[str, str]:
    if record is None:
        return MISSING
    if name == "balanced_accuracy":
        return _shares(record)
    return {"value": f"{record['value']:.3f}", "interval": f"{record['low']:.3f}–{record['high']:.3f}"}


def _gain(record: Mapping[str, Any]) -> dict[str, str]:
    return {
        "value": points(record["effect"]),
        "interval": f"{points(record['low'])} to {points(record['high'])}",
        "p": p_value(record["p_adjusted"]),
    }


def confusion_table(confusion: Mapping[str, Any]) -> dict[str, Any]:
    """The matrix in shares of each true class, or the most frequent confusions of many classes."""
    classes = [str(name) for name in confusion["classes"]]
    counts = [[float(n) for n in row] for row in confusion["counts"]]
    shares = [[n / (sum(row) or 1.0) for n in row] for row in counts]
    if len(classes) <= MATRIX:
        rows = [
            {"name": name, "cells": [_heat(share, i == j) for j, share in enumerate(row)]}
            for i, (name, row) in enumerate(zip(classes, shares, strict=True))
        ]
        return {"classes": classes, "rows": rows, "pairs": []}
    mistaken = [(s, i, j) for i, row in enumerate(shares) for j, s in enumerate(row) if i != j and s > 0]
    pairs = [
        {"truth": classes[i], "predicted": classes[j], "share": percent(share, 0)}
        for share, i, j in sorted(mistaken, reverse=True)[:MATRIX]
    ]
    return {"classes": classes, "rows": [], "pairs": pairs}


def _heat(share: float, hit: bool) -> dict[str, Any]:
    return {"text": f"{100 * share:.0f}", "heat": round(10 * share), "hit": hit}
