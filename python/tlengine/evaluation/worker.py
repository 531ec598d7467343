"""One task at a time, measured, and never an exception but Ctrl-C."""

from __future__ import annotations

import resource
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import Any, TypeVar

import numpy as np

from tlengine.documents import plain
from tlengine.errors import InputError, TlengineError
from tlengine.evaluation.setup import Setup
from tlengine.evaluation.views import TaskView
from tlengine.plugins.containment import reason
from tlengine.plugins.contracts import Fitted, Job, Record, Scores, Task

__all__ = ["Worker", "batches", "one_blas_thread", "run_task", "run_tasks"]

SAMPLE = 500
"""Training rows that the training accuracy is measured on, at the most."""
T = TypeVar("T")


class Worker:
    """A setup, opened where tasks are run."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup

    def job(self, task: Task) -> Job:
        """What a task may see."""
        roles = self.setup.plan.roles(task)
        view = TaskView(self.setup.views[task.view], self.setup.ground, roles)
        return Job(view, roles, task.seed)


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


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """NumPy and SciPy multiply on one thread meanwhile: sums in another order give other bits.

    The core's own threads are left as they are; its results do not depend on them.
    """
    with _blas().limit(limits=1, user_api="blas"):
        yield


@cache
def _blas() -> Any:
    import scipy.linalg  # noqa: F401 - it brings a library of its own, which is to be found
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def run_task(worker: Worker, task: Task) -> Record:
    """The record of a task: a result, or why there is none."""
    return next(run_tasks(worker, [task]))


def run_tasks(worker: Worker, tasks: Sequence[Task]) -> Iterator[Record]:
    """The records of tasks, those of one strategy on one view solved together where it can.

    Where that fails each is run by itself, so that a fault costs its own task alone.
    """
    for _, same in groupby(tasks, key=lambda task: (task.view, task.strategy)):
        yield from _run_alike(worker, list(same))


def _run_alike(worker: Worker, tasks: Sequence[Task]) -> Iterator[Record]:
    strategy = worker.setup.strategies[tasks[0].strategy].strategy
    try:
        worker.setup.settings(tasks[0].strategy)  # without them there is no key to keep a result by
        jobs = [worker.job(task) for task in tasks]
        fitted, cost = _measured(lambda: list(strategy.fit_many(jobs)))
        if len(fitted) != len(jobs):
            raise InputError(f"fit_many returned {len(fitted)} results for {len(jobs)} jobs")
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may even exit
        if len(tasks) == 1:
            yield _failure(worker, tasks[0], error)
        else:
            for task in tasks:
                yield from _run_alike(worker, [task])
        return
    for task, job, found in zip(tasks, jobs, fitted, strict=True):
        try:
            record = _result(worker, task, job, found, cost.shared(len(tasks)))
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            record = _failure(worker, task, error)
        yield record  # outside, for here the generator may be closed


@dataclass(frozen=True)
class _Cost:
    """Seconds, CPU seconds, and bytes by which the peak rose."""

    seconds: float
    cpu: float
    peak: int

    def shared(self, parts: int) -> _Cost:
        """What each of several that were solved together is booked."""
        return _Cost(self.seconds / parts, self.cpu / parts, self.peak)


def _measured(work: Callable[[], T]) -> tuple[T, _Cost]:
    from sklearn.exceptions import ConvergenceWarning

    before, start, cpu = _peak(), time.perf_counter(), time.process_time()
    with warnings.catch_warnings(), one_blas_thread():
        # What was chosen says whether it converged; candidates need no certificate.
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = work()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    return found, _Cost(seconds, cpu, max(0, _peak() - before))


def _peak() -> int:
    """The most memory that this process has had, in bytes."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _result(worker: Worker, task: Task, job: Job, fitted: Fitted, cost: _Cost) -> Record:
    roles, view, classes = job.roles, job.view, len(worker.setup.ground.classes)
    scores, predicting = _measured(lambda: fitted.scores(view, roles.test))
    held = fitted.held_out
    sample = roles.train[:: max(1, -(-len(roles.train) // SAMPLE))]
    own, _ = _measured(lambda: fitted.scores(view, sample))
    own = _checked(own, len(sample), classes, "training rows")
    return Record(
        task=task,
        key=worker.setup.key(task),
        labels=worker.setup.plan.labels(task),
        scores=_checked(scores, len(roles.test), classes, "test rows").astype(np.float32),
        held_out=None
        if held is None
        else _checked(held, len(roles.held), classes, "rows held out").astype(np.float32),
        kind=fitted.kind,
        chosen=plain(dict(fitted.chosen)),
        converged=bool(fitted.converged),
        flops=fitted.flops,
        nbytes=fitted.nbytes,
        train_accuracy=float((own.argmax(axis=1) == view.codes(sample)).mean()),
        seconds=cost.seconds,
        cpu_seconds=cost.cpu,
        peak_bytes=cost.peak,
        predict_seconds=predicting.seconds,
    )


def _checked(scores: Any, rows: int, classes: int, what: str) -> Scores:
    """Scores that a later step cannot trip over.

    Raises:
        InputError: another shape, or NaN, or +inf, or a row without any class.
    """
    found = np.asarray(scores, dtype=np.float64)
    if found.shape != (rows, classes):
        raise InputError(f"scores of {what} have shape {found.shape}, expected {(rows, classes)}")
    bad = np.isnan(found).any(axis=1) | (found == np.inf).any(axis=1) | ~np.isfinite(found).any(axis=1)
    if bad.any():
        raise InputError(f"scores of {what} are not finite in {int(bad.sum())} of {rows} rows")
    return found


def _failure(worker: Worker, task: Task, error: BaseException) -> Record:
    message = error.message if isinstance(error, TlengineError) else reason(error)
    return Record(task=task, key=worker.setup.key(task), error=message, hint=getattr(error, "hint", None))
