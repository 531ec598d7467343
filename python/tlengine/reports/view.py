"""What the page shows, taken from a run document and put into words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tlengine.reports.appendix import costs, details, notes
from tlengine.reports.chart import Series, label_curve
from tlengine.reports.pictures import clean_picture
from tlengine.reports.tables import accuracy_table, confusion_table, metrics_table
from tlengine.reports.text import NARROW, count, duration, interval, p_value, percent, plural, points

__all__ = ["page_view"]

Document = Mapping[str, Any]
Key = tuple[str, str, Any]

OUTCOMES = {
    "positive": "Transfer helps",
    "none": "Transfer makes no difference",
    "negative": "Transfer hurts",
    "undecided": "Undecided",
}


def page_view(document: Document) -> dict[str, Any]:
    """Everything the template needs, as text and coordinates."""
    cells, verdict = _cells(document), document["verdict"]
    rows, budgets = _rows(document, cells), document["configuration"]["budgets"]
    outcome = verdict["outcome"] if verdict["outcome"] in OUTCOMES else "undecided"
    return {
        "title": f"{document['dataset']['name']}: which backbone, and does transfer help?",
        "eyebrow": _eyebrow(document),
        "answer": verdict["answer"].replace(" %", f"{NARROW}%"),
        "outcome": {"kind": outcome, "text": OUTCOMES[outcome]},
        "facts": _facts(document),
        "charts": _charts(cells, rows, budgets),
        "accuracy": accuracy_table(cells, rows, budgets),
        "metrics": metrics_table(cells, rows, budgets[-1], document["comparisons"]),
        "largest": "all labels" if budgets[-1] == "all" else f"{budgets[-1]} labels per class",
        "confusion": confusion_table(document["confusion"]),
        "mistakes": _mistakes(document),
        "notes": notes(document),
        "costs": costs(document),
        "details": details(document),
        "test": str(verdict.get("test", "")),
        "created": str(document.get("created", "")),
        "version": str(document["environment"]["versions"].get("tlengine", "")),
    }


def _cells(document: Document) -> dict[Key, dict[str, Mapping[str, Any]]]:
    cells: dict[Key, dict[str, Mapping[str, Any]]] = {}
    for record in document["summary"]:
        key = (record["backbone"], record["strategy"], record["budget"])
        cells.setdefault(key, {})[record["metric"]] = record
    return cells


def _rows(document: Document, cells: Iterable[Key]) -> list[dict[str, Any]]:
    """Every strategy with the name to call it by (its backbone only where there are several) and its role."""
    pairs = list(dict.fromkeys(key[:2] for key in cells))
    several = len({backbone for backbone, strategy in pairs if backbone != strategy}) > 1
    best = (document["verdict"]["backbone"], document["verdict"]["strategy"])
    return [
        {
            "pair": (backbone, strategy),
            "name": f"{backbone} · {strategy}" if several and backbone != strategy else strategy,
            "role": "best"
            if (backbone, strategy) == best
            else "control"
            if backbone == strategy
            else "other",
        }
        for backbone, strategy in pairs
    ]


def _eyebrow(document: Document) -> str:
    dataset = document["dataset"]
    noun = {"image": "image", "text": "text"}.get(dataset["modality"], "row")
    return f"{dataset['name']} · {plural(dataset['rows'], noun)} · {plural(len(dataset['counts']), 'class')}"


def _facts(document: Document) -> list[dict[str, str]]:
    verdict = document["verdict"]
    low, high = verdict.get("accuracy_low"), verdict.get("accuracy_high")
    note = f"95{NARROW}% interval {interval(low, high)}" if _all_numbers(low, high) else ""
    facts = [_fact("Test accuracy", percent(verdict["accuracy"]), note)]
    effect, ends = verdict.get("effect"), (verdict.get("low"), verdict.get("high"))
    if _all_numbers(effect, *ends):
        p = verdict.get("p_adjusted")
        note = f"{points(ends[0])} to {points(ends[1])}" + (f", {p_value(p)}" if _all_numbers(p) else "")
        facts.append(_fact(f"Gain over {verdict.get('control')}", f"{points(effect)} points", note))
    return [*facts, _labels_fact(verdict), _cost_fact(document)]


def _fact(label: str, value: str, note: str) -> dict[str, str]:
    return {"label": label, "value": value, "note": note}


def _all_numbers(*values: Any) -> bool:
    return all(isinstance(value, int | float) for value in values)


def _labels_fact(verdict: Document) -> dict[str, str]:
    needed, beats = verdict.get("labels_needed", "all"), verdict.get("beats_control_with")
    note = "to come within one point of the final accuracy"
    if beats is not None and beats != "all":
        note = f"{beats} per class already beat the control"
    return _fact("Labels needed", "all" if needed == "all" else f"{needed} per class", note)


def _cost_fact(document: Document) -> dict[str, str]:
    extraction = document["costs"]["extraction"]
    embedded, cached = (sum(e[name] for e in extraction) for name in ("embedded", "cached"))
    note = f"{count(embedded)} embedded, {count(cached)} reused" if extraction else "features were given"
    return _fact("Time", duration(document["costs"]["total_seconds"]), note)


def _charts(
    cells: Mapping[Key, Mapping[str, Any]], rows: Sequence[Mapping[str, Any]], budgets: Sequence[Any]
) -> list[dict[str, Any]]:
    """The curve twice: for a wide and for a narrow page. One budget makes no curve."""
    if len(budgets) < 2:
        return []
    series = []
    for row in rows:
        values = tuple(_interval(cells.get((*row["pair"], budget))) for budget in budgets)
        if any(values):
            series.append(Series(name=row["name"], role=row["role"], values=values))
    kinds = (("wide", 760), ("narrow", 380))
    return [{"kind": kind, **label_curve(budgets, series, width=width)} for kind, width in kinds]


def _interval(cell: Mapping[str, Any] | None) -> tuple[float, float, float] | None:
    if not cell or "accuracy" not in cell:
        return None
    record = cell["accuracy"]
    return record["value"], record["low"], record["high"]


def _mistakes(document: Document) -> list[dict[str, Any]]:
    shown = []
    for record in document["mistakes"]:
        preview = record.get("preview")
        preview = preview if isinstance(preview, dict) else {}
        text = preview.get("text")
        shown.append(
            {
                **{name: record[name] for name in ("id", "truth", "predicted")},
                "confidence": percent(record["confidence"], 0),
                "picture": clean_picture(preview.get("src")),
                "text": text if isinstance(text, str) else None,
            }
        )
    return shown
