"""A bar is made only where it is shown, says nothing that is not known, and its time left does not jump."""

from __future__ import annotations

import itertools
import re
import threading
from typing import Any

import numpy as np
import pytest
import tqdm

import tlengine as tl
from tlengine.probes import bars
from tlengine.probes.bars import DelayedBar, TimeLeft


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if stderr were a terminal, and every solve took seconds."""
    monkeypatch.setattr(bars, "hidden_bar", lambda progress: not progress)
    monkeypatch.setattr(bars, "_DELAY", 0.0)


def data(n: int = 6_000, d: int = 192, classes: int = 120) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    y = np.arange(n) % classes
    return (rng.normal(size=(n, d)) + 0.5 * rng.normal(size=(classes, d))[y]).astype(np.float32), y


def test_what_is_soon_over_makes_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bars, "hidden_bar", lambda progress: not progress)
    monkeypatch.setattr(tqdm, "tqdm", lambda *args, **options: pytest.fail("a bar was made"))
    X, y = data(60, 20, 3)
    for probe in (tl.LinearProbe(), tl.LinearProbeCV([0.1]), tl.RidgeProbeCV([1.0])):
        probe.fit(X, y)


@pytest.mark.usefixtures("terminal")
def test_a_path_shows_passes_the_gap_and_the_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    X, y = data()
    tl.probe_path(X, y, Cs=[1e-2, 1e-1])
    shown = capsys.readouterr().err
    assert re.search(r"\d\d:\d\d left, \d+ passes, C=0.01 \(0/2 done\), gap \de-0\d", shown)
    assert "inf" not in shown
    assert "nan" not in shown
    assert "?" not in shown


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("progress", [True, False])
def test_a_ridge_shows_its_part_where_that_is_asked_for(
    progress: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    X, y = data(20_000, 300, 20)
    tl.RidgeProbeCV([1.0], progress=progress).fit(X, y)
    assert ("%" in capsys.readouterr().err) is progress


@pytest.mark.usefixtures("terminal")
def test_other_threads_show_none(capsys: pytest.CaptureFixture[str]) -> None:
    def show() -> None:
        bar = DelayedBar(True)
        bar.show(1, 2)
        bar.close()

    thread = threading.Thread(target=show)
    thread.start()
    thread.join()
    assert capsys.readouterr().err == ""
    show()
    assert "50%" in capsys.readouterr().err


def test_the_time_left_counts_down_where_the_estimate_holds() -> None:
    left = TimeLeft()
    told = [left.told(seconds, seconds * 10, 1000 - seconds * 10) for seconds in range(1, 90)]
    np.testing.assert_allclose(told, [100 - seconds for seconds in range(1, 90)])  # type: ignore[arg-type]


def test_an_estimate_that_jumps_moves_what_is_shown_by_little() -> None:
    """From one look to the next 40 to 400 passes more or fewer: shown is a tenth of that at the most."""
    left, rng = TimeLeft(), np.random.default_rng(0)
    raw = [float(rng.choice([100, 140, 500])) for _ in range(60)]
    told = [left.told(0.5 * i, 5.0 * i, passes) for i, passes in enumerate(raw, start=1)]
    shown = [value for value in told if value is not None]
    assert len(shown) == 60
    jumps = [abs(b - a) for a, b in itertools.pairwise(shown[1:])]
    known = [abs(b - a) / 10 for a, b in itertools.pairwise(raw)]
    assert max(known) == 40
    assert max(jumps) < 6
    # It goes to what is known in the end.
    for i in range(61, 120):
        last = left.told(0.5 * i, 5.0 * i, 200)
    assert last == pytest.approx(20, abs=6)


def test_without_a_unit_there_is_no_time_left_and_looks_between_units_count_down() -> None:
    left = TimeLeft()
    assert left.told(1.0, 0, 50) is None
    assert left.told(2.0, 1, 10) == 20
    first, second = left.told(3.0, 1, 10), left.told(4.0, 1, 10)
    assert first is not None
    assert second is not None
    assert 18.9 < first < 20
    assert second < first
