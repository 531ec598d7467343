"""One task at a time, measured, and never an exception but Ctrl-C."""

from __future__ import annotations

import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from itertools import groupby
from typing import Any, TypeVar, get_args

import numpy as np

from tlengine.documents import plain
from tlengine.errors import InputError, TlengineError
from tlengine.evaluation.energy import Meter
from tlengine.evaluation.held import calibrated
from tlengine.evaluation.setup import Setup
from tlengine.evaluation.views import TaskView
from tlengine.evaluation.watch import Spent, Watch
from tlengine.plugins.containment import contained, reason
from tlengine.plugins.contracts import Fitted, Job, Kind, Matrix, Record, Rows, Task
from tlengine.settings import flag

__all__ = ["CHECKPOINTS", "Worker", "batches", "one_blas_thread", "run_task", "run_tasks"]

CHECKPOINTS = "checkpoints"
"""The folder below ``--out`` that strategies may write to."""
SAMPLE = 500
"""Training rows that the training accuracy is measured on, at the most."""
VOTES = 1e-3
"""How far from 1 shares of votes may add up, for rounding."""
GPUS = ("cuda", "mps")
"""How the names of devices begin that are held while a fit runs on them."""
T = TypeVar("T")


class Worker:
    """A setup, opened where tasks are run.

    Args:
        setup: of the run.
        alone: whether no other worker fits on this machine meanwhile, so that its counters of energy say what
            a fit took.
    """

    def __init__(self, setup: Setup, *, alone: bool = False) -> None:
        self.setup = setup
        self.meter = Meter(gpu=setup.site.device != "cpu", shared=not alone)

    def job(self, task: Task) -> Job:
        """What a task may see."""
        roles = self.setup.plan.roles(task)
        view = TaskView(self.setup.views[task.view], self.setup.ground, roles, self.setup.site)
        folder = self.setup.folder and self.setup.folder / CHECKPOINTS / self.setup.key(task)
        return Job(view, roles, task.seed, folder)


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
        watch = Watch(worker.meter)
        fitted = _quietly(lambda: list(strategy.fit_many(jobs)))
        spent = watch.spent(gpu=any(_on_gpu(found) for found in fitted)).shared(len(tasks))
        features = strategy.reads == "features" or any(_read_features(job) for job in jobs)
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
            record = replace(_result(worker, task, job, found, spent), features=features)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            record = _failure(worker, task, error)
        yield record  # outside, for here the generator may be closed


def _quietly(work: Callable[[], T]) -> T:
    from sklearn.exceptions import ConvergenceWarning

    with contained(), one_blas_thread():
        # What was chosen says whether it converged; candidates need no certificate.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return work()


def _read_features(job: Job) -> bool:
    return isinstance(job.view, TaskView) and job.view.read_features


def _on_gpu(fitted: Any) -> bool:
    return str(getattr(fitted, "facts", {}).get("device", "")).startswith(GPUS)


