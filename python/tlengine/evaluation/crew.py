"""Fresh processes, each behind a pipe of its own: a batch goes in, its records come out."""

from __future__ import annotations

import multiprocessing
import pickle
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from tlengine.errors import InputError, ResourceError
from tlengine.evaluation.setup import Setup
from tlengine.evaluation.shipping import reads_contents
from tlengine.evaluation.worker import Worker, run_tasks
from tlengine.plugins.contracts import Record, Task
from tlengine.settings import thread_limit

__all__ = ["Batch", "Crew", "check_whole", "died"]

LOOK = 0.2
"""Seconds after which a crew asks again whether it is still wanted."""


@dataclass(eq=False)
class Batch:
    """Tasks for one process.

    Attributes:
        tasks: one strategy's on one view.
        again: whether they killed a process before; then it is one task.
    """

    tasks: list[Task]
    again: bool = False


@dataclass(eq=False)
class _Seat:
    """A process, this end of its pipe, and what it has under way."""

    process: Any
    pipe: Connection
    again: bool = False
    left: list[Task] = field(default_factory=list)


class Crew:
    """Processes that stay from one batch to the next, until they are stopped.

    Args:
        setup: the file that :func:`ship` wrote.
        count: how many there are at the most.
        threads: of each; None for what the setup says.
        gpu: of several GPUs the number of the one that they use; None for what the setup says.
        check: called now and then while they work; what it raises ends the work.
        executor: as users name it, for hints.

    Attributes:
        begun: whether any process has opened the setup.
        stillborn: how many died before the first that did.
    """

    def __init__(
        self,
        setup: Path,
        count: int,
        *,
        threads: int | None = None,
        gpu: int | None = None,
        check: Callable[[], None] | None = None,
        executor: str = "processes",
    ) -> None:
        self.setup, self.count = setup, count
        self.threads, self.gpu, self.check, self.executor = threads, gpu, check, executor
        self.seats: list[_Seat] = []
        self.begun, self.stillborn = False, 0

    def work(self, waiting: deque[Batch]) -> Iterator[tuple[Task, Record | None]]:
        """Each task with its record; None where it killed its process twice.

        Raises:
            InputError: the setup cannot be opened in another process.
            ResourceError: no process lived until it could begin.
        """
        while waiting or any(seat.left for seat in self.seats):
            if self.check is not None:
                self.check()
            self._hand_out(waiting)
            busy = [seat.pipe for seat in self.seats if seat.left]
            for pipe in wait(busy, None if self.check is None else LOOK):
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
                        hint=f"leave executor={self.executor!r} out, or set executor='here'",
                    )
                self.begun = True
                if found is not None:
                    seat.left.remove(found.task)
                    yield found.task, found

    def _hand_out(self, waiting: deque[Batch]) -> None:
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
        process = context.Process(target=_serve, args=(there, str(self.setup), self.threads, self.gpu))
        with without_main():
            process.start()
        there.close()  # so that this end reads the end of the pipe when the process is gone
        self.seats.append(_Seat(process, here))
        return self.seats[-1]

    def _lost(self, seat: _Seat, waiting: deque[Batch]) -> Iterator[tuple[Task, None]]:
        """What a dead process had under way goes out again, task by task."""
        self.seats.remove(seat)
        seat.pipe.close()
        seat.process.join()
        self.stillborn += not self.begun
        if self.stillborn == self.count:
            raise ResourceError(
                f"a fresh process died before it could begin, with exit code {seat.process.exitcode}",
                hint=f"leave executor={self.executor!r} out, set executor='here', or give the machine more "
                "memory",
            )
        if seat.again:
            yield seat.left[0], None
        else:
            waiting.extendleft(Batch([task], again=True) for task in reversed(seat.left))

    def stop(self) -> None:
        """End all processes, whatever they are at."""
        for seat in self.seats:
            seat.pipe.close()
            if seat.left:
                seat.process.kill()
        for seat in self.seats:
            seat.process.join()


def _serve(pipe: Connection, setup: str, threads: int | None, gpu: int | None) -> None:
    """What a fresh process does: it ends when its pipe does, which is also when the other side is killed."""
    import threading

    from threadpoolctl import threadpool_limits

    from tlengine.features.workers import leave_interrupts_to_the_parent

    leave_interrupts_to_the_parent(0)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    try:
        with Path(setup).open("rb") as file:
            # Written a moment ago by the process that started this one.
            worker = Worker(_placed(pickle.load(file), gpu))  # noqa: S301
    except Exception as error:
        pipe.send(f"{type(error).__name__}: {error}")
        return
    pipe.send(None)
    threads = threads or worker.setup.site.threads
    with thread_limit(threads), threadpool_limits(threads):
        while True:
            try:
                tasks = pipe.recv()
            except (EOFError, OSError):
                return
            for record in run_tasks(worker, tasks):
                pipe.send(record)


def _placed(setup: Setup, gpu: int | None) -> Setup:
    """The setup of a process that uses one of several GPUs; without networks, torch stays unloaded."""
    if gpu is None or not reads_contents(setup):
        return setup
    from tlengine.features.forward import choose_device

    return replace(setup, site=replace(setup.site, device=choose_device(setup.site.device, gpu)))


def _leave_with_parent() -> None:
    """A fit that takes minutes would go on for nobody."""
    import os

    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def died(setup: Setup, task: Task) -> Record:
    """The record of a task that killed its process twice."""
    return Record(
        task=task,
        key=setup.key(task),
        error="the process that ran it died",
        hint="too little memory, or a crash in native code; run it by itself to see",
    )


def check_whole() -> None:
    """A process that is still importing the user's script would start processes without end.

    Raises:
        InputError: this one is.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise InputError(
            "a process that was just started imports the script again, which calls tlengine too early",
            hint='put what the script does under: if __name__ == "__main__":',
        )
