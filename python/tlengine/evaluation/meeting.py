"""Where the ranks of one launch meet: a folder beside the run, on a file system that all of them see.

::

    OUT/.tlengine-ranks/meeting.json    the launch that meets, and the name of its folder, which is drawn anew
                        TOKEN/ranks/N   the pulse of each rank; that of rank 0 says "over" and "end"
                              end.json  what the run came to
                              …         the batches, see :mod:`~tlengine.evaluation.board`

Rank 0 makes it once the journal of the run is its own, and removes it when the others have left. Nobody joins
a meeting whose rank 0 does not show that it lives: what one that was killed has left leads nobody astray.
"""

from __future__ import annotations

import json
import secrets
import shutil
import signal
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NoReturn

from tlengine.documents import replace_text
from tlengine.errors import InputError, TimeLimitError, TlengineError
from tlengine.evaluation.board import Board, names_in
from tlengine.evaluation.pulse import Pulse, Watch

__all__ = ["Guest", "Host", "Over"]

PLACE = ".tlengine-ranks"
PATIENCE = 1800.0
"""Seconds in which rank 0 is to be heard of: it reads the data first."""
POLL = 0.1
COMING, LEAVING, FAILING = 300.0, 30.0, 5.0
"""Seconds that rank 0 waits at its end: for those that start late, until all have left, after an error."""
_attended: set[Path] = set()
"""Places that this process had at meetings: its next call waits for another one."""


class Over(Exception):  # noqa: N818 - nothing is wrong
    """No other fit is wanted."""


