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
    "vs raw",
)


def summary_table(document: Mapping[str, Any]) -> str:
    """One line per strategy and budget of a run document; the recommended strategy is marked with ``*``."""
    values: dict[tuple[str, str, Any], dict[str, Mapping[str, Any]]] = {}
    for record in document["summary"]:
        key = (record["backbone"], record["strategy"], record["budget"])
        values.setdefault(key, {})[record["metric"]] = record
    gains = {(c["backbone"], c["strategy"], c["budget"]): c for c in document["comparisons"]}
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
        f"{100 * accuracy['low']:.1f} to {100 * accuracy['high']:.1f}",
        f"{100 * found['balanced_accuracy']['value']:.1f} %",
        f"{found['log_loss']['value']:.3f}",
        f"{found['ece']['value']:.3f}",
        "" if gain is None else f"{100 * gain['effect']:+.1f} {gain['outcome']}",
    )


def _align(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        left = [cell.ljust(width) for cell, width in zip(row[:2], widths[:2], strict=True)]
        right = [cell.rjust(width) for cell, width in zip(row[2:-1], widths[2:-1], strict=True)]
        lines.append("  ".join([*left, *right, row[-1]]).rstrip())
    return "\n".join(lines)
