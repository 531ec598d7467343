"""Joules from counters as the kernel shows them, in a tree of files; else by a model, which says so."""

from itertools import pairwise
from pathlib import Path

import pytest

from tlengine.errors import InputError
from tlengine.evaluation import energy
from tlengine.evaluation.energy import ERRORS, Meter, grams_of_co2e, shown_joules, summed
from tlengine.plugins.contracts import Energy

RANGE = 262_143_328_850


def package(
    root: Path, folder: str, name: str, count: int, most: int | None = RANGE, watts: int | None = None
) -> Path:
    place = root / folder
    place.mkdir(parents=True)
    (place / "name").write_text(f"{name}\n")
    (place / "energy_uj").write_text(f"{count}\n")
    if most is not None:
        (place / "max_energy_range_uj").write_text(f"{most}\n")
    if watts is not None:
        (place / "constraint_0_name").write_text("long_term\n")
        (place / "constraint_0_power_limit_uw").write_text(f"{watts * 1_000_000}\n")
    return place / "energy_uj"


def metered(root: Path, *steps: dict[Path, int], cpu_seconds: float = 2.0) -> tuple[Meter, Energy]:
    """What a stretch took in which the counters went through these steps, read at each."""
    meter = Meter(root, gpu=False)
    before = after = meter.read()
    for step in steps:
        for file, count in step.items():
            file.write_text(f"{count}\n")
        after = meter.read()
    return meter, meter.energy(before, after, cpu_seconds=cpu_seconds)


def test_packages_alone_are_counted_and_each_once(tmp_path: Path) -> None:
    """Cores and graphics lie inside their package, and some kernels show a package a second time."""
    one = package(tmp_path, "intel-rapl:0", "package-0", 5_000_000)
    two = package(tmp_path, "intel-rapl:1", "package-1", 7_000_000)
    twin = package(tmp_path, "intel-rapl-mmio:0", "package-0", 5_000_000)
    core = package(tmp_path, "intel-rapl:0:0", "core", 1_000_000)
    system = package(tmp_path, "intel-rapl:2", "psys", 1_000_000)
    more = {one: 8_000_000, two: 8_500_000, twin: 8_000_000, core: 3_000_000, system: 90_000_000}
    meter, found = metered(tmp_path, more)
    assert found == Energy(joules=3.0 + 1.5, source="counter")
    assert meter.notes == []


def test_a_counter_that_goes_round_is_followed(tmp_path: Path) -> None:
    file = package(tmp_path, "intel-rapl:0", "package-0", RANGE - 1_000_000)
    assert metered(tmp_path, {file: 2_000_000})[1] == Energy(joules=3.0, source="counter")


