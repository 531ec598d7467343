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
    """One line per strategy and budget of a run document, the controls of a budget after its strategies.

    The recommended strategy is marked with ``*``; a dash stands where no interval can be had. What failed
    is named below. Where the strategies are of one backbone, it has no column.
    """
    alone = _only_backbone(document)
    values: dict[Key, dict[str, Record]] = {}
    budgets = list(dict.fromkeys(record["budget"] for record in document["summary"]))
    for record in sorted(
        document["summary"], key=lambda r: (budgets.index(r["budget"]), r["role"] == "control")
    ):
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
    shown = [head, *rows] if alone is None else [row[1:] for row in (head, *rows)]
    return "\n".join([_align(shown), *_notes(document, best, alone)])


def _only_backbone(document: Record) -> str | None:
    """That of all strategies; None for several, or where a control has results with more than one."""
    pairs = {(r["backbone"], r["strategy"]): r["role"] for r in document["summary"]}
    backbones = {backbone for (backbone, _), role in pairs.items() if role != "control"}
    once = len({strategy for _, strategy in pairs}) == len(pairs)
    return backbones.pop() if len(backbones) == 1 and once else None


def _notes(document: Record, best: tuple[str, str], alone: str | None) -> list[str]:
    """What the star means, which backbone has no column, and what has no line."""
    name = best[0] if best[0] == best[1] else f"{best[0]} {best[1]}"
    beside = "" if alone in (None, best[0]) else f"; the strategies are those of {alone}"
    found = [f"* recommended: {name}{beside}"] if document["summary"] else []
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
    """Names to the left, numbers to the right; the last column is text."""
    names = rows[0].index("budget")
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        left = [cell.ljust(width) for cell, width in zip(row[:names], widths[:names], strict=True)]
        right = [cell.rjust(width) for cell, width in zip(row[names:-1], widths[names:-1], strict=True)]
        lines.append("  ".join([*left, *right, row[-1]]).rstrip())
    return "\n".join(lines)
