"""codecarbon's estimate of a run, with the method that it was made by: a line of JSON for each run.

It listens to the events of a run. ``TLENGINE_CODECARBON`` names the file; without it nothing is tracked.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tlengine
from tlengine.errors import MissingPackageError
from tlengine.settings import co2_intensity

METHODS = ("cpu_tracker", "gpu_tracker", "ram_tracker")


class _Run:
    """The run that is under way: its tracker, and what was fitted so far."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self.facts = dict(facts)
        self.fits: dict[str, float] = {}
        self.tracker = _tracker()
        self.tracker.start()

    def line(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """What codecarbon says, and beside it what tlengine's ledger does.

        Raises:
            RuntimeError: codecarbon, which swallows its own errors, has nothing to say.
        """
        self.tracker.stop()
        found = getattr(self.tracker, "final_emissions_data", None)
        if found is None:
            raise RuntimeError("codecarbon gave no result; CODECARBON_LOG_LEVEL=debug says why")
        totals = document["costs"]["totals"]
        return {
            "created": document["created"],
            "dataset": self.facts["dataset"],
            "tasks": self.facts["tasks"],
            "fits": {name: round(seconds, 4) for name, seconds in self.fits.items()},
            "seconds": found.duration,
            "emissions_kg": found.emissions,
            "energy_kwh": found.energy_consumed,
            "cpu_kwh": found.cpu_energy,
            "gpu_kwh": found.gpu_energy,
            "ram_kwh": found.ram_energy,
            "country": found.country_iso_code,
            "method": self.tracker.methods,
            "codecarbon": found.codecarbon_version,
            "tlengine": {"joules": totals["joules"], "source": totals["source"]},
        }


_run: _Run | None = None


@tlengine.hookimpl
def tlengine_run_started(run: Mapping[str, Any]) -> None:
    """A run that was interrupted says no more: its tracker ends with the next one's beginning."""
    global _run
    _forget()
    if os.environ.get("TLENGINE_CODECARBON"):
        _run = _Run(run)


@tlengine.hookimpl
def tlengine_task_finished(record: Any) -> None:
    """Seconds of the fits, by view and strategy."""
    if _run is not None:
        name = f"{record.task.view} {record.task.strategy}"
        _run.fits[name] = _run.fits.get(name, 0.0) + record.seconds


@tlengine.hookimpl
def tlengine_run_finished(document: Mapping[str, Any]) -> None:
    """Append the line of this run."""
    global _run
    if _run is None:
        return
    done, _run = _run, None
    line = json.dumps(done.line(document), allow_nan=False)
    with Path(os.environ["TLENGINE_CODECARBON"]).expanduser().open("a", encoding="utf-8") as file:
        file.write(line + "\n")


def _forget() -> None:
    global _run
    if _run is not None:
        _run.tracker.stop()
        _run = None


def _tracker() -> Any:
    """The offline tracker, every way out of the machine closed, which keeps the methods that it chose."""
    try:
        from codecarbon import OfflineEmissionsTracker
        from codecarbon.core.resource_tracker import ResourceTracker
    except ImportError:
        raise MissingPackageError(
            "tlengine-codecarbon needs codecarbon", hint="pip install 'codecarbon>=3.3.2,<3.4'"
        ) from None

    class Tracker(OfflineEmissionsTracker):  # type: ignore[misc]
        methods: Mapping[str, str] = {}

        def _initialize_hardware_tracking(self) -> None:
            chosen = ResourceTracker(self)
            chosen.set_CPU_GPU_ram_tracking()
            self._conf["hardware"] = [item.description() for item in self._hardware]
            self.methods = {name: str(getattr(chosen, name)) for name in METHODS}

    closed: dict[str, Any] = {
        "output_methods": [],
        "electricitymaps_api_token": None,
        "emissions_endpoint": None,
    }
    grams = co2_intensity()
    known = {} if grams is None else {"force_carbon_intensity_g_co2e_kwh": grams}
    return Tracker(
        project_name="tlengine", log_level="error", tracking_mode="machine", allow_multiple_runs=True,
        **closed, **known,
    )  # fmt: skip
