"""What the page shows, taken from a run document and put into words: one entry for each panel."""

from __future__ import annotations

from typing import Any

from tlengine.reports.appendix import costs, details, notes
from tlengine.reports.cells import Document, cells_of, rows_of
from tlengine.reports.confusion import confusion_table, mistakes
from tlengine.reports.curve import curves
from tlengine.reports.drift import drift_table
from tlengine.reports.fit_notes import fit_notes
from tlengine.reports.gains import gain_drawings
from tlengine.reports.headline import headline
from tlengine.reports.losses import loss_drawings
from tlengine.reports.pareto import fronts
from tlengine.reports.tables import (
    accuracy_table,
    costs_table,
    metrics_table,
    training_table,
    use_table,
)
from tlengine.reports.transfer import transfer_panel

__all__ = ["page_view"]


def page_view(document: Document) -> dict[str, Any]:
    """Everything the template needs, as text and coordinates."""
    cells, rows = cells_of(document), rows_of(document)
    return {
        **headline(document),
        "advice": [str(advice["text"]) for advice in document.get("advice", [])],
        "transfer": transfer_panel(document),
        "gains": gain_drawings(document),
        "charts": curves(document, cells, rows),
        "accuracy": accuracy_table(document, cells, rows),
        "metrics": metrics_table(document, cells, rows),
        "training": training_table(document, cells, rows),
        "losses": loss_drawings(document, rows),
        "drift": drift_table(document, cells, rows),
        "fit_notes": fit_notes(document, rows),
        "confusion": confusion_table(document["confusion"]),
        "mistakes": mistakes(document),
        "notes": notes(document),
        "costs": costs(document),
        "spent": costs_table(document, rows),
        "fronts": fronts(document, rows),
        "use": use_table(document, rows),
        "details": details(document),
        "test": str(document["verdict"].get("test", "")),
        "selected_on": str(document["verdict"].get("selected_on", "")),
        "created": str(document.get("created", "")),
        "version": str(document["environment"]["versions"].get("tlengine", "")),
    }
