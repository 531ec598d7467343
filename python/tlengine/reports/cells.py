"""A run document by strategy: what each did with each budget, what to call it, and how the page shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Cells", "Document", "Row", "cells_of", "decisive_control", "gains_of", "labels_of", "rows_of"]

Document = Mapping[str, Any]
Record = Mapping[str, Any]
Key = tuple[str, str, Any]
Cells = Mapping[Key, Mapping[str, Record]]
"""(backbone, strategy, budget) -> metric -> record of the summary."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One strategy on one backbone, as all tables and curves show it.

    Attributes:
        pair: backbone and strategy.
        name: what to call it; with its backbone where that is not clear.
        look: ``"best"`` (recommended), ``"hardest"`` (the control that the outcome hangs on), ``"control"``
            or ``"other"``.
    """

    pair: tuple[str, str]
    name: str
    look: str


def cells_of(document: Document) -> Cells:
    """The summary by cell and metric."""
    cells: dict[Key, dict[str, Record]] = {}
    for record in document["summary"]:
        key = (record["backbone"], record["strategy"], record["budget"])
        cells.setdefault(key, {})[record["metric"]] = record
    return cells


def rows_of(document: Document) -> list[Row]:
    """Every strategy of the run, strategies before controls; roles come from the records."""
    roles = {(r["backbone"], r["strategy"]): r["role"] for r in document["summary"]}
    pairs = sorted(roles, key=lambda pair: roles[pair] == "control")
    used = Counter(strategy for _, strategy in pairs)
    several = len({backbone for backbone, strategy in pairs if roles[backbone, strategy] != "control"}) > 1
    rows = []
    for backbone, strategy in pairs:
        control = roles[backbone, strategy] == "control"
        alone = used[strategy] == 1 and (control or not several)
        look = _look(document["verdict"], (backbone, strategy), control)
        name = strategy if alone else f"{backbone} · {strategy}"
        rows.append(Row(pair=(backbone, strategy), name=name, look=look))
    return rows


def _look(verdict: Record, pair: tuple[str, str], control: bool) -> str:
    if pair == (verdict["backbone"], verdict["strategy"]):
        return "best"
    if not control:
        return "other"
    decisive = decisive_control(verdict)
    is_it = decisive is not None and pair == (decisive["control_backbone"], decisive["control"])
    return "hardest" if is_it else "control"


def decisive_control(verdict: Record) -> Record | None:
    """The test that the outcome hangs on; of several controls of its name, that with its effect."""
    named = [c for c in verdict["controls"] if c["control"] == verdict["control"]]
    return next((c for c in named if c["effect"] == verdict["effect"]), named[0] if named else None)


def gains_of(document: Document, budget: Any) -> dict[tuple[str, str], Record]:
    """The comparison of every strategy with the control that it finds hardest, at one budget."""
    found: dict[tuple[str, str], Record] = {}
    for record in sorted(document["comparisons"], key=lambda c: -c["effect"]):
        if record["budget"] == budget:
            found[record["backbone"], record["strategy"]] = record
    return found


def labels_of(cells: Cells, budgets: Sequence[Any]) -> dict[Any, float]:
    """How many labels each budget is, in all."""
    found: dict[Any, float] = {}
    for (_, _, budget), metrics in cells.items():
        for record in metrics.values():
            found[budget] = max(found.get(budget, 0.0), float(record["labels"]))
    return {budget: found[budget] for budget in budgets if budget in found}
