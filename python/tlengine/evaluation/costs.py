"""The part ``costs`` of a run document: what strategies take, the run in all, what reuse saved, the fronts.

A cost of a strategy is that of one model where nothing is there yet: the mean over its fits, and beside it
what they found ready. That is the embedding of its labelled rows, for every strategy whose fits read features
(probes do, and networks whose head starts from them), and frozen blocks of a network that were in the cache.
What was taken up from an earlier run counts as what it cost then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tlengine.evaluation.cells import Cell
from tlengine.evaluation.energy import ERRORS, Meter, grams_of_co2e, shown_joules, summed
from tlengine.evaluation.ledger import Ledger
from tlengine.evaluation.pareto import standings
from tlengine.evaluation.setup import Setup
from tlengine.evaluation.views import RunView
from tlengine.plugins.contracts import Energy, Record
from tlengine.settings import num_threads

__all__ = ["costs_of"]

CLOCK_ERROR = 0.1
"""Two times of less than this share apart are not ordered, however alike the fits of each were."""
METRIC = "balanced_accuracy"
"""Its decisions do not follow how a budget's classes are shared out, so budgets can be compared."""
AXES = ("labels", "seconds", "joules")


NOTHING = Energy(joules=0.0, source="counter")


@dataclass(frozen=True, kw_only=True)
class _Forward:
    """What it takes to run a backbone, or the frozen blocks of one; None where it is not known."""

    seconds: float | None = None
    flops: float | None = None
    energy: Energy | None = None

    @classmethod
    def by_model(cls, seconds: float, flops: float | None, meter: Meter) -> _Forward:
        """With the energy of all cores meanwhile."""
        joules = seconds * meter.watts_per_core * num_threads()
        return cls(seconds=seconds, flops=flops, energy=Energy(joules=joules, source=meter.model))

    def times(self, rows: float) -> _Forward:
        """For so many of what it is for."""
        energy = self.energy
        if energy is not None and energy.joules is not None:
            energy = Energy(joules=rows * energy.joules, source=energy.source)
        return _Forward(seconds=_product(self.seconds, rows), flops=_product(self.flops, rows), energy=energy)

    def plus(self, other: _Forward) -> _Forward:
        """Both, as far as they are known."""
        energies = [energy for energy in (self.energy, other.energy) if energy is not None]
        return _Forward(
            seconds=_sum(self.seconds, other.seconds),
            flops=_sum(self.flops, other.flops),
            energy=summed(energies) if energies else None,
        )


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
    found = [_Cost(cell, rows[cell.view], ledger.meter) for cell in cells]
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


def _readers(view: RunView, costs: Sequence[_Cost]) -> list[str]:
    """The strategies whose fits read the features of a view."""
    return list(dict.fromkeys(c.cell.strategy for c in costs if c.features and c.cell.view == view.name))


def _row(view: RunView, ledger: Ledger) -> _Forward:
    """As it was measured in this run, or by the one that embedded what was found in the cache."""
    cost = view.cost
    spent = ledger.of("extract", view.name)
    if not cost:
        return _Forward()
    flops = cost.get("flops_per_row")
    if cost["embedded"] and spent is not None:
        n = cost["embedded"]
        joules = None if spent.energy.joules is None else spent.energy.joules / n
        return _Forward(
            seconds=cost["seconds"] / n, flops=flops, energy=Energy(joules=joules, source=spent.energy.source)
        )
    if cost["cached"] and cost["seconds_saved"]:
        return _Forward.by_model(cost["seconds_saved"] / cost["cached"], flops, ledger.meter)
    return _Forward(flops=flops)


