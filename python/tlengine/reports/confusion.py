"""What is taken for what: the confusion matrix, and the hardest mistakes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tlengine.reports.pictures import clean_picture
from tlengine.reports.text import percent

__all__ = ["confusion_table", "mistakes"]

MATRIX = 12
"""Up to this many classes the confusion matrix is drawn; beyond, the most frequent confusions are listed."""


def confusion_table(confusion: Mapping[str, Any]) -> dict[str, Any]:
    """The matrix in shares of each true class, or the most frequent confusions of many classes."""
    classes = [str(name) for name in confusion["classes"]]
    counts = [[float(n) for n in row] for row in confusion["counts"]]
    shares = [[n / (sum(row) or 1.0) for n in row] for row in counts]
    if len(classes) <= MATRIX:
        rows = [
            {"name": name, "cells": [_heat(share, i == j) for j, share in enumerate(row)]}
            for i, (name, row) in enumerate(zip(classes, shares, strict=True))
        ]
        return {"classes": classes, "rows": rows, "pairs": []}
    mistaken = [(s, i, j) for i, row in enumerate(shares) for j, s in enumerate(row) if i != j and s > 0]
    pairs = [
        {"truth": classes[i], "predicted": classes[j], "share": percent(share, 0)}
        for share, i, j in sorted(mistaken, reverse=True)[:MATRIX]
    ]
    return {"classes": classes, "rows": [], "pairs": pairs}


def _heat(share: float, hit: bool) -> dict[str, Any]:
    return {"text": f"{100 * share:.0f}", "heat": round(10 * share), "hit": hit}


def mistakes(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Test rows that were wrong most surely, with a picture or the beginning of the text."""
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