def _result(worker: Worker, task: Task, job: Job, fitted: Fitted, spent: Spent) -> Record:
    read = _Reader(fitted, job, len(worker.setup.ground.classes))
    roles, view = job.roles, job.view
    scores, seconds = read.scores(roles.test, "test rows")
    sample = roles.train[:: max(1, -(-len(roles.train) // SAMPLE))]
    own, _ = read.scores(sample, "training rows")
    held, labels = read.held_out(), worker.setup.plan.labels(task)
    beside = None
    if roles.calibrate is not None and len(roles.calibrate):
        beside = read.scores(roles.calibrate, "rows to calibrate by")[0], view.codes(roles.calibrate)
    value, told = calibrated(
        read.kind, held, view.codes(roles.held), labels=labels, classes=read.classes, beside=beside
    )
    facts = plain(dict(getattr(fitted, "facts", {})))
    return Record(
        task=task,
        key=worker.setup.key(task),
        labels=labels,
        scores=scores,
        held_out=held,
        kind=read.kind,
        calibration=value,
        held=told,
        chosen=plain(dict(fitted.chosen)),
        converged=bool(fitted.converged),
        flops=_number(fitted.flops, "flops"),
        nbytes=_number(fitted.nbytes, "nbytes"),
        train_accuracy=float((own.argmax(axis=1) == view.codes(sample)).mean()),
        seconds=spent.seconds,
        cpu_seconds=spent.cpu_seconds,
        gpu_seconds=_number(facts.get("gpu_seconds", spent.gpu_seconds), "gpu_seconds"),
        peak_bytes=int(_number(facts.get("peak_bytes"), "peak_bytes") or spent.peak_bytes),
        energy=spent.energy,
        predict_seconds=seconds,
        facts=facts,
    )


class _Reader:
    """Takes from a fitted strategy what a later step cannot trip over.

    Raises:
        InputError: scores of an unknown kind.
    """

    def __init__(self, fitted: Fitted, job: Job, classes: int) -> None:
        self.fitted, self.job, self.classes = fitted, job, classes
        self.kind = fitted.kind
        if self.kind not in get_args(Kind):
            raise InputError(f"scores of kind {self.kind!r}", hint=f"use {' or '.join(get_args(Kind))}")

    def scores(self, rows: Rows, what: str) -> tuple[Matrix, float]:
        """(m, K) of these rows, and the seconds it took."""
        start = time.perf_counter()
        found = _quietly(lambda: self.fitted.scores(self.job.view, rows.copy()))
        seconds = time.perf_counter() - start
        return self._checked(found, len(rows), what), seconds

    def held_out(self) -> Matrix | None:
        """(h, K) of the rows held out, or None."""
        found = self.fitted.held_out
        return None if found is None else self._checked(found, len(self.job.roles.held), "rows held out")

    def _checked(self, scores: Any, rows: int, what: str) -> Matrix:
        """In single precision, as they are kept.

        Raises:
            InputError: another shape, NaN, +inf, beyond single precision, a row without any class; votes that
                are no shares.
        """
        given = np.asarray(scores, dtype=np.float64)
        if given.shape != (rows, self.classes):
            raise InputError(f"scores of {what} have shape {given.shape}, expected {(rows, self.classes)}")
        with np.errstate(over="ignore"):
            found = given.astype(np.float32)
        bad = np.isnan(found) | (found == np.inf) | ((found == -np.inf) != (given == -np.inf))
        wrong = bad.any(axis=1) | ~np.isfinite(found).any(axis=1)
        if wrong.any():
            raise InputError(f"scores of {what} are not finite in {int(wrong.sum())} of {rows} rows")
        if self.kind == "votes":
            _check_votes(found, what)
        return found


def _check_votes(votes: Matrix, what: str) -> None:
    shares = np.where(np.isfinite(votes), votes, 0.0)
    wrong = (shares < -VOTES).any(axis=1) | (np.abs(shares.sum(axis=1) - 1.0) > VOTES)
    if wrong.any():
        raise InputError(
            f"votes of {what} do not add to 1, or are below 0, in {int(wrong.sum())} of {len(votes)} rows",
            hint="give shares, or logits as kind 'logits'",
        )


def _number(value: Any, name: str) -> Any:
    """Of a cost, or None.

    Raises:
        InputError: it is none.
    """
    if value is None or (isinstance(value, int | float | np.number) and np.isfinite(value) and value >= 0):
        return plain(value)
    raise InputError(f"{name} of a fit is {value!r}", hint="give a number from 0 on, or None")


def _failure(worker: Worker, task: Task, error: BaseException) -> Record:
    if flag("TLENGINE_STRICT_PLUGINS"):
        traceback.print_exception(error)
    message = error.message if isinstance(error, TlengineError) else reason(error)
    return Record(task=task, key=worker.setup.key(task), error=message, hint=getattr(error, "hint", None))
