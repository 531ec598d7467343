"""The plugin hears the events of a run; what codecarbon finds is kept with the method it was found by."""

import json
import socket
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tlengine_codecarbon as plugin

DOCUMENT = {
    "created": "2026-11-30T21:00:00+00:00",
    "costs": {"totals": {"joules": 12.0, "source": "model"}},
}
RUN = {"dataset": "pets", "tasks": 2, "budgets": [5]}


def record(seconds: float) -> Any:
    return SimpleNamespace(task=SimpleNamespace(view="net", strategy="knn"), seconds=seconds)


class Tracker:
    """What the plugin asks of codecarbon."""

    def __init__(self, result: Any) -> None:
        self.result, self.said = result, []
        self.methods = {"cpu_tracker": "TDP constant"}

    def start(self) -> None:
        self.said.append("start")

    def stop(self) -> None:
        self.said.append("stop")
        self.final_emissions_data = self.result


def result() -> Any:
    energy = {"cpu_energy": 0.02, "gpu_energy": 0.0, "ram_energy": 0.01, "energy_consumed": 0.03}
    told = {"country_iso_code": "DEU", "codecarbon_version": "3.3.2"}
    return SimpleNamespace(duration=4.0, emissions=0.011, **energy, **told)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "emissions.jsonl"
    monkeypatch.setenv("TLENGINE_CODECARBON", str(file))
    monkeypatch.setattr(plugin, "_run", None)
    return file


def test_a_run_leaves_a_line_with_its_method(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin, "_tracker", lambda: Tracker(result()))
    for _ in range(2):
        plugin.tlengine_run_started(RUN)
        plugin.tlengine_task_finished(record(0.25))
        plugin.tlengine_task_finished(record(0.5))
        plugin.tlengine_run_finished(DOCUMENT)
    first, second = map(json.loads, place.read_text().splitlines())
    assert first == second
    assert first["method"] == {"cpu_tracker": "TDP constant"}
    assert (first["emissions_kg"], first["energy_kwh"], first["seconds"]) == (0.011, 0.03, 4.0)
    assert first["fits"] == {"net knn": 0.75}
    assert first["tlengine"] == {"joules": 12.0, "source": "model"}


def test_without_a_file_nothing_is_tracked(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    monkeypatch.delenv("TLENGINE_CODECARBON")
    monkeypatch.setattr(plugin, "_tracker", lambda: pytest.fail("a tracker was made"))
    plugin.tlengine_run_started(RUN)
    plugin.tlengine_task_finished(record(0.25))
    plugin.tlengine_run_finished(DOCUMENT)
    assert not place.exists()


def test_a_run_that_was_interrupted_ends_with_the_next_one(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Tracker] = []
    monkeypatch.setattr(plugin, "_tracker", lambda: made.append(Tracker(result())) or made[-1])
    plugin.tlengine_run_started(RUN)
    plugin.tlengine_task_finished(record(9.0))
    plugin.tlengine_run_started(RUN)
    assert made[0].said == ["start", "stop"]
    plugin.tlengine_run_finished(DOCUMENT)
    (line,) = place.read_text().splitlines()
    assert json.loads(line)["fits"] == {}


def test_a_codecarbon_that_found_nothing_is_an_error(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin, "_tracker", lambda: Tracker(None))
    plugin.tlengine_run_started(RUN)
    with pytest.raises(RuntimeError, match="codecarbon gave no result"):
        plugin.tlengine_run_finished(DOCUMENT)
    assert not place.exists()


def test_codecarbon_itself_without_a_network(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("codecarbon", reason="codecarbon is not installed: its own estimate is not checked")
    tried: list[Any] = []

    def refuses(*address: Any, **options: Any) -> Any:
        tried.append(address)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuses)
    monkeypatch.setattr(socket, "create_connection", refuses)
    monkeypatch.setenv("TLENGINE_CO2_G_PER_KWH", "380")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plugin.tlengine_run_started(RUN)
        plugin.tlengine_run_finished(DOCUMENT)
    found = json.loads(place.read_text())
    assert tried == []
    assert found["energy_kwh"] > 0
    assert found["emissions_kg"] == pytest.approx(0.38 * found["energy_kwh"], rel=1e-3)
    assert set(found["method"]) == set(plugin.METHODS)
    assert found["method"]["cpu_tracker"] != "Unspecified"
