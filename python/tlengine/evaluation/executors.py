"""Where tasks are run: in this process, or in fresh ones."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from tlengine.errors import InputError
from tlengine.evaluation.setup import Setup
from tlengine.evaluation.worker import Worker, run_tasks
from tlengine.plugins.contracts import Executor, Record, Task
from tlengine.settings import num_threads, thread_limit

__all__ = ["EXECUTORS", "Here", "Processes", "batches", "resolve_executor"]


def batches(tasks: Sequence[Task]) -> Iterator[list[Task]]:
    """Tasks of one strategy on one view, seed by seed and budget by budget: what is solved together.

    All strategies of a seed and budget come before the next, so that a run that is cut short is balanced.

    >>> tasks = [Task(view="v", strategy=s, budget=5, seed=0, fold=f) for f in (0, 1) for s in ("a", "b")]
    >>> [[(t.strategy, t.fold) for t in batch] for batch in batches(tasks)]
    [[('a', 0), ('a', 1)], [('b', 0), ('b', 1)]]
    """
    for _, same in groupby(tasks, key=lambda task: (task.seed, task.budget, task.part)):
        found: dict[tuple[str, str], list[Task]] = {}
        for task in same:
            found.setdefault((task.view, task.strategy), []).append(task)
        yield from found.values()


class Here:
    """One batch after the other in this process; array strategies use the core's own threads."""

    def run(self, setup: Setup, tasks: Sequence[Task]) -> Iterator[Record]:
        """See :class:`~tlengine.plugins.contracts.Executor`."""
        worker = Worker(setup)
        for batch in batches(tasks):
            yield from run_tasks(worker, batch)


class Processes:
    """Fresh processes, which read the features from memory-mapped files.

    A process that dies costs its batch one retry, task by task; a task that kills its process again is a
    failure.

    Args:
        workers: how many; default: as many as there are threads to use, each with one.
    """

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers

    def run(self, setup: Setup, tasks: Sequence[Task]) -> Iterator[Record]:
        """See :class:`~tlengine.plugins.contracts.Executor`.

        Raises:
            InputError: a strategy, or something else of the setup, cannot be sent to another process.
        """
        with tempfile.TemporaryDirectory(prefix="tlengine-") as name:
            path = _ship(setup, Path(name))
            count = self.workers or num_threads()
            waiting, again = list(batches(tasks)), list[Task]()
            for record, died in self._round(path, waiting, count):
                if record is not None:
                    yield record
                again += died
            for task in again:
                for record, died in self._round(path, [[task]], 1):
                    yield record if record is not None else _died(setup, died[0])

    def _round(
        self, setup: Path, waiting: list[list[Task]], count: int
    ) -> Iterator[tuple[Record | None, list[Task]]]:
        """Records, and the tasks that were under way when a process died."""
        threads = max(1, num_threads() // count)
        left = list(reversed(waiting))
        while left:
            pool = ProcessPoolExecutor(
                count, mp_context=get_context("spawn"), initializer=_open, initargs=(str(setup), threads)
            )
            running: dict[Future[list[Record]], list[Task]] = {}
            try:
                while left or running:
                    while left and len(running) < 2 * count:
                        batch = left.pop()
                        running[pool.submit(_work, batch)] = batch
                    for done in wait(running, return_when=FIRST_COMPLETED).done:
                        yield from ((record, []) for record in done.result())
                        del running[done]
            except BrokenProcessPool:
                for batch in running.values():
                    yield None, batch
            finally:
                pool.shutdown(wait=True, cancel_futures=True)


def _died(setup: Setup, task: Task) -> Record:
    return Record(
        task=task,
        key=setup.key(task),
        error="the process that ran it died",
        hint="too little memory, or a crash in native code; run it by itself to see",
    )


def _ship(setup: Setup, folder: Path) -> Path:
    """The setup in a file, its features in files beside it."""
    reads = any(chosen.strategy.reads == "contents" for chosen in setup.strategies.values())
    views = {}
    for number, (name, view) in enumerate(setup.views.items()):
        stored = folder / f"{number}.npy"
        np.save(stored, view.X)
        views[name] = replace(
            view, stored=str(stored), loaded=view.loaded if reads else None, check_rows=None
        )
    ground = setup.ground if reads else replace(setup.ground, contents=None)
    _check_pickled({f"strategy {name!r}": chosen for name, chosen in setup.strategies.items()})
    _check_pickled({f"view {name!r}": view for name, view in views.items()} | {"the data": ground})
    path = folder / "setup.pickle"
    with path.open("wb") as file:
        pickle.dump(replace(setup, views=views, ground=ground), file)
    return path


def _check_pickled(things: Mapping[str, Any]) -> None:
    for name, thing in things.items():
        try:
            pickle.dumps(thing)
        except Exception as error:
            raise InputError(
                f"{name} cannot be sent to another process: {error}",
                hint="define it in a module that can be imported, or leave executor='processes' out",
            ) from None


_worker: Worker | None = None


def _open(setup: str, threads: int) -> None:
    """What a fresh process does first."""
    global _worker
    thread_limit(threads).__enter__()  # for as long as the process lives
    with Path(setup).open("rb") as file:
        _worker = Worker(pickle.load(file))  # noqa: S301 - written a moment ago by the process that started this one


def _work(batch: list[Task]) -> list[Record]:
    assert _worker is not None
    return list(run_tasks(_worker, batch))


EXECUTORS: Mapping[str, type[Any]] = {"here": Here, "processes": Processes}


def resolve_executor(executor: str | Executor | None) -> Executor:
    """An executor by name, or as it is given.

    Raises:
        InputError: no such name.
    """
    if executor is None:
        return Here()
    if not isinstance(executor, str):
        return executor
    if executor not in EXECUTORS:
        raise InputError(f"no executor is named {executor!r}", hint=f"there are {', '.join(EXECUTORS)}")
    found: Executor = EXECUTORS[executor]()
    return found
