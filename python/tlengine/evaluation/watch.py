"""What a stretch of work takes: seconds, CPU seconds, memory, energy.

>>> watch = Watch(Meter(gpu=False))
>>> spent = watch.spent()
>>> spent.seconds >= 0, spent.gpu_seconds, spent.flops
(True, None, None)
"""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import dataclass, field, replace
from typing import Any

from tlengine.evaluation.energy import Meter, summed
from tlengine.plugins.contracts import Energy

__all__ = ["Spent", "Watch"]


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What was spent on something.

    Attributes:
        seconds, cpu_seconds: by the wall clock; of this process and its children that ended.
        gpu_seconds: for how long a GPU was held; None for not at all.
        flops: as far as they were counted; None for not at all.
        peak_bytes: by which the peak of this process rose: 0 where earlier work had needed as much.
        energy: joules and their source.
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    gpu_seconds: float | None = None
    flops: float | None = None
    peak_bytes: int = 0
    energy: Energy = field(default_factory=lambda: Energy(joules=0.0, source="counter"))

    def __add__(self, other: Spent) -> Spent:
        """One after the other."""
        return Spent(
            seconds=self.seconds + other.seconds,
            cpu_seconds=self.cpu_seconds + other.cpu_seconds,
            gpu_seconds=_plus(self.gpu_seconds, other.gpu_seconds),
            flops=_plus(self.flops, other.flops),
            peak_bytes=max(self.peak_bytes, other.peak_bytes),
            energy=summed([self.energy, other.energy]),
        )

    def without(self, part: Spent) -> Spent:
        """What is left of it beside a part that was booked elsewhere."""
        whole, joules = self.energy.joules, part.energy.joules
        rest = None if whole is None or joules is None else max(0.0, whole - joules)
        return replace(
            self,
            seconds=max(0.0, self.seconds - part.seconds),
            cpu_seconds=max(0.0, self.cpu_seconds - part.cpu_seconds),
            gpu_seconds=_minus(self.gpu_seconds, part.gpu_seconds),
            flops=_minus(self.flops, part.flops),
            energy=Energy(joules=rest, source="none" if rest is None else self.energy.source),
        )

    def shared(self, parts: int) -> Spent:
        """What each of several that were solved together is booked."""
        joules = self.energy.joules
        return replace(
            self,
            seconds=self.seconds / parts,
            cpu_seconds=self.cpu_seconds / parts,
            gpu_seconds=None if self.gpu_seconds is None else self.gpu_seconds / parts,
            energy=replace(self.energy, joules=None if joules is None else joules / parts),
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, the joules as they are."""
        return {
            "seconds": round(self.seconds, 4),
            "cpu_seconds": round(self.cpu_seconds, 4),
            "gpu_seconds": None if self.gpu_seconds is None else round(self.gpu_seconds, 4),
            "flops": self.flops,
            "peak_bytes": self.peak_bytes,
        }


def _plus(one: float | None, two: float | None) -> float | None:
    return one if two is None else two if one is None else one + two


def _minus(one: float | None, two: float | None) -> float | None:
    """None where nothing is left that was counted."""
    return one if one is None or two is None else max(0.0, one - two) or None


class Watch:
    """Reads clocks and counters where it is made, and again where it is asked."""

    def __init__(self, meter: Meter) -> None:
        self._start, self._cpu, self._peak = time.perf_counter(), _cpu_seconds(), _peak()
        self._meter, self._reading = meter, meter.read()

    def spent(self, *, gpu: bool = False, flops: float | None = None) -> Spent:
        """Since it was made.

        Args:
            gpu: whether a GPU was held all the time.
            flops: what was counted meanwhile.
        """
        reading, peak = self._meter.read(), _peak() - self._peak
        cpu, seconds = _cpu_seconds() - self._cpu, time.perf_counter() - self._start
        held = seconds if gpu else None
        return Spent(
            seconds=seconds,
            cpu_seconds=cpu,
            gpu_seconds=held,
            flops=flops,
            peak_bytes=max(0, peak),
            energy=self._meter.energy(self._reading, reading, cpu_seconds=cpu, gpu_seconds=held),
        )


def _cpu_seconds() -> float:
    """Of all threads, and of the children that were waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _peak() -> int:
    """The most memory that this process has had, in bytes; macOS tells bytes, Linux kilobytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
