"""The summary of a run as plain text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["summary_table"]

Record = Mapping[str, Any]
Key = tuple[str, str, Any]

_HEAD = ("backbone", "strategy", "budget", "accuracy", "95 % interval")
_METRICS = {"balanced_accuracy": "balanced", "log_loss": "log-loss", "ece": "ECE"}
"""Short heads of the metrics that every run has; others have their own name."""
_LAST = "vs hardest control"


def summary_table(document: Record) -> str:
    """One line per strategy and budget of a run document.

    The recommended strategy is marked with ``*``; a dash stands where no interval can be had.
    """
    values: dict[Key, dict[str, Record]] = {}
    for record in document["summary"]:
        key = (record["backbone"], record["strategy"], record["budget"])
        values.setdefault(key, {})[record["metric"]] = record
    gains: dict[Key, Record] = {}
    for record in sorted(document["comparisons"], key=lambda c: -c["effect"]):
        gains[record["backbone"], record["strategy"], record["budget"]] = record
    best = (document["verdict"]["backbone"], document["verdict"]["strategy"])
    others = [name for name in document["configuration"]["metrics"] if name != "accuracy"]
    head = (*_HEAD, *(_METRICS.get(name, name) for name in others), _LAST)
    rows = [_row(key, found, others, gains.get(key), best) for key, found in values.items()]
    return _align([head, *rows])


def _row(
    key: Key, found: Mapping[str, Record], others: Sequence[str], gain: Record | None, best: tuple[str, str]
) -> tuple[str, ...]:
    accuracy = found["accuracy"]
    low, high = accuracy["low"], accuracy["high"]
    note = " (control)" if accuracy["role"] == "control" else ""
    return (
        key[0],
        key[1] + ("*" if key[:2] == best else "") + note,
        str(key[2]),
        f"{100 * accuracy['value']:.1f} %",
        "-" if low is None or high is None else f"{100 * low:.1f} to {100 * high:.1f}",
        *(_number(found.get(name)) for name in others),
        "" if gain is None else f"{100 * gain['effect']:+.1f} {gain['outcome']} ({gain['control']})",
    )


def _number(record: Record | None) -> str:
    """A balanced accuracy in per cent, anything else with three digits; a dash where it is not defined."""
    if record is None or record["value"] is None:
        return "-"
    value = record["value"]
    return f"{100 * value:.1f} %" if record["metric"] == "balanced_accuracy" else f"{value:.3f}"


def _align(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        left = [cell.ljust(width) for cell, width in zip(row[:2], widths[:2], strict=True)]
        right = [cell.rjust(width) for cell, width in zip(row[2:-1], widths[2:-1], strict=True)]
        lines.append("  ".join([*left, *right, row[-1]]).rstrip())
    return "\n".join(lines)
