"""Stages add up to the time of the run, each booked once, whoever the workers are."""

import time
from pathlib import Path

import numpy as np
import pytest

from tlengine.evaluation.energy import Meter
from tlengine.evaluation.ledger import Ledger
from tlengine.evaluation.watch import Spent, Watch
from tlengine.plugins.contracts import Energy, Record, Task


class Clock:
    """Seconds as the test says."""

    now = 100.0

    def perf_counter(self) -> float:
        return self.now

    process_time = staticmethod(time.process_time)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("tlengine.evaluation.watch.time", made)
    monkeypatch.setattr("tlengine.evaluation.ledger.time", made)
    return made


def record(strategy: str, seconds: float, cpu: float, **facts: object) -> Record:
    task = Task(view="net", strategy=strategy, budget=5, seed=0, fold=0)
    given = {"seconds": seconds, "cpu_seconds": cpu, "scores": np.zeros((1, 2), np.float32), **facts}
    return Record(task=task, key=strategy, **given)  # type: ignore[arg-type]


def ledger() -> Ledger:
    return Ledger(Meter(Path("/no/such/folder"), gpu=False))


def seconds(kept: Ledger) -> dict[str, float]:
    return {f"{e['stage']} {e['what']}".strip(): e["seconds"] for e in kept.entries()}


def test_a_stage_inside_another_is_booked_once(clock: Clock) -> None:
    kept = ledger()
    with kept.stage("load"):
        clock.now += 1.0
        with kept.stage("extract", "net") as stage:
            stage.gpu, stage.flops = True, 5.0
            clock.now += 3.0
        with kept.stage("extract", "net"):
            clock.now += 2.0
        clock.now += 0.5
    found = {(e["stage"], e["what"]): e for e in kept.entries()}
    inner, outer = found["extract", "net"], found["load", ""]
    assert (inner["seconds"], outer["seconds"], kept.total().seconds) == (5.0, 1.5, 6.5)
    assert (inner["gpu_seconds"], outer["gpu_seconds"]) == (3.0, None)
    assert (inner["flops"], outer["flops"]) == (5.0, None)


def test_a_stage_that_fails_is_booked_all_the_same(clock: Clock) -> None:
    kept = ledger()

    def fails() -> None:
        with kept.stage("extract", "net"):
            clock.now += 3.0
            raise ValueError("no")

    with kept.stage("load"):
        with pytest.raises(ValueError, match="no"):
            fails()
        clock.now += 1.0
    assert seconds(kept) == {"extract net": 3.0, "load": 1.0}


def test_fits_are_booked_by_name_and_what_is_left_by_itself(clock: Clock) -> None:
    kept = ledger()
    with kept.fits() as book:
        clock.now += 5.0
        book(record("knn", 1.0, 1.0))
        book(record("knn", 1.0, 1.0))
        book(record("tuned", 2.0, 0.5, gpu_seconds=2.0, flops=7.0))
    assert seconds(kept) == {"fit net knn": 2.0, "fit net tuned": 2.0, "score": 1.0}
    (tuned,) = [e for e in kept.entries() if e["what"] == "net tuned"]
    assert (tuned["gpu_seconds"], tuned["flops"]) == (2.0, 7.0)
    assert (tuned["joules"], tuned["source"]) == (2.5, "constant")


def test_workers_beside_each_other_share_the_time_of_the_driver(clock: Clock) -> None:
    """Fits of one and three seconds, at once: the driver saw two, and its stages cannot add to more."""
    kept = ledger()
    with kept.fits() as book:
        clock.now += 2.0
        book(record("knn", 1.0, 1.0))
        book(record("tuned", 3.0, 3.0))
    assert seconds(kept) == {"fit net knn": 0.5, "fit net tuned": 1.5, "score": 0.0}
    assert kept.total().cpu_seconds >= 4.0, "their CPU seconds are their own"


def test_a_counter_that_saw_all_workers_is_shared_by_their_cpu_seconds(tmp_path: Path) -> None:
    place = tmp_path / "intel-rapl:0"
    place.mkdir()
    for name, text in (("name", "package-0"), ("energy_uj", "0"), ("max_energy_range_uj", "100000000000")):
        (place / name).write_text(text)
    kept = Ledger(Meter(tmp_path, gpu=False))
    model = {"energy": Energy(joules=999.0, source="model")}
    with kept.fits() as book:
        (place / "energy_uj").write_text("8000000")
        book(record("knn", 1.0, 10.0, **model))
        book(record("tuned", 1.0, 30.0, **model))
    found = {e["what"]: (e["joules"], e["source"]) for e in kept.entries()}
    assert found["net knn"] == (2.0, "model")
    assert found["net tuned"] == (6.0, "model")
    with kept.stage("judge"):
        (place / "energy_uj").write_text("9500000")
    (judge,) = [e for e in kept.entries() if e["stage"] == "judge"]
    assert (judge["joules"], judge["source"]) == (1.5, "counter")


def test_a_failure_costs_no_energy_twice_and_hides_none() -> None:
    kept = ledger()
    task = Task(view="net", strategy="knn", budget=5, seed=0, fold=0)
    with kept.fits() as book:
        book(Record(task=task, key="k", error="no"))
    assert kept.total().energy.source == "constant"
    assert kept.total().energy.joules is not None


def test_what_several_fits_took_together_is_shared() -> None:
    whole = Spent(
        seconds=4.0,
        cpu_seconds=6.0,
        gpu_seconds=2.0,
        peak_bytes=10,
        energy=Energy(joules=8.0, source="model"),
    )
    part = whole.shared(2)
    assert (part.seconds, part.cpu_seconds, part.gpu_seconds, part.peak_bytes) == (2.0, 3.0, 1.0, 10)
    assert part.energy == Energy(joules=4.0, source="model")
    assert (part + part).energy == whole.energy
    assert whole.without(part).energy == part.energy


def test_a_watch_sees_cpu_and_memory() -> None:
    watch = Watch(Meter(Path("/no/such/folder"), gpu=False))
    held = np.ones(40 << 20, np.uint8)
    for _ in range(20):
        held.sum()
    spent = watch.spent()
    assert spent.cpu_seconds > 0
    assert spent.energy.joules == pytest.approx(5.0 * spent.cpu_seconds)
    assert spent.gpu_seconds is None
    assert spent.peak_bytes >= 0
