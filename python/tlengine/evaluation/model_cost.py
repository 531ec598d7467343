"""What one model of a strategy takes where nothing is there yet.

That is the mean over its fits, and beside it what they found ready: the embedding of its labelled rows, for
every strategy whose fits read features (probes do, and networks whose head starts from them), and frozen
blocks of a network that were in the cache.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tlengine.evaluation.cells import Cell
from tlengine.evaluation.energy import ERRORS, Meter, shown_joules, summed
from tlengine.plugins.contracts import Energy, Record
from tlengine.settings import num_threads

__all__ = ["Forward", "ModelCost", "numbers_of"]

CLOCK_ERROR = 0.1
"""Two times of less than this share apart are not ordered, however alike the fits of each were."""
NOTHING = Energy(joules=0.0, source="counter")


@dataclass(frozen=True, kw_only=True)
class Forward:
    """What it takes to run a backbone, or the frozen blocks of one; None where it is not known."""

    seconds: float | None = None
    flops: float | None = None
    energy: Energy | None = None

    @classmethod
    def by_model(cls, seconds: float, flops: float | None, meter: Meter) -> Forward:
        """With the energy of all cores meanwhile."""
        joules = seconds * meter.watts_per_core * num_threads()
        return cls(seconds=seconds, flops=flops, energy=Energy(joules=joules, source=meter.model))

    def times(self, rows: float) -> Forward:
        """For so many of what it is for."""
        energy = self.energy
        if energy is not None and energy.joules is not None:
            energy = Energy(joules=rows * energy.joules, source=energy.source)
        return Forward(seconds=_product(self.seconds, rows), flops=_product(self.flops, rows), energy=energy)

    def plus(self, other: Forward) -> Forward:
        """Both, as far as they are known."""
        energies = [energy for energy in (self.energy, other.energy) if energy is not None]
        return Forward(
            seconds=_sum(self.seconds, other.seconds),
            flops=_sum(self.flops, other.flops),
            energy=summed(energies) if energies else None,
        )


class ModelCost:
    """What one model of a cell takes.

    Args:
        cell: its fits.
        row: what the embedding of a row of its view takes.
        meter: of energy, for what was not measured.

    Attributes:
        features: whether its fits read features.
    """

    def __init__(self, cell: Cell, row: Forward, meter: Meter) -> None:
        self.cell = cell
        self.records = list({record.key: record for record in cell.records.values()}.values())
        self.features = any(map(self._reads, self.records))
        embedding = row.times(cell.labels) if self.features else Forward()
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


def _reused(records: Sequence[Record], meter: Meter) -> list[Forward]:
    """What frozen blocks took once whose output each fit found in the cache."""
    told = [numbers_of(record.facts.get("reused")) for record in records]
    if not any(found.get("seconds") for found in told):
        return [Forward()] * len(told)
    return [Forward.by_model(found.get("seconds", 0.0), found.get("flops", 0.0), meter) for found in told]


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
    told = [numbers_of(record.facts.get("stages")) for record in records]
    names = dict.fromkeys(name for stages in told for name in stages)
    return {name: float(np.mean([stages.get(name, 0.0) for stages in told])) for name in names}


def numbers_of(facts: Any) -> dict[str, float]:
    """What a fit tells by name, as far as it is numbers: a plugin may tell anything."""
    if not isinstance(facts, Mapping):
        return {}
    return {
        str(name): float(value)
        for name, value in facts.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
    }
