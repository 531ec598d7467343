"""Inner folds as tasks of their own, and what the rows that they held out say of the fit.

A strategy whose fits are long (a network) holds nothing out itself: at the largest budget its inner folds are
tasks beside the fit, and their scores, put together, calibrate it and let it be chosen. At other budgets its
temperature is 1: one of a larger budget would rest on labels that this budget does not have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from tlengine.errors import InputError
from tlengine.evaluation.held import calibrated, shown
from tlengine.evaluation.setup import Setup
from tlengine.plugins.contracts import Record, Strategy, Task

__all__ = ["is_inner", "number_of_folds", "with_held_out"]


def number_of_folds(strategy: Strategy) -> int:
    """How many inner folds a strategy wants as tasks; 0 for none.

    Raises:
        InputError: another thing than 0, or a whole number from 2 on.
    """
    folds = getattr(strategy, "inner_tasks", 0)
    if isinstance(folds, bool) or not isinstance(folds, int) or folds < 0 or folds == 1:
        raise InputError(f"inner_tasks is {folds!r:.40}", hint="use 0 for none, or 2 folds or more")
    return folds


def is_inner(task: Task) -> bool:
    """Whether a task is an inner fold."""
    return task.part.startswith("inner:")


def with_held_out(setup: Setup, tasks: Sequence[Task], records: Mapping[str, Record]) -> dict[str, Record]:
    """The records, those of fits whose inner folds are tasks with what these held out.

    A fit of which an inner fold has no result has no held-out scores.

    Args:
        setup: of the run.
        tasks: fits and inner folds.
        records: by key.
    """
    found = dict(records)
    parts: dict[Task, list[Task]] = {}
    for task in tasks:
        if is_inner(task):
            parts.setdefault(replace(task, part="fit"), []).append(task)
    for fit, inner in parts.items():
        key = setup.key(fit)
        record = records.get(key)
        told = [records.get(setup.key(task)) for task in inner]
        whole = [one for one in told if one is not None and one.scores is not None]
        if record is not None and record.scores is not None and len(whole) == len(inner):
            found[key] = _completed(setup, fit, record, inner, whole)
    return found


def _completed(
    setup: Setup, fit: Task, record: Record, inner: Sequence[Task], told: Sequence[Record]
) -> Record:
    """The record of a fit, calibrated on what its inner folds held out.

    Rows that the user set apart to calibrate by have calibrated it already, and alone.
    """
    if record.held is not None or any(one.kind != record.kind for one in told):
        return record
    scores = np.concatenate([one.scores for one in told if one.scores is not None])
    rows = np.concatenate([setup.plan.roles(task).test for task in inner])
    codes, classes = setup.ground.codes[rows], len(setup.ground.classes)
    beside = setup.plan.roles(fit).calibrate
    if beside is not None and len(beside):
        return replace(record, held=shown(record.kind, scores, codes, record.calibration))
    value, held = calibrated(record.kind, scores, codes, labels=record.labels, classes=classes)
    return replace(record, calibration=value, held=held)
