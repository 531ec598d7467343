"""The summary of a run as plain text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["summary_table"]

Record = Mapping[str, Any]
Key = tuple[str, str, Any]

_HEAD = ("backbone", "strategy", "budget")
_SHORT = {"balanced_accuracy": "balanced", "log_loss": "log-loss", "ece": "ECE"}
"""Short heads of the metrics that every run has; others have their own name."""
_LAST = "vs hardest control"


def summary_table(document: Record) -> str:
    """One line per strategy and budget of a run document.

    The recommended strategy is marked with ``*``; a dash stands where no interval can be had. What failed
    is named below.
    """
    values: dict[Key, dict[str, Record]] = {}
    for record in document["summary"]:
        key = (record["backbone"], record["strategy"], record["budget"])
        values.setdefault(key, {})[record["metric"]] = record
    gains: dict[Key, Record] = {}
    for record in sorted(document["comparisons"], key=lambda c: -c["effect"]):
        gains[record["backbone"], record["strategy"], record["budget"]] = record
    best = (document["verdict"]["backbone"], document["verdict"]["strategy"])
    first, *others = document["metrics"]
    head = (
        *_HEAD,
        first["name"],
        "95 % interval",
        *(_SHORT.get(m["name"], m["name"]) for m in others),
        _LAST,
    )
    rows = [_row(key, found, document["metrics"], gains.get(key), best) for key, found in values.items()]
    return "\n".join([_align([head, *rows]), *_notes(document, f"{best[0]} {best[1]}")])


def _notes(document: Record, best: str) -> list[str]:
    """What the star means, and what has no line."""
    found = [f"* recommended: {best}"] if document["summary"] else []
    for failed in document["failed"]:
        who = " ".join(part for part in (failed["backbone"], failed["strategy"]) if part)
        if failed["step"] in ("extract", "fit"):
            where = f" at {', '.join(map(str, failed['budgets']))}" if failed["budgets"] else ""
            found.append(f"no result: {who}{where}: {failed['error']}")
    return found


def _row(
    key: Key,
    found: Mapping[str, Record],
    metrics: Sequence[Record],
    gain: Record | None,
    best: tuple[str, str],
) -> tuple[str, ...]:
    first, *others = metrics
    record = found[first["name"]]
    low, high, note = record["low"], record["high"], " (control)" if record["role"] == "control" else ""
    return (
        key[0],
        key[1] + ("*" if key[:2] == best else "") + note,
        str(key[2]),
        _number(first, record),
        "-" if low is None or high is None else f"{100 * low:.1f} to {100 * high:.1f}",
        *(_number(metric, found.get(metric["name"])) for metric in others),
        "" if gain is None else f"{100 * gain['effect']:+.1f} {gain['outcome']} ({gain['control']})",
    )


def _number(metric: Record, record: Record | None) -> str:
    """In per cent where its metric is read so, else with three digits; a dash where it is not defined."""
    if record is None or record["value"] is None:
        return "-"
    return f"{100 * record['value']:.1f} %" if metric["percent"] else f"{record['value']:.3f}"


def _align(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        left = [cell.ljust(width) for cell, width in zip(row[:2], widths[:2], strict=True)]
        right = [cell.rjust(width) for cell, width in zip(row[2:-1], widths[2:-1], strict=True)]
        lines.append("  ".join([*left, *right, row[-1]]).rstrip())
    return "\n".join(lines)
