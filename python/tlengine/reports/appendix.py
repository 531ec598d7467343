"""The lower part of a report: what to know about the data, what it cost, how to repeat it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tlengine.reports.text import NARROW, count, duration, joules, milliseconds, plural

__all__ = ["costs", "details", "notes", "run_seconds"]

Document = Mapping[str, Any]

SHOWN = 50
WRITING = ("report", "save")
"""Stages that end after the page is made: without them a page of the document that is saved is the same."""
KINDS = {
    "holdout": "a stratified holdout for each seed",
    "folds": "repeated stratified folds, five for each seed",
    "given": "your own split",
}


def notes(document: Document) -> list[dict[str, Any]]:
    """One sentence for each thing the reader should know, with the samples it is about."""
    found = [_note(str(note)) for note in document["resamples"].get("notes", [])]
    excluded, unreadable, conflicts = document["excluded"], document["unreadable"], document["conflicts"]
    if excluded:
        items = [f"{e['label']} ({count(e['count'])})" for e in excluded]
        found.append(_note(f"{plural(len(items), 'class')} too small to train and test, left out", items))
    if unreadable:
        total = f"{count(len(unreadable))} of {count(document['dataset']['rows'])} samples"
        items = [f"{u['id']}: {u['reason']}" for u in unreadable]
        found.append(_note(f"{total} could not be read, left out", items))
    if document["duplicates"]["count"]:
        found.append(_near_duplicates(document["duplicates"]))
    if conflicts:
        sets = [(map(str, c["ids"]), map(str, c["labels"])) for c in conflicts]
        items = [f"{', '.join(ids)}: {' / '.join(labels)}" for ids, labels in sets]
        found.append(_note("The same content has more than one label", items))
    if judged_only := document["verdict"].get("judged_only"):
        items = [f"{j['backbone']} with {j['strategy']}" for j in judged_only]
        found.append(_note("Judged, but could not be chosen: no predictions for rows held out", items))
    return [*found, *(_failed(failed) for failed in document["failed"])]


def _failed(failed: Mapping[str, Any]) -> dict[str, Any]:
    """Who failed, at what, with how many labels, and why."""
    name = " with ".join(str(part) for part in (failed["backbone"], failed["strategy"]) if part)
    what = f"{name} failed in the step {failed['step']}" if name else f"In the step {failed['step']}"
    budgets = ", ".join(str(budget) for budget in failed.get("budgets") or ())
    where = f" at {budgets} labels per class" if budgets else ""
    hint = f" ({failed['hint']})" if failed.get("hint") else ""
    return _note(f"{what}{where}: {failed['error']}{hint}")


def _note(text: str, items: Sequence[str] = ()) -> dict[str, Any]:
    return {"text": text, "items": list(items)[:SHOWN]}


def _near_duplicates(found: Mapping[str, Any]) -> dict[str, Any]:
    total = f"{count(found['count'])} of {count(found['tested'])} tested samples"
    items = [f"{p['id']} ≈ {p['twin']} ({p['similarity']:.4f})" for p in found["pairs"]]
    text = f"{total} nearly repeat a training sample, far closer to it than others lie to each other"
    return _note(f"{text}; if they are copies, the scores flatter", items)


def costs(document: Document) -> dict[str, Any]:
    """Seconds of every stage with the length of its bar, the total, and what the cache saved."""
    known = [stage for stage in document["costs"]["stages"] if stage["stage"] not in WRITING]
    stages = [stage for stage in known if stage["seconds"] >= 0.005]
    saved = document["costs"]["saved"]
    longest = max((stage["seconds"] for stage in stages), default=1.0)
    extraction = document["costs"]["extraction"]
    return {
        "stages": [
            {
                "name": f"{stage['stage']} {_once(stage['what'])}".strip(),
                "seconds": duration(stage["seconds"]),
                "joules": "" if stage["joules"] is None else f"{joules(stage['joules'], stage['source'])} J",
                "width": round(max(0.5, 100 * stage["seconds"] / longest), 1),
            }
            for stage in stages
        ],
        "total": duration(run_seconds(document)),
        "saved": _saved(saved),
        "energy": _energy(document["costs"]),
        "fits": _fitted(document["journal"]),
        "embedding": [_embedding(e) for e in extraction if e["embedded"]],
    }


def run_seconds(document: Document) -> float:
    """Those of the run until its page was made."""
    costs = document["costs"]
    written = sum(float(stage["seconds"]) for stage in costs["stages"] if stage["stage"] in WRITING)
    return max(0.0, float(costs["total_seconds"]) - written)


def _once(what: str) -> str:
    """Backbone and strategy; a control that is its own backbone has one name.

    >>> _once("net probe"), _once("raw raw"), _once("")
    ('net probe', 'raw', '')
    """
    first, _, second = what.partition(" ")
    return first if first == second else what


def _saved(saved: Mapping[str, Any]) -> str:
    """What was there and had not to be computed."""
    parts = {
        "embeddings": saved["rows"],
        "inputs of trainable parts": saved["prefix_rows"],
        "fits": saved["fits"],
    }
    told = [f"{count(number)} {noun}" for noun, number in parts.items() if number]
    if not told:
        return ""
    flops = f" and {milliseconds(saved['flops'] / 1e9)} GFLOP" if saved["flops"] else ""
    return f"Reused: {', '.join(told)}; that saved {duration(saved['seconds'])}{flops}."


def _energy(costs: Mapping[str, Any]) -> str:
    """The joules of the run, where they come from, how far they may be off, and what they emitted."""
    totals, energy = costs["totals"], costs["energy"]
    if totals["joules"] is None:
        return "Energy: not known."
    source = totals["source"]
    error = "" if totals["error"] is None else f"± {100 * totals['error']:.0f}{NARROW}%, "
    how = {
        "counter": "by the counters of the machine, all that ran on it included",
        "model": f"a model: CPU seconds at {energy['watts_per_core']:g} W for each core",
        "constant": f"a guess: CPU seconds at {energy['watts_per_core']:g} W for each core, whatever it is",
    }.get(source, source)
    grams = totals["co2e_grams"]
    emitted = "CO₂e not known, for the grid's intensity is not"
    if grams is not None and totals["co2_intensity"] is not None:
        emitted = f"{grams:,.3g} g CO₂e at {totals['co2_intensity']:g} g/kWh"
    why = f" ({'; '.join(energy['notes'])})" if energy["notes"] and source != "counter" else ""
    return f"Energy: {joules(totals['joules'], source)} J, {error}{how}{why}; {emitted}."


def _fitted(journal: Mapping[str, Any]) -> str:
    told = plural(journal["fits"], "fit")
    taken_up = journal["taken_up"]
    return f"{told}, {count(taken_up)} of them taken up from an earlier run." if taken_up else f"{told}."


def _embedding(record: Mapping[str, Any]) -> str:
    each = 1000 * float(record.get("seconds") or 0.0) / record["embedded"]
    return f"{record['backbone']}: {milliseconds(each)} ms"


def details(document: Document) -> list[dict[str, str]]:
    """Names and values that a repetition needs."""
    resamples, environment = document["resamples"], document["environment"]
    settings = document["configuration"]
    versions = [f"{name} {version}" for name, version in environment["versions"].items() if version]
    rows = {
        "Resamples": f"{resamples['count']}: {KINDS.get(resamples['kind'], resamples['kind'])}; "
        f"{count(resamples['train'])} rows train, {count(resamples['test'])} test",
        "Seeds": ", ".join(str(seed) for seed in range(min(settings["seeds"], 20))),
        "Strategies": ", ".join(str(n) for n in settings["strategies"] if n not in settings["controls"]),
        "Controls": ", ".join(str(name) for name in settings["controls"]) or "none",
        "Metrics": ", ".join(str(name) for name in settings["metrics"]),
        "Labels per class": ", ".join(str(budget) for budget in settings["budgets"]),
        **{f"Backbone {b['name']}": _backbone(b) for b in document["backbones"]},
        "Versions": ", ".join([f"Python {environment['python']}", *versions]),
        "Machine": environment["platform"],
    }
    return [{"name": name, "text": text} for name, text in rows.items()]


def _backbone(record: Mapping[str, Any]) -> str:
    return f"{record['dim']} columns, fingerprint {str(record.get('fingerprint') or 'none')[:24]}"
