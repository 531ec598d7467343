"""What a run costs, stage by stage: clocks and counters are read at the edges of each, and not in between.

>>> ledger = Ledger()
>>> with ledger.stage("load"):
...     with ledger.stage("extract", "net"):
...         pass
>>> [(entry["stage"], entry["what"]) for entry in ledger.entries()]
[('extract', 'net'), ('load', '')]
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from tlengine.evaluation.energy import Meter, shown_joules
from tlengine.evaluation.watch import Spent, Watch
from tlengine.plugins.contracts import Energy, Record

__all__ = ["Ledger", "Stage"]


@dataclass(eq=False)
class Stage:
    """A stage that is under way: its body may say what the clocks do not know.

    Attributes:
        gpu: whether it holds a GPU.
        flops: what it computes.
        inner: what stages inside it took, which are booked by themselves.
    """

    gpu: bool = False
    flops: float | None = None
    inner: Spent = field(default_factory=Spent)


class Ledger:
    """Adds up what was spent by stage and by what the stage worked on, in the driver of a run.

    A stage inside another is booked by itself, so that all of them add up to the time of the run.

    Args:
        meter: of energy; default: the counters of this machine.
    """

    def __init__(self, meter: Meter | None = None) -> None:
        self.meter = Meter(gpu=False) if meter is None else meter
        self._spent: dict[tuple[str, str], Spent] = {}
        self._open: list[Stage] = []
        self._start = time.perf_counter()

    @contextmanager
    def stage(self, stage: str, what: str = "") -> Iterator[Stage]:
        """Measures the body; the same stage may be entered many times."""
        opened, watch = self._begin()
        try:
            yield opened
        finally:
            self._book(stage, what, self._end(opened, watch))

    @contextmanager
    def fits(self, stage: str = "fit", rest: str = "score") -> Iterator[Callable[[Record], None]]:
        """Measures the body, and shares it among the records that it books; what is left is stage ``rest``.

        The seconds are those of this process: where several workers fit at once, each record has its share of
        them. CPU and GPU seconds are the workers' own.
        """
        by_name: dict[str, Spent] = {}

        def book(record: Record) -> None:
            name = f"{record.task.view} {record.task.strategy}"
            by_name[name] = by_name.get(name, Spent()) + self._of(record)

        opened, watch = self._begin()
        try:
            yield book
        finally:
            whole = self._end(opened, watch)
            parts = _shares(whole, by_name)
            for name, part in parts.items():
                self._book(stage, name, part)
            self._book(rest, "", whole.without(sum(parts.values(), Spent())))

    def _begin(self) -> tuple[Stage, Watch]:
        self._open.append(Stage())
        return self._open[-1], Watch(self.meter)

    def _end(self, opened: Stage, watch: Watch) -> Spent:
        """What a stage took without those inside it; the one around it is told."""
        self._open.pop()
        whole = watch.spent(gpu=opened.gpu, flops=opened.flops)
        if self._open:
            around = self._open[-1]
            around.inner = around.inner + replace(whole, flops=None, gpu_seconds=None)
        return whole.without(opened.inner)

    def _of(self, record: Record) -> Spent:
        """What the worker measured; energy by the model where it measured none."""
        by_model = Energy(joules=record.cpu_seconds * self.meter.watts_per_core, source=self.meter.model)
        return Spent(
            seconds=record.seconds,
            cpu_seconds=record.cpu_seconds,
            gpu_seconds=record.gpu_seconds,
            flops=record.flops,
            peak_bytes=record.peak_bytes,
            energy=record.energy or by_model,
        )

    def _book(self, stage: str, what: str, spent: Spent) -> None:
        known = self._spent.get((stage, what))
        self._spent[stage, what] = spent if known is None else known + spent

    def of(self, stage: str, what: str = "") -> Spent | None:
        """What a stage took so far; None where it was never entered."""
        return self._spent.get((stage, what))

    def entries(self) -> list[dict[str, Any]]:
        """One record for each stage, in the order in which they ended first."""
        return [
            {"stage": stage, "what": what, **spent.as_dict(), **_energy(spent.energy)}
            for (stage, what), spent in self._spent.items()
        ]

    def total(self) -> Spent:
        """All stages together; the seconds are those since the ledger was opened."""
        return replace(sum(self._spent.values(), Spent()), seconds=time.perf_counter() - self._start)


def _energy(energy: Energy) -> dict[str, Any]:
    return {"joules": shown_joules(energy), "source": energy.source}


def _shares(whole: Spent, parts: Mapping[str, Spent]) -> dict[str, Spent]:
    """The parts as shares of the time that this process saw.

    A counter that saw all of them, where the workers had none, is shared out by their CPU seconds.
    """
    seconds = sum(part.seconds for part in parts.values())
    cpu = max(whole.cpu_seconds, sum(part.cpu_seconds for part in parts.values()))
    scale = min(1.0, whole.seconds / seconds) if seconds else 1.0
    found = {}
    for name, part in parts.items():
        energy = part.energy
        if whole.energy.source == "counter" != energy.source and whole.energy.joules is not None and cpu:
            energy = Energy(joules=whole.energy.joules * part.cpu_seconds / cpu, source="model")
        found[name] = replace(part, seconds=scale * part.seconds, energy=energy)
    return found