class _Cost:
    """What one model of a cell takes."""

    def __init__(self, cell: Cell, row: _Forward, meter: Meter) -> None:
        self.cell = cell
        self.records = list({record.key: record for record in cell.records.values()}.values())
        self.features = any(map(self._reads, self.records))
        embedding = row.times(cell.labels) if self.features else _Forward()
        self.ready = [embedding.plus(blocks) for blocks in _reused(self.records, meter)]
        self.energy = _mean_energy([record.energy for record in self.records])
        known = [one.energy for one in self.ready if one.energy is not None]
        self.ready_energy = _mean_energy(known) if known else None

    def _reads(self, record: Record) -> bool:
        if record.features is None:
            return self.cell.setup.strategies[self.cell.strategy].strategy.reads == "features"
        return record.features

    def as_dict(self) -> dict[str, Any]:
        """The entry of the document."""
        records, energy = self.records, self.ready_energy
        return {
            **self.cell.name,
            "labels": self.cell.labels,
            "fits": len(records),
            "taken_up": sum(record.taken_up for record in records),
            "seconds": _mean([record.seconds for record in records]),
            "cpu_seconds": _mean([record.cpu_seconds for record in records]),
            "gpu_seconds": _mean([record.gpu_seconds for record in records]),
            "flops": _mean([record.flops for record in records]),
            "peak_bytes": max(record.peak_bytes for record in records),
            "joules": shown_joules(self.energy),
            "source": self.energy.source,
            "features": self.features,
            "embedding_seconds": _mean([one.seconds for one in self.ready]),
            "embedding_flops": _mean([one.flops for one in self.ready]),
            "embedding_joules": None if energy is None else shown_joules(energy),
            "embedding_source": None if energy is None else energy.source,
            "stages": _stages(records),
        }

    def at(self, axis: str) -> tuple[float, float, float, str] | None:
        """A cost with its interval and source; None where it is not known."""
        if axis == "labels":
            return self.cell.labels, self.cell.labels, self.cell.labels, "counter"
        both = list(zip(self.records, self.ready, strict=True))
        if axis == "seconds":
            return *_spread([r.seconds + (one.seconds or 0.0) for r, one in both], CLOCK_ERROR), "counter"
        energy = summed([self.energy, self.ready_energy or NOTHING])
        if energy.joules is None:
            return None
        known = [_joules(r.energy) + _joules(one.energy) for r, one in both]
        return *_spread(known, ERRORS[energy.source]), energy.source


def _reused(records: Sequence[Record], meter: Meter) -> list[_Forward]:
    """What frozen blocks took once whose output each fit found in the cache."""
    told = [_numbers(record.facts.get("reused")) for record in records]
    if not any(found.get("seconds") for found in told):
        return [_Forward()] * len(told)
    return [_Forward.by_model(found.get("seconds", 0.0), found.get("flops", 0.0), meter) for found in told]


def _joules(energy: Energy | None) -> float:
    return 0.0 if energy is None else energy.joules or 0.0


def _product(each: float | None, rows: float) -> float | None:
    return None if each is None else each * rows


def _sum(*values: float | None) -> float | None:
    """Of those that are known; None where none is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _spread(known: Sequence[float], error: float) -> tuple[float, float, float]:
    """The mean, and how far it may lie off: the range over the fits, widened by the error of each."""
    return float(np.mean(known)), min(known) * (1 - error), max(known) * (1 + error)


def _mean(values: Sequence[float | None]) -> float | None:
    """Of those that are known; None where none is."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _mean_energy(energies: Sequence[Energy | None]) -> Energy:
    """None of it where one fit has none: journals of earlier builds."""
    total = summed([energy or Energy() for energy in energies])
    return Energy(joules=None if total.joules is None else total.joules / len(energies), source=total.source)


def _stages(records: Sequence[Record]) -> dict[str, float]:
    """Mean seconds of the stages inside a fit, where fits tell them."""
    told = [_numbers(record.facts.get("stages")) for record in records]
    names = dict.fromkeys(name for stages in told for name in stages)
    return {name: float(np.mean([stages.get(name, 0.0) for stages in told])) for name in names}


def _numbers(facts: Any) -> dict[str, float]:
    """What a fit tells by name, as far as it is numbers: a plugin may tell anything."""
    if not isinstance(facts, Mapping):
        return {}
    return {
        str(name): float(value)
        for name, value in facts.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
    }


def _saved(setup: Setup, records: Sequence[Record]) -> dict[str, Any]:
    """What was there and had not to be computed: rows of backbones, of frozen parts of them, and fits."""
    costs = [view.cost for view in setup.views.values() if view.cost]
    reused = [_numbers(record.facts.get("reused")) for record in records if not record.taken_up]
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


def _fronts(costs: Sequence[_Cost], summary: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
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
