"""Ranks find the rank 0 of their launch, not one that is dead, and part without leaving anything behind."""

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tlengine.errors import InputError, TimeLimitError, TlengineError
from tlengine.evaluation import meeting
from tlengine.evaluation.meeting import PLACE, Guest, Host, Over


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {"PATIENCE": 20.0, "COMING": 10.0, "LEAVING": 10.0, "POLL": 0.02}.items():
        monkeypatch.setattr(meeting, name, seconds)


class Visit(threading.Thread):
    """A guest that stays until the end, after a while."""

    def __init__(self, out: Path, rank: int, launch: str = "launch", late: float = 0.0) -> None:
        super().__init__()
        self.out, self.rank, self.launch, self.late = out, rank, launch, late
        self.found: Mapping[str, Any] | BaseException | None = None
        self.start()

    def run(self) -> None:
        time.sleep(self.late)
        try:
            with Guest(self.out, self.launch, self.rank) as guest:
                self.found = guest.result()
        except BaseException as error:
            self.found = error


@pytest.fixture
def visit() -> Iterator[Callable[..., Visit]]:
    visits: list[Visit] = []

    def begin(*args: Any, **options: Any) -> Visit:
        visits.append(Visit(*args, **options))
        return visits[-1]

    yield begin
    for one in visits:
        one.join(timeout=30)
        assert not one.is_alive()


def test_all_hear_what_the_run_came_to_also_who_comes_late(
    tmp_path: Path, visit: Callable[..., Visit]
) -> None:
    """A run of which all is taken up ends before a rank on a slow machine has begun."""
    out = tmp_path / "deep" / "out"
    guests = [visit(out, 1), visit(out, 2, late=0.7)]
    with Host(out, "launch", 3) as host:
        host.tell({"answer": 1 / 3})
    for guest in guests:
        guest.join()
        assert guest.found == {"answer": 1 / 3}
    assert list(out.iterdir()) == []


def test_who_never_comes_is_waited_for_so_long_and_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meeting, "COMING", 0.3)
    begun = time.monotonic()
    with Host(tmp_path, "launch", 2):
        pass
    assert 0.3 <= time.monotonic() - begun < 5


def test_why_rank_0_failed_is_told_in_one_line(tmp_path: Path, visit: Callable[..., Visit]) -> None:
    guest = visit(tmp_path, 1)
    with pytest.raises(InputError), Host(tmp_path, "launch", 2):
        raise InputError("no backbone\nof that name", hint="see the list")
    guest.join()
    assert isinstance(guest.found, TlengineError)
    assert str(guest.found) == "rank 0 ended without a result: no backbone of that name"
    assert list(tmp_path.iterdir()) == []


def left_behind(out: Path, launch: str = "launch") -> Path:
    """What rank 0 leaves when it is killed."""
    with Host(out, launch, 1):
        shutil.copytree(out / PLACE, out / "copy")
    (out / "copy").rename(out / PLACE)
    return out / PLACE


def test_a_meeting_of_one_that_was_killed_leads_nobody_astray(
    tmp_path: Path, visit: Callable[..., Visit]
) -> None:
    old = json.loads((left_behind(tmp_path) / "meeting.json").read_text())
    guest = visit(tmp_path, 1)
    time.sleep(0.2)
    assert guest.found is None
    with Host(tmp_path, "launch", 2) as host:
        host.tell({"answer": 2})
        assert not (tmp_path / PLACE / old["token"]).exists()
    guest.join()
    assert guest.found == {"answer": 2}


def test_rank_0_that_does_not_come_is_an_error_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, visit: Callable[..., Visit]
) -> None:
    monkeypatch.setattr(meeting, "PATIENCE", 0.3)
    (left_behind(tmp_path) / "meeting.json").write_text("[]")
    guest = visit(tmp_path, 1)
    guest.join()
    assert isinstance(guest.found, TimeLimitError)
    assert "nothing was heard of rank 0 for 0.3 s" in guest.found.message


def test_the_ranks_of_another_launch_and_two_of_one_number_are_refused(
    tmp_path: Path, visit: Callable[..., Visit], monkeypatch: pytest.MonkeyPatch
) -> None:
    guest = visit(tmp_path, 1)
    with Host(tmp_path, "launch", 2):
        wait_for(lambda: len(list((tmp_path / PLACE).glob("*/ranks/*"))) == 2)
        monkeypatch.setattr(meeting, "_attended", set())  # as another process
        twice, other = visit(tmp_path, 1), visit(tmp_path, 1, "another launch")
        twice.join()
        other.join()
    guest.join()
    assert guest.found == {}
    assert isinstance(twice.found, InputError)
    assert twice.found.message == "another process is rank 1 of this run"
    assert isinstance(other.found, InputError)
    assert other.found.message == f"another run is writing to {tmp_path}"


def wait_for(what: Callable[[], Any], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_second_call_waits_for_a_meeting_of_its_own(tmp_path: Path) -> None:
    """The first one may still be there when a quick rank calls again."""
    found = []

    def calls() -> None:
        for _ in range(3):
            with Guest(tmp_path, "launch", 1) as guest:
                found.append(guest.result()["call"])

    rank = threading.Thread(target=calls)
    rank.start()
    for call in range(3):
        with Host(tmp_path, "launch", 2) as host:
            host.tell({"call": call})
    rank.join(timeout=30)
    assert found == [0, 1, 2]


def test_a_guest_at_work_is_told_that_no_more_is_wanted(tmp_path: Path) -> None:
    with Host(tmp_path, "launch", 1) as host, Guest(tmp_path, "launch", 1) as guest:
        assert not over(guest)
        host.over()
        wait_for(lambda: over(guest))
        assert not host.gone(1)
        guest.__exit__()
        assert host.gone(1)


def test_a_guest_at_work_is_told_that_rank_0_is_gone(tmp_path: Path) -> None:
    with Host(tmp_path, "launch", 1), Guest(tmp_path, "launch", 1) as guest:
        shutil.rmtree(tmp_path / PLACE)
        with pytest.raises(TlengineError, match="rank 0 died"):
            wait_for(lambda: over(guest))
        with pytest.raises(TlengineError, match="rank 0 died"):
            guest.result()


def over(guest: Guest) -> bool:
    try:
        guest.check()
    except Over:
        return True
    return False
