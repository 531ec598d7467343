"""What the page shows, taken from a run document and put into words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tlengine.reports.chart import Series, label_curve
from tlengine.reports.pictures import clean_picture
from tlengine.reports.text import count, duration, interval, p_value, percent, plural, points

__all__ = ["page_view"]

Document = Mapping[str, Any]
Key = tuple[str, str, Any]

OUTCOMES = {
    "positive": "Transfer helps",
    "none": "Transfer makes no difference",
    "negative": "Transfer hurts",
    "undecided": "Undecided",
}
MATRIX = 12
"""Up to this many classes the confusion matrix is drawn; beyond, the most frequent confusions are listed."""
KINDS = {
    "holdout": "a stratified holdout for each seed",
    "folds": "repeated stratified folds, five for each seed",
    "given": "your own split",
}


def page_view(document: Document) -> dict[str, Any]:
    """Everything the template needs, as text and coordinates."""
    cells = _cells(document)
    names = _names(document, cells)
    budgets = document["configuration"]["budgets"]
    return {
        "title": f"{document['dataset']['name']}: which backbone, and does transfer help?",
        "eyebrow": _eyebrow(document),
        "answer": document["answer"] if isinstance(document.get("answer"), str) else document["verdict"]["answer"],
        "outcome": {
            "kind": document["verdict"]["outcome"] if document["verdict"]["outcome"] in OUTCOMES else "undecided",
            "text": OUTCOMES.get(document["verdict"]["outcome"], "Undecided"),
        },
        "facts": _facts(document),
        "charts": _charts(document, cells, names, budgets),
        "accuracy": _accuracy_table(document, cells, names, budgets),
        "metrics": _metrics_table(document, cells, names, budgets[-1]),
        "largest": _labels(budgets[-1]),
        "confusion": _confusion(document),
        "mistakes": _mistakes(document),
        "notes": _notes(document),
        "costs": _costs(document),
        "details": _details(document),
        "test": str(document["verdict"].get("test", "")),
        "created": str(document.get("created", "")),
        "version": str(document["environment"]["versions"].get("tlengine", "")),
    }


def _cells(document: Document) -> dict[Key, dict[str, Mapping[str, Any]]]:
    cells: dict[Key, dict[str, Mapping[str, Any]]] = {}
    for record in document["summary"]:
        key = (record["backbone"], record["strategy"], record["budget"])
        cells.setdefault(key, {})[record["metric"]] = record
    return cells


def _names(document: Document, cells: Iterable[Key]) -> dict[tuple[str, str], str]:
    """What to call each strategy: with its backbone only where there are several."""
    pairs = list(dict.fromkeys(key[:2] for key in cells))
    several = len({backbone for backbone, strategy in pairs if backbone != strategy}) > 1
    return {(b, s): f"{b} · {s}" if several and b != s else s for b, s in pairs}


def _is_best(document: Document, pair: tuple[str, str]) -> bool:
    return pair == (document["verdict"]["backbone"], document["verdict"]["strategy"])


def _is_control(pair: tuple[str, str]) -> bool:
    return pair == ("raw", "raw")


def _labels(budget: Any) -> str:
    return "all labels" if budget == "all" else f"{budget} labels per class"


def _eyebrow(document: Document) -> str:
    dataset = document["dataset"]
    noun = {"image": "image", "text": "text"}.get(dataset["modality"], "row")
    return f"{dataset['name']} · {plural(dataset['rows'], noun)} · {plural(len(dataset['counts']), 'class')}"


def _facts(document: Document) -> list[dict[str, str]]:
    verdict = document["verdict"]
    low, high = verdict.get("accuracy_low"), verdict.get("accuracy_high")
    facts = [
        {
            "label": "Test accuracy",
            "value": percent(verdict["accuracy"]),
            "note": f"95{chr(0x202F)}% interval {interval(low, high)}" if _all_numbers(low, high) else "",
        }
    ]
    effect, ends = verdict.get("effect"), (verdict.get("low"), verdict.get("high"))
    if _all_numbers(effect, *ends):
        p = verdict.get("p_adjusted")
        facts.append(
            {
                "label": f"Gain over {verdict.get('control')}",
                "value": f"{points(effect)} points",
                "note": f"{points(ends[0])} to {points(ends[1])}" + (f", {p_value(p)}" if _all_numbers(p) else ""),
            }
        )
    facts.append(_labels_fact(verdict))
    facts.append(_cost_fact(document))
    return facts


def _all_numbers(*values: Any) -> bool:
    return all(isinstance(value, int | float) for value in values)


def _labels_fact(verdict: Document) -> dict[str, str]:
    needed, beats = verdict.get("labels_needed", "all"), verdict.get("beats_control_with")
    if beats is not None and beats != "all":
        note = f"{beats} already beat the control with all"
    else:
        note = "within one point of the final accuracy"
    return {"label": "Labels needed", "value": "all" if needed == "all" else f"{needed} per class", "note": note}


def _cost_fact(document: Document) -> dict[str, str]:
    extraction = document["costs"]["extraction"]
    embedded, cached = sum(e["embedded"] for e in extraction), sum(e["cached"] for e in extraction)
    note = f"{count(embedded)} embedded, {count(cached)} reused" if extraction else "features were given"
    return {"label": "Time", "value": duration(document["costs"]["total_seconds"]), "note": note}


def _charts(
    document: Document,
    cells: Mapping[Key, Mapping[str, Any]],
    names: Mapping[tuple[str, str], str],
    budgets: Sequence[Any],
) -> list[dict[str, Any]]:
    """The curve twice: for a wide and for a narrow page. One budget makes no curve."""
    if len(budgets) < 2:
        return []
    series = []
    for pair, name in names.items():
        role = "best" if _is_best(document, pair) else "control" if _is_control(pair) else "other"
        values = tuple(_interval(cells.get((*pair, budget))) for budget in budgets)
        if any(values):
            series.append(Series(name=name, role=role, values=values))
    return [{"kind": kind, **label_curve(budgets, series, width=w)} for kind, w in (("wide", 760), ("narrow", 380))]


def _interval(cell: Mapping[str, Any] | None) -> tuple[float, float, float] | None:
    if not cell or "accuracy" not in cell:
        return None
    record = cell["accuracy"]
    return record["value"], record["low"], record["high"]


def _accuracy_table(
    document: Document,
    cells: Mapping[Key, Mapping[str, Any]],
    names: Mapping[tuple[str, str], str],
    budgets: Sequence[Any],
) -> dict[str, Any]:
    rows = []
    for pair, name in names.items():
        found = [_interval(cells.get((*pair, budget))) for budget in budgets]
        shown = [
            {"value": percent(v[0]), "interval": interval(v[1], v[2])} if v else {"value": "–", "interval": ""}
            for v in found
        ]
        rows.append({"name": name, "best": _is_best(document, pair), "control": _is_control(pair), "cells": shown})
    return {"heads": [str(b) for b in budgets], "rows": rows}


def _metrics_table(
    document: Document,
    cells: Mapping[Key, Mapping[str, Any]],
    names: Mapping[tuple[str, str], str],
    budget: Any,
) -> list[dict[str, Any]]:
    gains = {(c["backbone"], c["strategy"], c["budget"]): c for c in document["comparisons"]}
    rows = []
    for pair, name in names.items():
        cell, gain = cells.get((*pair, budget), {}), gains.get((*pair, budget))
        shown = []
        for metric in ("balanced_accuracy", "log_loss", "ece"):
            record = cell.get(metric)
            shown.append(_metric(metric, record) if record else {"value": "–", "interval": ""})
        rows.append(
            {
                "name": name,
                "best": _is_best(document, pair),
                "control": _is_control(pair),
                "cells": shown,
                "gain": _gain(gain) if gain else {"value": "–", "interval": "", "p": "", "kind": ""},
            }
        )
    return rows


def _metric(metric: str, record: Mapping[str, Any]) -> dict[str, str]:
    if metric == "balanced_accuracy":
        return {"value": percent(record["value"]), "interval": interval(record["low"], record["high"])}
    return {"value": f"{record['value']:.3f}", "interval": f"{record['low']:.3f}–{record['high']:.3f}"}


def _gain(record: Mapping[str, Any]) -> dict[str, str]:
    return {
        "value": points(record["effect"]),
        "interval": f"{points(record['low'])} to {points(record['high'])}",
        "p": p_value(record["p_adjusted"]),
        "kind": record["outcome"] if record["outcome"] in OUTCOMES else "undecided",
    }


def _confusion(document: Document) -> dict[str, Any]:
    classes = [str(c) for c in document["confusion"]["classes"]]
    counts = [[float(n) for n in row] for row in document["confusion"]["counts"]]
    shares = [[n / (sum(row) or 1.0) for n in row] for row in counts]
    if len(classes) <= MATRIX:
        rows = [
            {
                "name": name,
                "cells": [
                    {"text": f"{100 * s:.0f}", "heat": round(10 * s), "hit": i == j} for j, s in enumerate(row)
                ],
            }
            for i, (name, row) in enumerate(zip(classes, shares, strict=True))
        ]
        return {"classes": classes, "rows": rows, "pairs": []}
    pairs = sorted(
        ((s, i, j) for i, row in enumerate(shares) for j, s in enumerate(row) if i != j and s > 0), reverse=True
    )
    listed = [{"truth": classes[i], "predicted": classes[j], "share": percent(s, 0)} for s, i, j in pairs[:12]]
    return {"classes": classes, "rows": [], "pairs": listed}


def _mistakes(document: Document) -> list[dict[str, Any]]:
    shown = []
    for record in document["mistakes"]:
        preview = record.get("preview")
        preview = preview if isinstance(preview, dict) else {}
        text = preview.get("text")
        shown.append(
            {
                "id": record["id"],
                "truth": record["truth"],
                "predicted": record["predicted"],
                "confidence": percent(record["confidence"], 0),
                "picture": clean_picture(preview.get("src")),
                "text": text if isinstance(text, str) else None,
            }
        )
    return shown


def _notes(document: Document) -> list[dict[str, Any]]:
    """What the reader should know about the data: one sentence each, with the rows it is about."""
    duplicates, dataset = document["duplicates"], document["dataset"]
    notes = [{"text": str(note), "items": []} for note in document["resamples"].get("notes", [])]
    if document["excluded"]:
        items = [f"{e['label']} ({count(e['count'])})" for e in document["excluded"]]
        text = f"{plural(len(items), 'class')} too small to train and test, left out"
        notes.append({"text": text, "items": items})
    if document["unreadable"]:
        items = [f"{u['id']}: {u['reason']}" for u in document["unreadable"][:50]]
        text = f"{count(len(document['unreadable']))} of {count(dataset['rows'])} samples could not be read, left out"
        notes.append({"text": text, "items": items})
    if duplicates["count"]:
        items = [f"{p['id']} ≈ {p['twin']} ({p['similarity']:.4f})" for p in duplicates["pairs"][:50]]
        text = (
            f"{count(duplicates['count'])} of {count(duplicates['tested'])} tested samples nearly repeat a training "
            f"sample (cosine above {duplicates['threshold']}): their scores flatter"
        )
        notes.append({"text": text, "items": items})
    if document["conflicts"]:
        items = [f"{', '.join(map(str, c['ids']))}: {' / '.join(map(str, c['labels']))}" for c in document["conflicts"]]
        text = f"{plural(len(items), 'content')} occur with more than one label"
        notes.append({"text": text, "items": items})
    for failed in document["failed"]:
        name = " with ".join(str(f) for f in (failed["backbone"], failed["strategy"]) if f)
        notes.append({"text": f"{name} failed: {failed['error']}", "items": []})
    return notes


def _costs(document: Document) -> dict[str, Any]:
    stages = [s for s in document["costs"]["stages"] if s["seconds"] >= 0.005]
    longest = max((s["seconds"] for s in stages), default=1.0)
    extraction = document["costs"]["extraction"]
    saved = sum(float(e.get("seconds_saved") or 0.0) for e in extraction)
    cached = sum(e["cached"] for e in extraction)
    return {
        "stages": [
            {
                "name": f"{s['stage']} {s['what']}".strip(),
                "seconds": duration(s["seconds"]),
                "width": round(max(0.5, 100 * s["seconds"] / longest), 1),
            }
            for s in stages
        ],
        "total": duration(document["costs"]["total_seconds"]),
        "saved": f"The cache served {count(cached)} embeddings and saved {duration(saved)}." if cached else "",
    }


def _details(document: Document) -> list[dict[str, str]]:
    resamples, settings, environment = document["resamples"], document["configuration"], document["environment"]
    versions = ", ".join(f"{name} {version}" for name, version in environment["versions"].items() if version)
    seeds = ", ".join(str(i) for i in range(min(settings["seeds"], 20)))
    rows = [
        {
            "name": "Resamples",
            "text": f"{resamples['count']}: {KINDS.get(resamples['kind'], resamples['kind'])}; "
            f"{count(resamples['train'])} rows train, {count(resamples['test'])} test",
        },
        {"name": "Seeds", "text": seeds},
        {"name": "Labels per class", "text": ", ".join(str(b) for b in settings["budgets"])},
    ]
    for backbone in document["backbones"]:
        fingerprint = str(backbone.get("fingerprint") or "none")
        text = f"{backbone['dim']} columns, fingerprint {fingerprint[:24]}"
        rows.append({"name": f"Backbone {backbone['name']}", "text": text})
    rows.append({"name": "Versions", "text": f"Python {environment['python']}, {versions}"})
    rows.append({"name": "Machine", "text": environment["platform"]})
    return rows
