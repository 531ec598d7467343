"""Where tasks are run: in this process, in fresh ones, or by the ranks of a launch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tlengine.errors import InputError
from tlengine.evaluation.processes import Processes
from tlengine.evaluation.ranks import Ranks
from tlengine.evaluation.setup import Setup
from tlengine.evaluation.shipping import unsendable_part
from tlengine.evaluation.worker import Worker, batches, run_tasks
from tlengine.plugins.contracts import Executor, Record, Task
from tlengine.settings import num_threads, total_memory

__all__ = ["EXECUTORS", "Here", "Processes", "Ranks", "choose_executor", "resolve_executor"]

FITS = 8
"""Fits of networks for each process that is started unasked: fewer are done before that pays."""
MEMORY = 3 << 30
"""Bytes that the machine has for each of them: torch alone takes half a GB, and a small network one more."""


class Here:
    """One batch after the other in this process; array strategies use the core's own threads.

    Attributes:
        at_once: fits that are under way at a time.
    """

    at_once = 1

    def run(self, setup: Setup, tasks: Sequence[Task]) -> Iterator[Record]:
        """See :class:`~tlengine.plugins.contracts.Executor`."""
        worker = Worker(setup, alone=True)
        for batch in batches(tasks):
            yield from run_tasks(worker, batch)


EXECUTORS: Mapping[str, type[Any]] = {"here": Here, "processes": Processes, "torchrun": Ranks}


def choose_executor(asked: Executor | None, setup: Setup, tasks: Sequence[Task]) -> Executor:
    """The one that is asked for, or what suits the tasks.

    Small batches keep few cores busy: many fits of networks on the CPU are trained side by side, each in a
    process of its own with its share of the threads. All else is run here, and so is what cannot be sent to
    another process. What is chosen depends on the machine and on all tasks of the run, not on which are left.

    Args:
        asked: None to choose.
        setup: of the run.
        tasks: all of the run.
    """
    if asked is not None:
        return asked
    workers = _workers(setup, tasks)
    return Here() if workers < 2 or unsendable_part(setup) else Processes(workers)


def _workers(setup: Setup, tasks: Sequence[Task]) -> int:
    fits = sum(setup.strategies[task.strategy].strategy.reads == "contents" for task in tasks)
    most = min(num_threads(), fits // FITS, total_memory() // MEMORY)
    return most if most > 1 and setup.device_kind == "cpu" else 1


def resolve_executor(executor: str | Executor) -> Executor:
    """An executor by name, or as it is given.

    Raises:
        InputError: no such name, something that cannot run tasks, or ``torchrun`` where no launcher started
            this process.
    """
    if not isinstance(executor, str):
        if isinstance(executor, type) or not callable(getattr(executor, "run", None)):
            raise InputError(
                f"executor={executor!r} cannot run tasks",
                hint="'here', 'processes', 'torchrun', or an object with a method run(setup, tasks)",
            )
        return executor
    if executor not in EXECUTORS:
        raise InputError(f"no executor is named {executor!r}", hint=f"there are {', '.join(EXECUTORS)}")
    found: Executor = EXECUTORS[executor]()
    return found
