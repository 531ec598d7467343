"""Joules of a stretch of a run: counters read at its two edges, or an estimate; each figure says which.

The counters are those of the processor packages (``/sys/class/powercap``, Intel and AMD) and of the GPUs
(NVML). They count all that runs on the machine. Nothing is sampled, and no thread is started. Without a
counter there is a model, CPU seconds times the watts of a core, or the same with a constant.

>>> meter = Meter(Path("/no/such/folder"), gpu=False)
>>> before = meter.read()
>>> found = meter.energy(before, meter.read(), cpu_seconds=2.0)
>>> found.source, found.joules == 2.0 * meter.watts_per_core
('constant', True)
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from math import floor, log10
from pathlib import Path

from tlengine.evaluation.nvml import Nvml
from tlengine.plugins.contracts import Energy, EnergySource
from tlengine.settings import watts_per_core

__all__ = ["ERRORS", "Meter", "Reading", "grams_of_co2e", "shown_joules", "summed"]

POWERCAP = Path("/sys/class/powercap")
CONSTANT_WATTS = 5.0
"""Of a busy core, where nothing is known: servers have 3 to 8 for each hardware thread, laptops 3 to 6."""
GPU_WATTS = 250.0
"""Of a GPU that is held, where it has no counter."""
PACKAGE_WATTS = 500.0
"""No package takes more for long; a counter that could go round unseen at this power is not believed."""
ERRORS: dict[EnergySource, float] = {"counter": 0.05, "model": 0.3, "constant": 0.5}
"""How far a figure may be off, as a share of it."""
_WORST: tuple[EnergySource, ...] = ("counter", "model", "constant", "none")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What the counters say at one moment.

    Attributes:
        package, gpu: joules since the meter was made; None without a counter.
        lost: how often a counter could not be followed up to here.
    """

    package: float | None = None
    gpu: float | None = None
    lost: int = 0


class Meter:
    """The counters of this machine, as far as this process may read them.

    Args:
        powercap: where the kernel shows them.
        gpu: whether GPUs are looked for.
        shared: whether other workers of the run work beside this process; a counter would be counted twice.

    Attributes:
        watts_per_core: of a busy core, for the model.
        model: where that figure comes from: ``"model"`` for the user's own (``TLENGINE_WATTS_PER_CORE``) or
            the power limit of the packages, ``"constant"`` for a guess.
        notes: why there is no counter, for people.
    """

    def __init__(self, powercap: Path = POWERCAP, *, gpu: bool = True, shared: bool = False) -> None:
        self.notes: list[str] = []
        domains = _packages(powercap)
        self._domains = [] if shared else self._readable(domains, powercap)
        self._nvml = Nvml.open() if gpu and not shared else None
        if shared:
            self.notes.append(
                "several workers share this machine, so its counters say nothing of one of them"
            )
        limit = sum(found for domain in domains if (found := domain.limit) is not None)
        given = watts_per_core()
        self.model: EnergySource = "constant" if given is None and not limit else "model"
        self.watts_per_core = given or limit / (os.cpu_count() or 1) or CONSTANT_WATTS

    def _readable(self, domains: Iterable[_Package], powercap: Path) -> list[_Package]:
        found = []
        for domain in domains:
            try:
                domain.follow()
            except PermissionError:
                self.notes.append(f"{domain.folder / 'energy_uj'} can be read by root alone")
                return []  # a machine of which one package is missing is not counted
            except (OSError, ValueError) as error:
                self.notes.append(f"{domain.folder / 'energy_uj'} cannot be read ({error})")
                return []
            found.append(domain)
        if not found:
            self.notes.append(f"{powercap} has no counter of a processor package")
        return found

    def read(self) -> Reading:
        """The counters now; called at both edges of a stage."""
        try:
            for domain in self._domains:
                domain.follow()
        except (OSError, ValueError) as error:
            self.notes.append(f"a counter of {POWERCAP} went away ({error})")
            self._domains = []
        package = sum(domain.joules for domain in self._domains) if self._domains else None
        gpu = None if self._nvml is None else self._nvml.joules()
        return Reading(package=package, gpu=gpu, lost=sum(domain.lost for domain in self._domains))

    def energy(
        self, before: Reading, after: Reading, *, cpu_seconds: float, gpu_seconds: float | None = None
    ) -> Energy:
        """What went into the stretch between two readings.

        Args:
            before: the counters at its beginning.
            after: and at its end.
            cpu_seconds: of this process and its children meanwhile, for the model.
            gpu_seconds: for how long a GPU was held; None for not at all, then no GPU is counted.
        """
        if before.package is None or after.package is None or after.lost != before.lost:
            processor = Energy(joules=cpu_seconds * self.watts_per_core, source=self.model)
        else:
            processor = Energy(joules=after.package - before.package, source="counter")
        if gpu_seconds is None:
            return processor
        if before.gpu is None or after.gpu is None or after.gpu < before.gpu:
            return summed([processor, Energy(joules=gpu_seconds * GPU_WATTS, source="constant")])
        return summed([processor, Energy(joules=after.gpu - before.gpu, source="counter")])


