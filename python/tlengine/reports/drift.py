"""How far training moved the features of test rows (Kumar et al. 2022), by strategy and budget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tlengine.reports.cells import Cells, Document, Row
from tlengine.reports.fits import fits_of, number_of
from tlengine.reports.tables import MISSING, by_budget

__all__ = ["drift_table"]


def drift_table(document: Document, cells: Cells, rows: Sequence[Row]) -> dict[str, Any] | None:
    """The mean over fits, and the least and the most; None where no fit told it."""
    found = {
        key: [drift for fit in fits if (drift := number_of(fit, "drift")) is not None]
        for key, fits in fits_of(document).items()
    }

    def cell(pair: tuple[str, str], budget: Any) -> dict[str, str]:
        known = found.get((*pair, budget))
        if not known:
            return MISSING
        spread = f"{min(known):.2f}–{max(known):.2f}" if len(known) > 1 else ""
        return {**MISSING, "value": f"{sum(known) / len(known):.2f}", "interval": spread}

    moved = [row for row in rows if any(known and row.pair == key[:2] for key, known in found.items())]
    return {**by_budget(document, cells, moved, cell), "notes": []} if moved else None
