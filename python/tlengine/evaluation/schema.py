"""What a run document must have: ``"format": "tlengine-run"``, a version, and all that a report shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tlengine.errors import RunFormatError

__all__ = ["FORMAT", "VERSION", "check_document"]

FORMAT, VERSION = "tlengine-run", 2

Kinds = tuple[type, ...]
Keys = Mapping[str, Kinds]

_TEXT: Kinds = (str,)
_NUMBER: Kinds = (int, float)
_MAYBE: Kinds = (int, float, type(None))
_COUNT: Kinds = (int,)
_LIST: Kinds = (list,)
_PAIR: Keys = {"backbone": _TEXT, "strategy": _TEXT}
_CELL: Keys = {**_PAIR, "budget": (int, str)}
_ROLE: Keys = {"role": _TEXT}
_INTERVAL: Keys = {"low": _MAYBE, "high": _MAYBE}
"""null where no interval can be had; then there is a ``reason``."""

_SPENT: Keys = {
    "seconds": _NUMBER,
    "cpu_seconds": _NUMBER,
    "gpu_seconds": _MAYBE,
    "flops": _MAYBE,
    "peak_bytes": _COUNT,
    "joules": _MAYBE,
    "source": _TEXT,
}
"""What something took; null where it is not known, or there was no GPU."""

_CONTROL: Keys = {
    "control": _TEXT,
    "control_backbone": _TEXT,
    "effect": _NUMBER,
    "level": _NUMBER,
    "p_value": _NUMBER,
    "p_adjusted": _NUMBER,
}

_OBJECTS: Mapping[str, Keys] = {
    "dataset": {"name": _TEXT, "modality": _TEXT, "rows": _COUNT, "used": _COUNT, "counts": _LIST},
    "resamples": {"kind": _TEXT, "seeds": _COUNT, "count": _COUNT, "train": _NUMBER, "test": _NUMBER},
    "configuration": {
        "budgets": _LIST,
        "strategies": _LIST,
        "controls": _LIST,
        "metrics": _LIST,
        "seeds": _COUNT,
        "extraction": (dict,),
    },
    "confusion": {"classes": _LIST, "counts": _LIST},
    "duplicates": {"count": _COUNT, "tested": _COUNT, "straddling": _COUNT, "threshold": _NUMBER},
    "costs": {"total_seconds": _NUMBER},
    "costs.totals": {**_SPENT, "error": _MAYBE, "co2e_grams": _MAYBE, "co2_intensity": _MAYBE},
    "costs.energy": {"watts_per_core": _NUMBER, "notes": _LIST},
    "costs.saved": {
        "rows": _COUNT,
        "prefix_rows": _COUNT,
        "fits": _COUNT,
        "seconds": _NUMBER,
        "flops": _MAYBE,
    },
    "environment": {"versions": (dict,), "python": _TEXT, "platform": _TEXT},
    "verdict": {
        **_CELL,
        **_ROLE,
        "outcome": _TEXT,
        "answer": _TEXT,
        "accuracy": _NUMBER,
        "accuracy_low": _MAYBE,
        "accuracy_high": _MAYBE,
        "picked": _LIST,
        "missing": _LIST,
        "controls": _LIST,
        "control": (str, type(None)),
        "effect": _MAYBE,
        "transfer": (dict, type(None)),
        "by_budget": _LIST,
        "margin": _MAYBE,
        "helps_up_to": (int, str, type(None)),
        "labels_needed": (int, str, type(None)),
    },
    "journal": {"fits": _COUNT, "taken_up": _COUNT},
}
"""Parts that are objects, and what each has at least."""

_RECORDS: Mapping[str, Keys] = {
    "backbones": {"name": _TEXT, "dim": _COUNT},
    "excluded": {"label": _TEXT, "count": _COUNT},
    "failed": {"backbone": (str, type(None)), "strategy": (str, type(None)), "error": _TEXT, "step": _TEXT},
    "unreadable": {"id": _TEXT, "reason": _TEXT},
    "results": {**_CELL, "seed": _COUNT, "fold": _COUNT, "metric": _TEXT, "value": _MAYBE},
    "metrics": {"name": _TEXT, "label": _TEXT, "percent": (bool,), "greater_is_better": (bool,)},
    "summary": {**_CELL, **_ROLE, **_INTERVAL, "labels": _NUMBER, "metric": _TEXT, "value": _MAYBE},
    "comparisons": {
        **_CELL,
        **_INTERVAL,
        **_CONTROL,
        "outcome": _TEXT,
    },
    "fits": {
        **_CELL,
        "seed": _COUNT,
        "fold": _COUNT,
        "labels": _COUNT,
        "train_accuracy": _MAYBE,
        "seconds": _NUMBER,
        "predict_ms": _NUMBER,
        "nbytes": _MAYBE,
    },
    "verdict.controls": {**_CONTROL, **_INTERVAL},
    "verdict.by_budget": {
        **_INTERVAL,
        "budget": (int, str),
        "labels": _NUMBER,
        "outcome": _TEXT,
        "accuracy": _NUMBER,
        "control": (str, type(None)),
        "effect": _MAYBE,
        "chance": _NUMBER,
    },
    "verdict.picked": {**_PAIR, "times": _COUNT, "of": _COUNT},
    "mistakes": {"id": _TEXT, "truth": _TEXT, "predicted": _TEXT, "confidence": _NUMBER},
    "conflicts": {"ids": _LIST, "labels": _LIST},
    "duplicates.pairs": {"id": _TEXT, "twin": _TEXT, "similarity": _NUMBER},
    "costs.stages": {"stage": _TEXT, "what": _TEXT, **_SPENT},
    "costs.strategies": {**_CELL, **_ROLE, **_SPENT, "labels": _NUMBER, "fits": _COUNT, "taken_up": _COUNT},
    "costs.fronts": {
        **_CELL,
        **_ROLE,
        **_INTERVAL,
        "axis": _TEXT,
        "metric": _TEXT,
        "value": _NUMBER,
        "cost": _NUMBER,
        "cost_low": _NUMBER,
        "cost_high": _NUMBER,
        "source": _TEXT,
        "standing": _TEXT,
    },
    "costs.extraction": {"backbone": _TEXT, "rows": _COUNT, "embedded": _COUNT, "cached": _COUNT},
}
"""Parts that are lists of records, and what each record has at least."""

_PERHAPS: Mapping[str, Keys] = {
    "fits": {"facts": (dict,)},
    "verdict.by_budget": {"controls": _LIST},
}
"""What records of a list may lack, as documents of earlier builds do."""


def check_document(document: Any, place: str) -> None:
    """Check that a document has all that a report needs.

    Raises:
        RunFormatError: it has not.

    >>> check_document({"format": "other"}, "run.json")
    Traceback (most recent call last):
    tlengine.errors.RunFormatError: run.json is not a run of tlengine: format is 'other'
    hint: pass a run.json that tlengine compare --out wrote
    """
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        found = repr(document.get("format")) if isinstance(document, dict) else "missing"
        raise _fault(f"{place} is not a run of tlengine: format is {found:.40}")
    if document.get("version") != VERSION:
        raise RunFormatError(
            f"{place} has version {document.get('version')!r:.40}; this tlengine reads {VERSION}",
            hint="run compare again, or use the tlengine that wrote it",
        )
    for name, keys in _OBJECTS.items():
        _check(_part(document, name), keys, f"{place}: {name}")
    if document["verdict"]["transfer"] is not None:
        _check(document["verdict"]["transfer"], _PAIR, f"{place}: verdict.transfer")
    for name, keys in _RECORDS.items():
        entries = _part(document, name)
        if not isinstance(entries, list):
            raise _fault(f"{place}: {name} is not a list")
        for at, entry in enumerate(entries):
            _check(entry, keys, f"{place}: {name}[{at}]")
            known = {key: kinds for key, kinds in _PERHAPS.get(name, {}).items() if key in entry}
            _check(entry, known, f"{place}: {name}[{at}]")
    _check_perhaps(document, place)


def _check_perhaps(document: Mapping[str, Any], place: str) -> None:
    """Parts that documents of earlier builds lack."""
    for at, budget in enumerate(document["verdict"]["by_budget"]):
        for i, entry in enumerate(budget.get("controls", [])):
            where = f"{place}: verdict.by_budget[{at}].controls[{i}]"
            _check(entry, {**_CONTROL, **_INTERVAL}, where)
    advice = document.get("advice", [])
    if not isinstance(advice, list):
        raise _fault(f"{place}: advice is not a list")
    for at, entry in enumerate(advice):
        _check(entry, {"kind": _TEXT, "text": _TEXT}, f"{place}: advice[{at}]")


def _part(document: Mapping[str, Any], name: str) -> Any:
    """A part by its path; what it lies in was checked before."""
    found: Any = document
    for step in name.split("."):
        found = found.get(step)
    return found


def _check(record: Any, keys: Keys, place: str) -> None:
    if not isinstance(record, dict):
        raise _fault(f"{place} is missing or not an object")
    for key, kinds in keys.items():
        if key not in record:
            raise _fault(f"{place}.{key} is missing")
        if not isinstance(record[key], kinds):
            raise _fault(f"{place}.{key} is {record[key]!r:.40}")


def _fault(message: str) -> RunFormatError:
    return RunFormatError(message, hint="pass a run.json that tlengine compare --out wrote")
