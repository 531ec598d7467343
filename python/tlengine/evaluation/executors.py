"""Where tasks are run: in this process, or in fresh ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tlengine.errors import InputError
from tlengine.evaluation.processes import Processes
from tlengine.evaluation.setup import Setup
from tlengine.evaluation.worker import Worker, batches, run_tasks
from tlengine.plugins.contracts import Executor, Record, Task

__all__ = ["EXECUTORS", "Here", "Processes", "resolve_executor"]


class Here:
    """One batch after the other in this process; array strategies use the core's own threads."""

    def run(self, setup: Setup, tasks: Sequence[Task]) -> Iterator[Record]:
        """See :class:`~tlengine.plugins.contracts.Executor`."""
        worker = Worker(setup, alone=True)
        for batch in batches(tasks):
            yield from run_tasks(worker, batch)


EXECUTORS: Mapping[str, type[Any]] = {"here": Here, "processes": Processes}


def resolve_executor(executor: str | Executor | None) -> Executor:
    """An executor by name, or as it is given.

    Raises:
        InputError: no such name, or something that cannot run tasks.
    """
    if executor is None:
        return Here()
    if not isinstance(executor, str):
        if isinstance(executor, type) or not callable(getattr(executor, "run", None)):
            raise InputError(
                f"executor={executor!r} cannot run tasks",
                hint="'here', 'processes', or an object with a method run(setup, tasks)",
            )
        return executor
    if executor not in EXECUTORS:
        raise InputError(f"no executor is named {executor!r}", hint=f"there are {', '.join(EXECUTORS)}")
    found: Executor = EXECUTORS[executor]()
    return found
