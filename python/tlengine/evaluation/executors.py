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
from tlengine.plugins.containment import contained
from tlengine.plugins.contracts import Executor, Record, Task
from tlengine.settings import num_threads, total_memory

__all__ = ["EXECUTORS", "Here", "Processes", "Ranks", "choose_executor", "resolve_executor"]

FITS = 8
"""Fits of networks for each process that is started unasked: fewer are done before that pays."""
MEMORY, WEIGHTS = 3 << 30, 12
"""Bytes that the machine has for each of them, and for each byte of the network's weights: a step holds
gradients, two moments and activations beside them. By count, not measured, ViT-L/16 with 16 rows needs nine
times its weights."""


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
    fits = [task for task in tasks if setup.strategies[task.strategy].strategy.reads == "contents"]
    most = min(num_threads(), len(fits) // FITS, total_memory() // MEMORY)
    if most < 2 or setup.device_kind != "cpu":
        return 1
    return min(most, total_memory() // (MEMORY + WEIGHTS * _weights(setup, fits)))


def _weights(setup: Setup, tasks: Sequence[Task]) -> int:
    """Bytes of the parameters of the largest network; where one cannot be loaded, too many for two of it."""
    worker, found = Worker(setup), 0
    for task in {task.view: task for task in tasks}.values():
        try:
            with contained():
                module = worker.job(task).view.backbone("cpu").module
                found = max(found, sum(parameter.nbytes for parameter in module.parameters()))
        except KeyboardInterrupt:
            raise
        except InputError:  # there is no network to be had
            continue
        except BaseException:  # no memory for it, or a plugin that exits
            return total_memory()
    return found


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