class Host:
    """Rank 0's side of a meeting; a context manager.

    One run at a time writes to the folder of a run: what is found here was left by one that was killed. At
    the end the others hear what the run came to. SIGTERM, by which launchers end their processes, is Ctrl-C
    meanwhile.

    Args:
        out: the folder of the run.
        launch: what is equal for all ranks of a launch.
        size: how many ranks there are.

    Attributes:
        board: the batches.
    """

    board: Board

    def __init__(self, out: Path, launch: str, size: int) -> None:
        self._place, self._launch, self._size = out / PLACE, launch, size
        self._document: Mapping[str, Any] = {}
        self._watches: dict[int, Watch] = {}

    def __enter__(self) -> Host:
        self._opened = time.monotonic()
        shutil.rmtree(self._place, ignore_errors=True)
        self._place.mkdir(parents=True, exist_ok=True)
        token = secrets.token_hex(16)
        self.board = Board(self._place / token)
        self.board.make()
        self._ranks.mkdir()
        self._pulse = Pulse(self._ranks / "0")
        told = {"launch": self._launch, "token": token}
        replace_text(self._place / "meeting.json", json.dumps(told))
        self._signals = _Terminations()
        return self

    @property
    def _ranks(self) -> Path:
        return self.board.folder / "ranks"

    def gone(self, rank: int) -> bool:
        """Whether a rank above 0 is dead, or has left."""
        watch = self._watches.setdefault(rank, Watch(self._ranks / f"{rank}"))
        return rank > 0 and watch.look() == "gone"

    def tell(self, document: Mapping[str, Any]) -> None:
        """What the run came to, for the others to hear at the end."""
        self._document = document

    def over(self) -> None:
        """No other fit is wanted: the others end what they are at."""
        self.board.withdraw()
        self._pulse.say("over")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Tell the others, wait until they have left, and remove the place."""
        try:
            with suppress(OSError):  # a full disk: they see that rank 0 is gone
                told = {"error": None if error is None else _told(error), "document": self._document}
                replace_text(self.board.folder / "end.json", json.dumps(told, allow_nan=False))
                self._pulse.say("end")
            self._part(error)
        finally:
            self._signals.restore()
            self._pulse.stop()
            shutil.rmtree(self._place, ignore_errors=True)

    def _part(self, error: BaseException | None) -> None:
        """Wait for those that start late, and for those that are still here."""
        begun = time.monotonic()
        leave = begun + (LEAVING if error is None else FAILING)
        come = self._opened + COMING if error is None else min(self._opened + COMING, leave)
        if isinstance(error, KeyboardInterrupt):  # the launcher told all of them
            come = begun
        while True:
            others = [int(name) for name in names_in(self._ranks) if name != "0"]
            here = not all(self.gone(rank) for rank in others)
            late = len(others) < self._size - 1 and time.monotonic() < come
            if not late and (not here or time.monotonic() > max(come, leave)):
                return
            time.sleep(POLL / 2)


class Guest:
    """The side of a rank above 0; a context manager.

    Args:
        out: the folder of the run.
        launch: what is equal for all ranks of a launch.
        rank: the number of this one.

    Attributes:
        board: the batches.

    Raises:
        InputError: another run meets there, or another process has this number.
        TimeLimitError: rank 0 does not come.
    """

    board: Board

    def __init__(self, out: Path, launch: str, rank: int) -> None:
        self._place, self._launch, self._rank = out / PLACE, launch, rank
        self._checked = 0.0

    def __enter__(self) -> Guest:
        self.board = Board(self._find())
        place = self._place_at(self.board.folder)
        try:
            self._pulse = Pulse(place)
        except FileExistsError:
            raise InputError(
                f"another process is rank {self._rank} of this run",
                hint="let the launcher set RANK, another one for each process",
            ) from None
        except FileNotFoundError:  # rank 0 left at this very moment
            self._lost()
        _attended.add(place)
        return self

    def _place_at(self, folder: Path) -> Path:
        return folder / "ranks" / f"{self._rank}"

    def __exit__(self, *_: object) -> None:
        self._pulse.stop()

    def _find(self) -> Path:
        """The folder of the meeting, once rank 0 shows that it lives."""
        until = time.monotonic() + PATIENCE
        watches: dict[str, Watch] = {}
        while time.monotonic() < until:
            token, launch = self._announced()
            folder = self._place / token
            if token and self._place_at(folder) not in _attended:
                self._host = watches.setdefault(token, Watch(folder / "ranks" / "0"))
                if self._host.look() == "alive":
                    self._check_launch(launch)
                    return folder
            time.sleep(POLL)
        raise TimeLimitError(
            f"nothing was heard of rank 0 for {PATIENCE:g} s in {self._place.parent}",
            hint="start all ranks with the same command, on a file system that all of them see",
        )

    def _announced(self) -> tuple[str, str]:
        with suppress(OSError, ValueError, TypeError, KeyError):  # not there, or not ours
            told = json.loads((self._place / "meeting.json").read_bytes())
            return str(told["token"]), str(told["launch"])
        return "", ""

    def _check_launch(self, launch: str) -> None:
        if launch != self._launch:
            raise InputError(
                f"another run is writing to {self._place.parent}",
                hint="wait for it, or choose another --out",
            )

    def check(self) -> None:
        """Look after rank 0, now and then.

        Raises:
            Over: no other fit is wanted.
            TlengineError: rank 0 died.
        """
        if time.monotonic() - self._checked < POLL:
            return
        self._checked = time.monotonic()
        state = self._host.look()
        if self._host.word:
            raise Over
        if state == "gone":
            self._lost()

    def result(self) -> Mapping[str, Any]:
        """Wait for what the run comes to: its document.

        Raises:
            TlengineError: rank 0 failed, or died.
        """
        while self._host.look() != "gone" and self._host.word != "end":
            time.sleep(POLL)
        try:
            told = json.loads((self.board.folder / "end.json").read_bytes())
        except (OSError, ValueError):
            self._lost()
        if told["error"] is not None:
            raise TlengineError(f"rank 0 ended without a result: {told['error']}")
        document: Mapping[str, Any] = told["document"]
        return document

    def _lost(self) -> NoReturn:
        raise TlengineError("rank 0 died, or has left the folder of the run")


class _Terminations:
    """SIGTERM is Ctrl-C until it is restored; where it can be had, and nobody else listens to it."""

    def __init__(self) -> None:
        main = threading.current_thread() is threading.main_thread()
        self._changed = main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        if self._changed:
            signal.signal(signal.SIGTERM, self._interrupt)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    def restore(self) -> None:
        if self._changed:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _told(error: BaseException) -> str:
    """In one line."""
    text = error.message if isinstance(error, TlengineError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split()).removesuffix(":")