class _Package:
    """A processor package: its counter of microjoules, followed over its wraps.

    Attributes:
        joules: since it was first followed.
        lost: how often more may have passed than the counter can show.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.joules, self.lost = folder, 0.0, 0
        self._last: int | None = None
        self._at = 0.0
        self._range = _number(folder / "max_energy_range_uj")
        self.limit = _watts(folder)

    def follow(self) -> None:
        """Add what passed since the last call.

        Raises:
            OSError: it cannot be read; PermissionError for all but root on most systems.
            ValueError: what is there is no number.
        """
        count, now = int((self.folder / "energy_uj").read_text()), time.monotonic()
        if self._last is not None:
            passed, unseen = count - self._last, self._range is None and count < self._last
            if self._range is not None:
                passed += self._range if passed < 0 else 0
                most = max(PACKAGE_WATTS, 2 * (self.limit or 0.0))
                unseen = (now - self._at) * most > self._range / 1e6
            self.lost += unseen
            self.joules += 0.0 if unseen else passed / 1e6
        self._last, self._at = count, now


def _packages(powercap: Path) -> list[_Package]:
    """One for each package; some kernels show one twice, by its registers and by memory (``-mmio``)."""
    found: dict[str, Path] = {}
    with suppress(OSError):
        for folder in sorted(powercap.iterdir()):
            with suppress(OSError):
                name = (folder / "name").read_text().strip()
                twice = name in found and "mmio" not in found[name].name
                if name.startswith("package") and (folder / "energy_uj").exists() and not twice:
                    found[name] = folder
    return [_Package(found[name]) for name in sorted(found)]


def _number(file: Path) -> int | None:
    with suppress(OSError, ValueError):
        return int(file.read_text())
    return None


def _watts(folder: Path) -> float | None:
    """The power that the package may take for long, which is what it is sold for; all may read it."""
    for constraint in range(2):
        with suppress(OSError):
            if (folder / f"constraint_{constraint}_name").read_text().strip() == "long_term":
                limit = _number(folder / f"constraint_{constraint}_power_limit_uw")
                return None if not limit else limit / 1e6
    return None


def summed(energies: Iterable[Energy]) -> Energy:
    """Joules together; the source is that of the worst. Of none it is nothing by ``"none"``.

    >>> summed([Energy(joules=3.0, source="counter"), Energy(joules=1.0, source="model")])
    Energy(joules=4.0, source='model')
    """
    found = list(energies)
    if not found or any(one.joules is None for one in found):
        return Energy(joules=None, source="none")
    worst = max(found, key=lambda one: _WORST.index(one.source)).source
    return Energy(joules=sum(one.joules or 0.0 for one in found), source=worst)


def shown_joules(energy: Energy | None) -> float | None:
    """Joules with the digits that mean something: two of an estimate, four of a counter.

    >>> shown_joules(Energy(joules=12345.6, source="model"))
    12000.0
    """
    if energy is None or energy.joules is None:
        return None
    digits = 4 if energy.source == "counter" else 2
    return _rounded(energy.joules, digits)


def _rounded(value: float, digits: int) -> float:
    return round(value, digits - 1 - floor(log10(abs(value)))) if value else 0.0


def grams_of_co2e(energy: Energy, intensity: float | None) -> float | None:
    """Grams of CO2e at so many grams a kilowatt-hour; None where either is unknown.

    >>> grams_of_co2e(Energy(joules=7.2e6, source="counter"), 100.0)
    200.0
    """
    joules = shown_joules(energy)
    digits = 4 if energy.source == "counter" else 2
    return None if joules is None or intensity is None else _rounded(joules / 3.6e6 * intensity, digits)
