"""The executor ``torchrun``: the ranks of a launch share the fits of a run, by files; no torch is needed.

Any launcher will do that starts the same command several times and sets ``RANK``, ``WORLD_SIZE`` and
``LOCAL_RANK``. Rank 0 is the run: it reads, embeds, plans, keeps the journal, judges and writes. The others
wait for its batches, and then for what it came to. Each rank has its fits done by a process of its own, so
that one which dies takes no rank with it: a launcher would end them all.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tlengine.errors import InputError, ResourceError
from tlengine.evaluation.board import Board
from tlengine.evaluation.crew import Batch, Crew, check_whole, died
from tlengine.evaluation.meeting import Guest, Host, Over
from tlengine.evaluation.record import RunResult
from tlengine.evaluation.setup import Setup
from tlengine.evaluation.shipping import SETUP, ship
from tlengine.evaluation.worker import batches
from tlengine.plugins.contracts import Record, Task

__all__ = ["Rank", "Ranks", "meeting", "told_by_rank_0"]

NAME = "torchrun"
SHORT, LONG = 0.02, 0.5
"""Seconds between two looks into the folder, where something came a moment ago, and where nothing does."""
LAUNCH = ("TORCHELASTIC_RUN_ID", "MASTER_PORT", "WORLD_SIZE", "SLURM_JOB_ID", "SLURM_STEP_ID")
"""What launchers set alike for all ranks of a launch."""


@dataclass(frozen=True, kw_only=True)
class Rank:
    """Which of several processes this is.

    Attributes:
        number, size: among all; how many there are.
        local, local_size: the same on this machine.
        launch: a digest of what tells this launch from others.
    """

    number: int
    size: int
    local: int
    local_size: int
    launch: str

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Rank:
        """As a launcher tells it.

        Without ``LOCAL_WORLD_SIZE`` all ranks are taken to be on this machine: each has the fewest threads.

        Raises:
            InputError: no launcher told it, or what it told cannot be.

        >>> rank = Rank.of({"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"})
        >>> rank.number, rank.size, rank.local, rank.local_size
        (5, 8, 1, 4)
        """
        number, size = _number(environ, "RANK", 0), _number(environ, "WORLD_SIZE", 1)
        if number is None or size is None:
            name = "RANK" if number is None else "WORLD_SIZE"
            raise InputError(
                f"executor='torchrun' needs {name}, which launchers set",
                hint="start it by: torchrun --nproc-per-node 2 -m tlengine compare ...; or leave "
                "executor='torchrun' out",
            )
        if number >= size:
            raise InputError(f"RANK={number} is not below WORLD_SIZE={size}", hint="ranks count from 0")
        local, local_size = _number(environ, "LOCAL_RANK", 0), _number(environ, "LOCAL_WORLD_SIZE", 1)
        told = repr([environ.get(name) for name in LAUNCH]).encode()
        return cls(
            number=number,
            size=size,
            local=number if local is None else local,
            local_size=size if local_size is None else local_size,
            launch=hashlib.blake2b(told, digest_size=16).hexdigest(),
        )


class Ranks:
    """The ranks of a launch, of which this one is rank 0.

    A rank that dies, or is silent for a minute, costs what it had under way one retry by another, task by
    task; a task that loses its process or rank again is a failure. Which rank runs a task changes nothing:
    each fit has as many threads as rank 0 finds, divided by the ranks of its machine.

    Args:
        rank: of this process; None for what the launcher set.

    Attributes:
        rank: of this process.
        at_once: fits that are under way at a time; here: those of them on this machine.
        host: rank 0's side of the meeting of the whole run; None to meet for the fits alone.

    Raises:
        InputError: no launcher started this process.
    """

    def __init__(self, rank: Rank | None = None) -> None:
        self.rank = rank or Rank.of(os.environ)
        self.at_once, self.here = self.rank.size, self.rank.local_size
        self.host: Host | None = None

    def run(self, setup: Setup, tasks: Sequence[Task]) -> Iterator[Record]:
        """See :class:`~tlengine.plugins.contracts.Executor`.

        Raises:
            InputError: something of the setup cannot be sent to another process, or be opened there; there is
                no folder to meet in.
            ResourceError: no process lived until it could begin, or there is no room.
        """
        check_whole()
        if not tasks:
            return
        place: AbstractContextManager[Host] = nullcontext(self.host) if self.host else self._meeting(setup)
        with place as host:
            shared = setup.sharing(self.rank.local_size)
            ship(shared, {task.view for task in tasks}, host.board.folder, NAME)
            own = _Own(host.board, self.rank)
            try:
                own.start()
                yield from _Given(host, own, setup).records(tasks)
            finally:
                host.over()
                own.end()

    def _meeting(self, setup: Setup) -> Host:
        return Host(_folder(setup.folder), self.rank.launch, self.rank.size)


class _Given:
    """Batches that were given out, until each task has its record."""

    def __init__(self, host: Host, own: _Own, setup: Setup) -> None:
        self.host, self.own, self.setup = host, own, setup
        self.batches: dict[str, list[Task]] = {}
        self.left: set[Task] = set()

    def records(self, tasks: Sequence[Task]) -> Iterator[Record]:
        self.left = set(tasks)
        for number, batch in enumerate(batches(tasks)):
            self._post(f"{number:06d}-0", batch)
        pause = SHORT
        while self.left:
            came = False
            for record in (*self._come(), *self._lost()):
                came = True
                yield record
            self.own.check()
            pause = SHORT if came else min(2 * pause, LONG)
            time.sleep(pause if self.left else 0)

    def _post(self, name: str, tasks: Sequence[Task]) -> None:
        self.batches[name] = list(tasks)
        self.host.board.post(name, tasks)

    def _come(self) -> Iterator[Record]:
        """One that was taken for dead may tell what another has told already: the first counts."""
        for task, record in self.host.board.found():
            if task in self.left:
                self.left.remove(task)
                yield died(self.setup, task) if record is None else record

    def _lost(self) -> Iterator[Record]:
        """What a rank that is gone had under way goes out again, task by task, and once."""
        for name in self.host.board.lost(self.host.gone):
            yield from self._come()  # what it told before
            for number, task in enumerate(self.batches[name]):
                if task not in self.left:
                    continue
                if not name.endswith("-1"):
                    self._post(f"{name.partition('-')[0]}.{number:06d}-1", [task])
                    continue
                self.left.remove(task)
                yield died(self.setup, task)


class _Own(threading.Thread):
    """Rank 0's part of the work, beside its being the run."""

    def __init__(self, board: Board, rank: Rank) -> None:
        super().__init__(daemon=True)
        self._board, self._rank = board, rank
        self._over = threading.Event()
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            _work(self._board, self._rank, self._wanted)
        except BaseException as error:
            self._error = error

    def _wanted(self) -> None:
        if self._over.is_set():
            raise Over

    def check(self) -> None:
        """Raise why this rank, or another, can run nothing."""
        self._board.check()
        if self._error is not None:
            raise self._error

    def end(self) -> None:
        """Leave what is under way."""
        self._over.set()
        if self.ident is not None:
            self.join()


