"""The top of a report: the answer, and the numbers behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tlengine.reports.appendix import run_seconds
from tlengine.reports.cells import decisive_control
from tlengine.reports.text import (
    NARROW,
    count,
    duration,
    interval,
    p_value,
    percent,
    plural,
    points,
    signed_interval,
)

__all__ = ["headline", "outcome_of"]

Document = Mapping[str, Any]

OUTCOMES = {
    "positive": ("Transfer helps", "helps"),
    "none": ("Transfer makes no difference", "no difference"),
    "negative": ("Transfer hurts", "hurts"),
    "undecided": ("Undecided", "undecided"),
}
"""Each as a sentence, and as a word in a table."""


def headline(document: Document) -> dict[str, Any]:
    """Title, outcome, the answer (its first sentence apart) and facts."""
    verdict, dataset = document["verdict"], document["dataset"]
    first, _, rest = str(verdict["answer"]).replace(" %", f"{NARROW}%").partition(". ")
    return {
        "title": f"{dataset['name']}: which backbone, and does transfer help?",
        "eyebrow": _eyebrow(dataset),
        "outcome": outcome_of(verdict["outcome"]) if verdict["controls"] else None,
        "answer": f"{first.rstrip('.')}.",
        "more": rest,
        "facts": _facts(document),
    }


def outcome_of(kind: str) -> dict[str, str]:
    """An outcome with its words; what is not known is undecided."""
    kind = kind if kind in OUTCOMES else "undecided"
    text, word = OUTCOMES[kind]
    return {"kind": kind, "text": text, "word": word}


def _eyebrow(dataset: Document) -> str:
    noun = {"image": "image", "text": "text"}.get(dataset["modality"], "row")
    return f"{dataset['name']} · {plural(dataset['rows'], noun)} · {plural(len(dataset['counts']), 'class')}"


def _facts(document: Document) -> list[dict[str, str]]:
    verdict = document["verdict"]
    found = [_accuracy(verdict)]
    if verdict["controls"]:
        found.append(_gain(verdict))
        if verdict["outcome"] in ("none", "undecided") and verdict["margin"] is not None:
            note = str(verdict.get("settled_by") or "the smallest margin that these data support")
            label = "Any difference is below" if len(verdict["controls"]) == 1 else "Any loss is below"
            found.append(_fact(label, f"{100 * verdict['margin']:.1f} points", note))
        found.append(_reach(verdict))
    return [*found, _labels(verdict), _time(document)]


def _fact(label: str, value: str, note: str) -> dict[str, str]:
    return {"label": label, "value": value, "note": note}


def _accuracy(verdict: Document) -> dict[str, str]:
    """Of the way of choosing, which may have picked one thing here and another there."""
    low, high = verdict["accuracy_low"], verdict["accuracy_high"]
    note = f"95{NARROW}% interval {interval(low, high)}"
    if low is None:
        note = f"no interval: {verdict.get('accuracy_reason') or 'none can be had'}"
    if verdict["picked"]:
        times, of = verdict["picked"][0]["times"], verdict["picked"][0]["of"]
        note += f"; picked in {count(times)} of {count(of)}"
    return _fact("Test accuracy", percent(verdict["accuracy"]), note)


def _gain(verdict: Document) -> dict[str, str]:
    found = decisive_control(verdict) or verdict["controls"][0]
    own = verdict.get("transfer")
    who = f"{own['backbone']} with {own['strategy']}, " if own and verdict["role"] == "control" else ""
    note = f"{who}{signed_interval(found['low'], found['high'])}, {p_value(found['p_adjusted'])}"
    if found["low"] is None:
        note = f"{who}no interval: {found.get('reason') or 'none can be had'}"
    return _fact(f"Gain over {found['control']}", f"{points(found['effect'])} points", note)


def _reach(verdict: Document) -> dict[str, str]:
    reached = verdict["helps_up_to"]
    if len(verdict["by_budget"]) == 1:
        return _fact("Transfer helps up to", "–", "one budget alone cannot tell")
    if reached is None:
        fewest = verdict["by_budget"][0]["budget"] if verdict["by_budget"] else "all"
        where = "with all labels" if fewest == "all" else f"with {fewest} per class"
        return _fact("Transfer helps up to", "–", f"not shown {where}, so no number is named")
    value = "all labels" if reached == "all" else f"{reached} per class"
    return _fact("Transfer helps up to", value, "positive at every budget up to it")


def _labels(verdict: Document) -> dict[str, str]:
    needed = verdict["labels_needed"]
    if len(verdict["by_budget"]) == 1:
        return _fact("Labels needed", "–", "one budget alone cannot tell")
    if needed is None:
        return _fact("Labels needed", "–", "not surely better than chance")
    value = "all" if needed == "all" else f"{needed} per class"
    return _fact("Labels needed", value, "to come within one point of the final balanced accuracy")


def _time(document: Document) -> dict[str, str]:
    extraction = document["costs"]["extraction"]
    embedded, cached = (sum(e[name] for e in extraction) for name in ("embedded", "cached"))
    note = f"{count(embedded)} embedded, {count(cached)} reused" if extraction else "features were given"
    return _fact("Time", duration(run_seconds(document)), note)
