"""The part ``costs`` of a run document: what strategies take, the run in all, what reuse saved, the fronts.

A cost of a strategy is that of :class:`one model <.model_cost.ModelCost>`. What was taken up from an earlier
run counts as what it cost then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tlengine.evaluation.cells import Cell
from tlengine.evaluation.energy import ERRORS, Meter, grams_of_co2e, shown_joules
from tlengine.evaluation.ledger import Ledger
from tlengine.evaluation.model_cost import Forward, ModelCost, numbers_of
from tlengine.evaluation.pareto import standings
from tlengine.evaluation.setup import Setup
from tlengine.evaluation.views import RunView
from tlengine.plugins.contracts import Energy, Record

__all__ = ["costs_of"]

METRIC = "balanced_accuracy"
"""Its decisions do not follow how a budget's classes are shared out, so budgets can be compared."""
AXES = ("labels", "seconds", "joules")


def costs_of(
    setup: Setup,
    cells: Sequence[Cell],
    summary: Sequence[Mapping[str, Any]],
    records: Sequence[Record],
    ledger: Ledger,
    *,
    co2_intensity: float | None,
) -> dict[str, Any]:
    """Everything about costs, as plain numbers.

    Args:
        setup: of the run.
        cells: what has a result.
        summary: of the document, for the accuracies of the fronts.
        records: one for each fit of the run, results and failures.
        ledger: of the driver, with all of its stages.
        co2_intensity: grams a kilowatt-hour, or None.
    """
    rows = {name: _row(view, ledger) for name, view in setup.views.items()}
    found = [ModelCost(cell, rows[cell.view], ledger.meter) for cell in cells]
    total = ledger.total()
    return {
        "stages": ledger.entries(),
        "extraction": [
            {"backbone": v.name, **v.cost, **_extracted(v), "read_by": _readers(v, found)}
            for v in setup.views.values()
            if v.cost
        ],
        "total_seconds": round(total.seconds, 3),
        "totals": {
            **total.as_dict(),
            "joules": shown_joules(total.energy),
            "source": total.energy.source,
            "error": ERRORS.get(total.energy.source),
            "co2e_grams": grams_of_co2e(total.energy, co2_intensity),
            "co2_intensity": co2_intensity,
        },
        "energy": _provenance(ledger.meter),
        "strategies": [cost.as_dict() for cost in found],
        "saved": _saved(setup, records),
        "fronts": _fronts(found, summary),
    }


def _provenance(meter: Meter) -> dict[str, Any]:
    """Where joules come from on this machine, and why from there."""
    return {"watts_per_core": round(meter.watts_per_core, 2), "notes": list(meter.notes)}


def _extracted(view: RunView) -> dict[str, Any]:
    """Operations of the rows that were embedded, and of those that were not for they were there."""
    each = view.cost.get("flops_per_row")
    known = {"flops": view.cost["embedded"], "flops_saved": view.cost["cached"]}
    return {name: None if each is None else each * rows for name, rows in known.items()}


def _readers(view: RunView, costs: Sequence[ModelCost]) -> list[str]:
    """The strategies whose fits read the features of a view."""
    return list(dict.fromkeys(c.cell.strategy for c in costs if c.features and c.cell.view == view.name))


def _row(view: RunView, ledger: Ledger) -> Forward:
    """As it was measured in this run, or by the one that embedded what was found in the cache."""
    cost = view.cost
    spent = ledger.of("extract", view.name)
    if not cost:
        return Forward()
    flops = cost.get("flops_per_row")
    if cost["embedded"] and spent is not None:
        n = cost["embedded"]
        joules = None if spent.energy.joules is None else spent.energy.joules / n
        return Forward(
            seconds=cost["seconds"] / n, flops=flops, energy=Energy(joules=joules, source=spent.energy.source)
        )
    if cost["cached"] and cost["seconds_saved"]:
        return Forward.by_model(cost["seconds_saved"] / cost["cached"], flops, ledger.meter)
    return Forward(flops=flops)


def _saved(setup: Setup, records: Sequence[Record]) -> dict[str, Any]:
    """What was there and had not to be computed: rows of backbones, of frozen parts of them, and fits."""
    costs = [view.cost for view in setup.views.values() if view.cost]
    reused = [numbers_of(record.facts.get("reused")) for record in records if not record.taken_up]
    taken = [record for record in records if record.taken_up]
    flops = [cost["flops_per_row"] * cost["cached"] for cost in costs if cost.get("flops_per_row")]
    flops += [found["flops"] for found in reused if "flops" in found]
    parts = {
        "rows": sum(cost["cached"] for cost in costs),
        "rows_seconds": sum(cost["seconds_saved"] for cost in costs),
        "prefix_rows": int(sum(found.get("rows", 0) for found in reused)),
        "prefix_seconds": sum(found.get("seconds", 0.0) for found in reused),
        "fits": len(taken),
        "fits_seconds": sum(record.seconds + record.predict_seconds for record in taken),
        "flops": sum(flops) if flops else None,
    }
    return {**parts, "seconds": parts["rows_seconds"] + parts["prefix_seconds"] + parts["fits_seconds"]}


def _fronts(costs: Sequence[ModelCost], summary: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Value against labels, seconds and joules; every strategy with every budget is a point."""
    values = {(r["backbone"], r["strategy"], r["budget"]): r for r in summary if r["metric"] == METRIC}
    fronts = []
    for axis in AXES:
        points = []
        for cost in costs:
            found, value = cost.at(axis), values.get((*cost.cell.pair, cost.cell.budget))
            if found is not None and value is not None and value["value"] is not None:
                names = {
                    n: value[n] for n in ("backbone", "strategy", "role", "budget", "value", "low", "high")
                }
                numbers = dict(zip(("cost", "cost_low", "cost_high", "source"), found, strict=True))
                points.append({**names, **numbers})
        fronts += [{"axis": axis, "metric": METRIC, **point} for point in _stand(points)]
    return fronts


def _stand(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    columns = [
        [np.nan if point[name] is None else point[name] for point in points]
        for name in ("value", "low", "high", "cost", "cost_low", "cost_high")
    ]
    return [{**p, "standing": s} for p, s in zip(points, standings(*columns), strict=True)] if points else []
