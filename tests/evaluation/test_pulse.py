"""Who is dead is taken for dead, at once where the kernel knows; who is alive is not."""

import fcntl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tlengine.evaluation import pulse
from tlengine.evaluation.pulse import Pulse, State, Watch


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "BEAT", 0.02)


@contextmanager
def beating(path: Path) -> Iterator[Pulse]:
    found = Pulse(path)
    try:
        yield found
    finally:
        found.stop()


def until(watch: Watch, state: State, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while watch.look() != state:
        assert time.monotonic() < deadline, watch.look()
        time.sleep(0.01)


def test_who_holds_the_lock_is_alive_at_once(tmp_path: Path) -> None:
    with beating(tmp_path / "0"):
        assert Watch(tmp_path / "0").look() == "alive"


def test_a_word_is_heard_and_a_process_that_left_is_gone(tmp_path: Path) -> None:
    watch = Watch(tmp_path / "0")
    assert watch.look() == "gone", "there is no such file"
    with beating(tmp_path / "0") as mine:
        assert (watch.look(), watch.word) == ("alive", "")
        mine.say("over")
        assert (watch.look(), watch.word) == ("alive", "over")
    assert (watch.look(), watch.word) == ("gone", "left")
    with pytest.raises(FileExistsError):
        Pulse(tmp_path / "0")


DIES = """
import sys, time
from pathlib import Path
from tlengine.evaluation.pulse import Pulse
Pulse(Path(sys.argv[1]))
print("beats", flush=True)
time.sleep(60)
"""


def test_a_process_that_is_killed_is_gone_at_once(tmp_path: Path) -> None:
    """Though nobody has waited for it, as a launcher that is busy."""
    command = [sys.executable, "-c", DIES, str(tmp_path / "1")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "beats\n"
        watch = Watch(tmp_path / "1")
        assert watch.look() == "alive"
        process.kill()
        until(watch, "gone")
    finally:
        process.kill()
        process.communicate()


def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on each look is from another machine."""
    monkeypatch.setattr(pulse, "_machine", lambda file: "another")


def test_from_another_machine_only_beats_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that was left by a process that was killed looks as one that is about to beat."""
    with beating(tmp_path / "0"):
        elsewhere(monkeypatch)
        watch = Watch(tmp_path / "0")
        assert watch.look() == "unknown"
        until(watch, "alive")
    left = tmp_path / "1"
    left.write_text(f"{3:020d} {'':8} a-boot:1:2\n")
    silent = Watch(left)
    monkeypatch.setattr(pulse, "SILENT", 0.1)
    assert silent.look() == "unknown"
    until(silent, "gone")
    assert silent.look() == "gone"


def test_who_is_silent_is_gone_though_it_holds_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was stopped, or its disk hangs; it is back with its next beat."""
    monkeypatch.setattr(pulse, "BEAT", 60.0)
    with beating(tmp_path / "0") as mine:
        monkeypatch.setattr(pulse, "SILENT", 0.1)
        watch = Watch(tmp_path / "0")
        until(watch, "gone")
        mine.say("over")
        assert watch.look() == "alive"
        monkeypatch.setattr(pulse, "BEAT", 0.0)


def test_a_file_system_that_is_away_for_a_while_kills_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with beating(tmp_path / "0"):
        watch = Watch(tmp_path / "0")
        assert watch.look() == "alive"
        opened = Path.open

        def fails(self: Path, *args: object, **options: object) -> object:
            raise OSError(116, "Stale file handle")

        monkeypatch.setattr(Path, "open", fails)
        assert watch.look() == "alive"
        monkeypatch.setattr(Path, "open", opened)


def test_where_nothing_can_be_locked_beats_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(file: object, operation: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuses)
    with beating(tmp_path / "0"):
        watch = Watch(tmp_path / "0")
        assert watch.look() == "unknown"
        until(watch, "alive")
    assert watch.look() == "gone"
