"""The summary of a run as plain text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["summary_table"]

_HEAD = (
    "backbone",
    "strategy",
    "budget",
    "accuracy",
    "95 % interval",
    "balanced",
    "log-loss",
    "ECE",
    "vs hardest control",
)


def summary_table(document: Mapping[str, Any]) -> str:
    """One line per strategy and budget of a run document; the recommended strategy is marked with ``*``."""
    values: dict[tuple[str, str, Any], dict[str, Mapping[str, Any]]] = {}
    for record in document["summary"]:
        key = (record["backbone"], record["strategy"], record["budget"])
        values.setdefault(key, {})[record["metric"]] = record
    gains: dict[tuple[str, str, Any], Mapping[str, Any]] = {}
    for record in sorted(document["comparisons"], key=lambda c: -c["effect"]):
        gains[record["backbone"], record["strategy"], record["budget"]] = record
    best = (document["verdict"]["backbone"], document["verdict"]["strategy"])
    rows = [_row(key, found, gains.get(key), best) for key, found in values.items()]
    return _align([_HEAD, *rows])


def _row(
    key: tuple[str, str, Any],
    found: Mapping[str, Mapping[str, Any]],
    gain: Mapping[str, Any] | None,
    best: tuple[str, str],
) -> tuple[str, ...]:
    accuracy = found["accuracy"]
    return (
        key[0],
        key[1] + ("*" if key[:2] == best else ""),
        str(key[2]),
        f"{100 * accuracy['value']:.1f} %",
        "" if accuracy["low"] is None else f"{100 * accuracy['low']:.1f} to {100 * accuracy['high']:.1f}",
        _number(found["balanced_accuracy"]["value"], 100, " %"),
        _number(found["log_loss"]["value"]),
        _number(found["ece"]["value"]),
        "" if gain is None else f"{100 * gain['effect']:+.1f} {gain['outcome']} ({gain['control']})",
    )


def _number(value: float | None, by: float = 1, unit: str = "") -> str:
    """Three digits of a number, one of a percentage; nothing where the metric is not defined."""
    return "" if value is None else f"{by * value:.1f}{unit}" if unit else f"{value:.3f}"


def _align(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        left = [cell.ljust(width) for cell, width in zip(row[:2], widths[:2], strict=True)]
        right = [cell.rjust(width) for cell, width in zip(row[2:-1], widths[2:-1], strict=True)]
        lines.append("  ".join([*left, *right, row[-1]]).rstrip())
    return "\n".join(lines)