def _work(board: Board, rank: Rank, check: Callable[[], None]) -> None:
    """Take batches and tell what came of them, until ``check`` raises :class:`Over`."""
    crew = Crew(board.folder / SETUP, 1, gpu=rank.local, check=check, executor=NAME)
    pause = SHORT
    try:
        while True:
            check()
            taken = board.take(rank.number)
            if taken is None:
                pause = min(2 * pause, LONG)
                time.sleep(pause)
                continue
            pause = SHORT
            for task, record in crew.work(deque([Batch(taken.tasks, taken.again)])):
                board.put(taken, task, record)
            board.finish(taken)
    except Over:
        return
    except (InputError, ResourceError) as error:
        try:
            board.complain(rank.number, error)
        except ResourceError:  # no room for that, either
            raise error from None
    finally:
        crew.stop()


class _Told(RunResult):
    """The run as ranks above 0 have it."""

    def save(self, directory: str | os.PathLike[str]) -> dict[str, str]:
        """Nothing: rank 0 writes."""
        return {}


def told_by_rank_0(executor: Any, out: Any) -> RunResult | None:
    """What the run came to, in a rank above 0, whose part is done then; None where the run is this process's.

    Such a rank reads no data, opens no journal, and prints nothing.

    Args:
        executor: as users give it, or what that resolves to.
        out: the folder of the run.

    Raises:
        InputError: the executor is that of ranks, and no launcher, or no folder, is there; another run meets
            there, or another process has this rank.
        TimeLimitError: rank 0 does not come.
        TlengineError: it failed, or died.
    """
    if executor != NAME and not isinstance(executor, Ranks):
        return None
    rank, folder = executor.rank if isinstance(executor, Ranks) else Rank.of(os.environ), _folder(out)
    if not rank.number:
        return None
    with Guest(folder, rank.launch, rank.number) as guest:
        _work(guest.board, rank, guest.check)
        return _Told(document=guest.result())


@contextmanager
def meeting(executor: Any, out: Any) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Around a run: where ranks do its fits, they meet from here on, and are told its document at the end."""
    if not isinstance(executor, Ranks):
        yield lambda document: None
        return
    with Host(_folder(out), executor.rank.launch, executor.rank.size) as host:
        executor.host = host
        try:
            yield host.tell
        finally:
            executor.host = None


def _folder(out: Any) -> Path:
    if not isinstance(out, str | os.PathLike):
        raise InputError(
            "executor='torchrun' needs a folder that all ranks see"
            + ("" if out is None else f", not {out!r:.40}"),
            hint="give one by out=, or --out",
        )
    return Path(out).absolute()


def _number(environ: Mapping[str, str], name: str, least: int) -> int | None:
    """None where it is not set.

    Raises:
        InputError: it is no number, or too small.
    """
    text = environ.get(name, "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 8 and int(text) >= least):
        raise InputError(
            f"{name} is {text!r:.40}", hint=f"launchers set it to a whole number from {least} on"
        )
    return int(text)
