"""Tasks in fresh processes, each behind a pipe of its own: a batch goes in, its records come out."""

from __future__ import annotations

import multiprocessing
import pickle
import shutil
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import numpy as np

from tlengine.errors import InputError, ResourceError
from tlengine.evaluation.setup import Setup
from tlengine.evaluation.worker import Worker, batches, run_tasks
from tlengine.plugins.contracts import Matrix, Record, Task
from tlengine.settings import num_threads, thread_limit

__all__ = ["Processes"]


class Processes:
    """Fresh processes, which read the features from memory-mapped files.

    The files lie in the run's folder where it has one, else where temporary files do. The user's script is
    not imported again, so it needs no ``__main__`` guard. A process that dies costs what it had under way one
    retry, task by task; a task that loses its process again is a failure. All of them end with this process,
    however it ends.

    A fit that reads contents gets the same share of the threads whatever is left to run, for its last digits
    depend on their number.

    Args:
        workers: how many; default: as many as there are threads to use, each with one.
    """

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers

    @property
    def at_once(self) -> int:
        """Fits that are under way at a time."""
        return self.workers or num_threads()

    def run(self, setup: Setup, tasks: Sequence[Task]) -> Iterator[Record]:
        """See :class:`~tlengine.plugins.contracts.Executor`.

        Raises:
            InputError: a strategy, or something else of the setup, cannot be sent to another process, or
                this process is still importing the script that it was started from.
            ResourceError: no process lived until it could begin, or there is no room for the features.
        """
        _check_whole()
        waiting = deque(_Batch(batch) for batch in batches(tasks))
        if not waiting:
            return
        count = min(self.at_once, len(waiting))
        setup = setup.sharing(self.at_once)
        with _folder(setup) as folder:
            crew = _Crew(_ship(setup, {task.view for task in tasks}, folder), count)
            try:
                for task, record in crew.work(waiting):
                    yield record if record is not None else _died(setup, task)
            finally:
                crew.stop()


@dataclass(eq=False)
class _Batch:
    tasks: list[Task]
    again: bool = False


@dataclass(eq=False)
class _Seat:
    """A process, this end of its pipe, and what it has under way."""

    process: Any
    pipe: Connection
    again: bool = False
    left: list[Task] = field(default_factory=list)


