"""Does transfer help? What is chosen against every control, and at every budget."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tlengine.reports.footnotes import Footnotes
from tlengine.reports.headline import outcome_of
from tlengine.reports.text import NARROW, count, p_value, percent, points, signed_interval

__all__ = ["transfer_panel"]

Document = Mapping[str, Any]


def transfer_panel(document: Document) -> dict[str, Any] | None:
    """The tests against the controls, and the outcome budget by budget; None without a control."""
    verdict = document["verdict"]
    if not verdict["controls"]:
        return None
    notes = Footnotes()
    own = verdict.get("transfer") or verdict
    return {
        "subject": f"{own['backbone']} with {own['strategy']}",
        "controls": [_control(record, notes) for record in verdict["controls"]],
        "budgets": [_budget(record) for record in verdict["by_budget"]],
        "reach": _reach(verdict["helps_up_to"]),
        "scope": str(verdict.get("scope", "")),
        "notes": notes.entries,
    }


def _control(record: Document, notes: Footnotes) -> dict[str, str]:
    name, view = record["control"], record["control_backbone"]
    return {
        "name": name if name == view else f"{name} ({view})",
        "value": points(record["effect"]),
        "interval": signed_interval(record["low"], record["high"]),
        "level": "" if record["low"] is None else _level(record["level"]),
        "mark": notes.mark(record.get("reason") if record["low"] is None else None),
        "p": p_value(record["p_adjusted"]),
    }


def _level(level: float) -> str:
    return f"{100 * level:.3g}{NARROW}%"


def _budget(record: Document) -> dict[str, Any]:
    tested = record["effect"] is not None
    return {
        "budget": str(record["budget"]),
        "labels": count(record["labels"]),
        "outcome": outcome_of(record["outcome"]),
        "chosen": str(record.get("strategy", "")),
        "accuracy": percent(record["accuracy"]),
        "value": points(record["effect"]) if tested else "–",
        "interval": signed_interval(record["low"], record["high"]) if tested else "",
        "control": str(record["control"]) if tested else "",
    }


def _reach(reached: Any) -> str:
    if reached is None:
        return "It is not shown to help at the smallest budget, so no number is named up to which it does."
    if reached == "all":
        return "It helps at every budget."
    return f"It helps up to {reached} labels per class."