def test_a_counter_that_goes_round_twice_is_followed_where_it_is_read_between(tmp_path: Path) -> None:
    file = package(tmp_path, "intel-rapl:0", "package-0", RANGE // 2)
    steps = [{file: RANGE - 1_000_000}, {file: RANGE // 2}] * 2
    assert metered(tmp_path, *steps)[1].joules == pytest.approx(2 * RANGE / 1e6)


def test_without_its_range_a_counter_that_goes_round_is_not_believed(tmp_path: Path) -> None:
    file = package(tmp_path, "intel-rapl:0", "package-0", 9_000_000, most=None)
    assert metered(tmp_path, {file: 9_500_000})[1] == Energy(joules=0.5, source="counter")
    file.write_text("9000000\n")
    meter, found = metered(tmp_path, {file: 1_000_000})
    assert found == Energy(joules=2.0 * meter.watts_per_core, source="constant")


def test_a_counter_that_may_have_gone_round_unseen_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """262 kJ are nine minutes at 500 W; a later stretch is counted again."""
    file = package(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    clock = [0.0]
    monkeypatch.setattr(energy.time, "monotonic", lambda: clock[0])
    meter = Meter(tmp_path, gpu=False)
    readings = [meter.read()]
    for now, count in ((500.0, 2_000_000), (1100.0, 9_000_000), (1110.0, 10_000_000)):
        clock[0] = now
        file.write_text(str(count))
        readings.append(meter.read())
    sources = [meter.energy(one, two, cpu_seconds=1.0).source for one, two in pairwise(readings)]
    assert sources == ["counter", "constant", "counter"]
    assert meter.energy(readings[0], readings[-1], cpu_seconds=1.0).source == "constant"


@pytest.mark.parametrize("watts", [None, 120])
def test_what_root_alone_may_read_is_said_and_estimated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, watts: int | None
) -> None:
    file = package(tmp_path, "intel-rapl:0", "package-0", 1_000_000, watts=watts)
    read = Path.read_text

    def refuses(path: Path, *args: object, **options: object) -> str:
        if path == file:
            raise PermissionError(13, "Permission denied")
        return read(path, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "read_text", refuses)  # root, who runs tests in containers, may read all
    monkeypatch.setattr(energy.os, "cpu_count", lambda: 4)
    meter, found = metered(tmp_path)
    assert meter.notes == [f"{file} can be read by root alone"]
    assert found == (
        Energy(joules=2.0 * 5.0, source="constant")
        if watts is None
        else Energy(joules=2.0 * 120 / 4, source="model")
    )


@pytest.mark.parametrize("damage", ["text", "gone"])
def test_a_counter_that_goes_away_costs_the_counter_alone(tmp_path: Path, damage: str) -> None:
    file = package(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    meter = Meter(tmp_path, gpu=False)
    before = meter.read()
    if damage == "gone":
        file.unlink()
    else:
        file.write_text("many")
    assert meter.energy(before, meter.read(), cpu_seconds=1.0).source == "constant"
    assert len(meter.notes) == 1
    meter.read()
    assert len(meter.notes) == 1, "said once"
    assert Meter(tmp_path, gpu=False).read().package is None


def test_of_two_packages_one_that_cannot_be_read_leaves_no_half_sum(tmp_path: Path) -> None:
    package(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    package(tmp_path, "intel-rapl:1", "package-1", 1_000_000).write_text("")
    meter = Meter(tmp_path, gpu=False)
    assert meter.read().package is None
    assert "intel-rapl:1/energy_uj cannot be read" in meter.notes[0]


def test_a_machine_without_counters(tmp_path: Path) -> None:
    meter, found = metered(tmp_path / "none")
    assert (found.joules, found.source) == (10.0, "constant")
    assert meter.notes == [f"{tmp_path / 'none'} has no counter of a processor package"]


def test_workers_beside_each_other_do_not_count_the_machine_twice(tmp_path: Path) -> None:
    file = package(tmp_path, "intel-rapl:0", "package-0", 1_000_000, watts=60)
    meter = Meter(tmp_path, gpu=False, shared=True)
    before = meter.read()
    file.write_text("9000000")
    assert meter.energy(before, meter.read(), cpu_seconds=1.0).source == "model"
    assert "several workers" in meter.notes[0]


def test_the_users_watts_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path, "intel-rapl:0", "package-0", 1, watts=60)
    monkeypatch.setenv("TLENGINE_WATTS_PER_CORE", "7.5")
    meter = Meter(tmp_path, gpu=False, shared=True)
    assert (meter.watts_per_core, meter.model) == (7.5, "model")


@pytest.mark.parametrize("text", ["much", "-1", "nan", "inf"])
def test_watts_that_are_none_are_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("TLENGINE_WATTS_PER_CORE", text)
    with pytest.raises(InputError, match="TLENGINE_WATTS_PER_CORE is") as caught:
        Meter(gpu=False)
    assert caught.value.hint == "give watts, a number from 0 on"


def test_a_gpu_without_a_counter_makes_the_figure_a_guess(tmp_path: Path) -> None:
    file = package(tmp_path, "intel-rapl:0", "package-0", 0)
    meter = Meter(tmp_path, gpu=False)
    before = meter.read()
    file.write_text("3000000")
    found = meter.energy(before, meter.read(), cpu_seconds=1.0, gpu_seconds=2.0)
    assert found == Energy(joules=3.0 + 2.0 * 250.0, source="constant")


def test_a_sum_is_no_better_than_its_worst_part() -> None:
    counted, guessed = Energy(joules=1.0, source="counter"), Energy(joules=2.0, source="constant")
    assert summed([counted, guessed]) == Energy(joules=3.0, source="constant")
    assert summed([counted, Energy()]) == Energy(joules=None, source="none")
    assert summed([]) == Energy()
    assert ERRORS["counter"] < ERRORS["model"] < ERRORS["constant"]


@pytest.mark.parametrize(
    ("joules", "source", "shown"),
    [
        (1234.56, "counter", 1235.0),
        (1234.56, "model", 1200.0),
        (0.01849, "constant", 0.018),
        (0.0, "model", 0.0),
    ],
)
def test_an_estimate_has_two_digits(joules: float, source: str, shown: float) -> None:
    assert shown_joules(Energy(joules=joules, source=source)) == shown  # type: ignore[arg-type]


def test_co2_is_known_where_the_grid_is() -> None:
    counted = Energy(joules=3.6e6, source="counter")
    assert grams_of_co2e(counted, 380.0) == 380.0
    assert grams_of_co2e(counted, 0.0) == 0.0
    assert grams_of_co2e(counted, None) is None
    assert grams_of_co2e(Energy(joules=130.0, source="model"), 380.0) == 0.014, "two digits here too"
    assert grams_of_co2e(Energy(), 380.0) is None