class _Crew:
    """The processes of one run.

    Attributes:
        begun: whether any process has opened the setup.
        stillborn: how many died before the first that did.
    """

    def __init__(self, setup: Path, count: int) -> None:
        self.setup, self.count = setup, count
        self.seats: list[_Seat] = []
        self.begun, self.stillborn = False, 0

    def work(self, waiting: deque[_Batch]) -> Iterator[tuple[Task, Record | None]]:
        """Each task with its record; None where it killed its process twice."""
        while waiting or any(seat.left for seat in self.seats):
            self._hand_out(waiting)
            for pipe in wait([seat.pipe for seat in self.seats if seat.left]):
                seat = next(seat for seat in self.seats if seat.pipe is pipe)
                try:
                    found = seat.pipe.recv()
                except (EOFError, OSError):
                    yield from self._lost(seat, waiting)
                    continue
                if isinstance(found, str) and self.begun:  # another opened it: there is no memory left
                    yield from self._lost(seat, waiting)
                    continue
                if isinstance(found, str):
                    raise InputError(
                        f"the run cannot be opened in another process: {found}",
                        hint="leave executor='processes' out",
                    )
                self.begun = True
                if found is not None:
                    seat.left.remove(found.task)
                    yield found.task, found

    def _hand_out(self, waiting: deque[_Batch]) -> None:
        idle = [seat for seat in self.seats if not seat.left]
        while waiting and (idle or len(self.seats) < self.count):
            seat = idle.pop() if idle else self._start()
            batch = waiting.popleft()
            seat.left, seat.again = list(batch.tasks), batch.again
            try:
                seat.pipe.send(batch.tasks)
            except OSError:  # it died while it was idle; reading from it says so
                continue

    def _start(self) -> _Seat:
        from tlengine.features.workers import without_main

        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        threads = max(1, num_threads() // self.count)
        process = context.Process(target=_serve, args=(there, str(self.setup), threads))
        with without_main():
            process.start()
        there.close()  # so that this end reads the end of the pipe when the process is gone
        self.seats.append(_Seat(process, here))
        return self.seats[-1]

    def _lost(self, seat: _Seat, waiting: deque[_Batch]) -> Iterator[tuple[Task, None]]:
        """What a dead process had under way goes out again, task by task."""
        self.seats.remove(seat)
        seat.pipe.close()
        seat.process.join()
        self.stillborn += not self.begun
        if self.stillborn == self.count:
            raise ResourceError(
                f"a fresh process died before it could begin, with exit code {seat.process.exitcode}",
                hint="leave executor='processes' out, or give the machine more memory",
            )
        if seat.again:
            yield seat.left[0], None
        else:
            waiting.extendleft(_Batch([task], again=True) for task in reversed(seat.left))

    def stop(self) -> None:
        """End all processes, whatever they are at."""
        for seat in self.seats:
            seat.pipe.close()
            if seat.left:
                seat.process.kill()
        for seat in self.seats:
            seat.process.join()


def _serve(pipe: Connection, setup: str, threads: int) -> None:
    """What a fresh process does: it ends when its pipe does, which is also when the other side is killed."""
    import threading

    from threadpoolctl import threadpool_limits

    from tlengine.features.workers import leave_interrupts_to_the_parent

    leave_interrupts_to_the_parent(0)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    try:
        with Path(setup).open("rb") as file:
            # Written a moment ago by the process that started this one.
            worker = Worker(pickle.load(file))  # noqa: S301
    except Exception as error:
        pipe.send(f"{type(error).__name__}: {error}")
        return
    pipe.send(None)
    with thread_limit(threads), threadpool_limits(threads):
        while True:
            try:
                tasks = pipe.recv()
            except (EOFError, OSError):
                return
            for record in run_tasks(worker, tasks):
                pipe.send(record)


def _leave_with_parent() -> None:
    """A fit that takes minutes would go on for nobody."""
    import os

    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _died(setup: Setup, task: Task) -> Record:
    return Record(
        task=task,
        key=setup.key(task),
        error="the process that ran it died",
        hint="too little memory, or a crash in native code; run it by itself to see",
    )


def _check_whole() -> None:
    """A process that is still importing the user's script would start processes without end."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise InputError(
            "a process that was just started imports the script again, which calls tlengine too early",
            hint='put what the script does under: if __name__ == "__main__":',
        )


@contextmanager
def _folder(setup: Setup) -> Iterator[Path]:
    """A folder for what the processes read, which ends with the run.

    One run at a time writes to the folder of a run: what such a folder is found there was left by one that
    was killed.
    """
    if setup.folder is None:
        with tempfile.TemporaryDirectory(prefix="tlengine-") as name:
            yield Path(name)
        return
    folder = setup.folder / ".tlengine-processes"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _ship(setup: Setup, read: Set[str], folder: Path) -> Path:
    """The setup in a file, the features of the views that are read in files beside it."""
    if why := unsendable_part(setup):
        raise InputError(
            f"{why[0]} cannot be sent to another process: {why[1]}",
            hint="define it in a module that can be imported, or leave executor='processes' out",
        )
    reads = _reads(setup)
    views = {}
    for number, (name, view) in enumerate(setup.views.items()):
        if name not in read:
            continue
        stored = folder / f"{number}.npy"
        _save(stored, view.X)
        views[name] = replace(
            view, stored=str(stored), loaded=view.loaded if reads else None, check_rows=None
        )
    ground = setup.ground if reads else replace(setup.ground, contents=None)
    path = folder / "setup.pickle"
    with path.open("wb") as file:
        pickle.dump(replace(setup, views=views, ground=ground), file)
    return path


def _save(path: Path, X: Matrix) -> None:
    try:
        np.save(path, X)
    except OSError as error:
        raise ResourceError(
            f"the features cannot be written to {path.parent}: {error}",
            hint="leave executor='processes' out, or choose a place with room by --out or TMPDIR",
        ) from error


def _reads(setup: Setup) -> bool:
    """Whether any strategy reads contents, so that they and the backbones have to be sent."""
    return any(chosen.strategy.reads == "contents" for chosen in setup.strategies.values())


def unsendable_part(setup: Setup) -> tuple[str, str] | None:
    """What of a setup cannot be sent to another process, and why; None: all of it can."""
    from tlengine.features.workers import unsendable

    things: dict[str, Any] = {f"strategy {name!r}": one for name, one in setup.strategies.items()}
    if _reads(setup):
        things |= {f"view {name!r}": view.loaded for name, view in setup.views.items()}
        things["the data"] = setup.ground.contents
    return next(((name, why) for name, thing in things.items() if (why := unsendable(thing))), None)
