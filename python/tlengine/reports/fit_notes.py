"""What fits said of themselves: each thing once for a strategy, with how often."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from tlengine.reports.cells import Document, Row
from tlengine.reports.fits import Fit, fits_of, notes_of, number_of, rates_of, told
from tlengine.reports.text import in_fits

__all__ = ["fit_notes"]

SHOWN = 20
"""Kinds of notes of one strategy, at the most."""


def fit_notes(document: Document, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """``{text, items}``: what was cut or failed, whose training goes on, the block, the rates tried."""
    by_pair: dict[tuple[str, str], dict[Any, list[Fit]]] = {}
    for (backbone, strategy, budget), fits in fits_of(document).items():
        by_pair.setdefault((backbone, strategy), {})[budget] = fits
    found: list[dict[str, Any]] = []
    for row in rows:
        by_budget = by_pair.get(row.pair, {})
        fits = [fit for each in by_budget.values() for fit in each]
        texts = [*_said(fits), *_under_trained(fits), *_blocks(fits)]
        found += [{"text": f"{row.name}: {text}", "items": []} for text in texts]
        found += _tried(row.name, by_budget)
    return found


def _said(fits: Sequence[Fit]) -> Iterator[str]:
    """Notes that differ in their numbers alone are one, told as it was first."""
    kinds: dict[str, list[str]] = {}
    for fit in fits:
        for note in dict.fromkeys(notes_of(fit)):
            kinds.setdefault(re.sub(r"\d+(\.\d+)?", "#", note), []).append(note)
    for notes in list(kinds.values())[:SHOWN]:
        alike = "" if len(set(notes)) == 1 else ", or with other numbers"
        yield f"{notes[0]} ({in_fits(len(notes), len(fits))}{alike})"


def _under_trained(fits: Sequence[Fit]) -> Iterator[str]:
    known = [told(fit, "under_trained") for fit in fits if isinstance(told(fit, "under_trained"), bool)]
    if under := sum(known):
        yield f"the training loss was still falling at the end ({in_fits(under, len(known))})"


def _blocks(fits: Sequence[Fit]) -> Iterator[str]:
    blocks = Counter(block for fit in fits if isinstance(block := told(fit, "block"), str))
    if blocks:
        picked = [f"{block} ({in_fits(times, blocks.total())})" for block, times in blocks.most_common()]
        yield f"the block that was trained is {', '.join(picked)}"


def _tried(name: str, by_budget: Mapping[Any, Sequence[Fit]]) -> Iterator[dict[str, Any]]:
    """The mean loss of each rate, budget by budget, and how often it was taken."""
    items = []
    for budget, fits in by_budget.items():
        tried = [(number_of(fit, "rate"), rates_of(fit)) for fit in fits if rates_of(fit)]
        if tried:
            rates = sorted({rate for _, entries in tried for rate, _ in entries})
            labels = "all labels" if budget == "all" else f"{budget} labels per class"
            items.append(f"{labels}: {'; '.join(_rate(rate, tried) for rate in rates)}")
    if items:
        yield {"text": f"{name}: of several rates, the one with the least loss was taken", "items": items}


def _rate(rate: float, tried: Sequence[tuple[float | None, list[tuple[float, float | None]]]]) -> str:
    losses = [loss for _, entries in tried for one, loss in entries if one == rate and loss is not None]
    taken = sum(chosen == rate for chosen, _ in tried)
    loss = f"loss {fmean(losses):.3g}" if losses else "no finite loss"
    return f"rate {rate:.3g} {loss}{f', taken {in_fits(taken, len(tried))}' if taken else ''}"
