"""A run that ended before all of its fits: what is tested are the seeds that are whole."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from tlengine.evaluation.inner import is_inner
from tlengine.evaluation.setup import Setup
from tlengine.plugins.contracts import Budget, Task

__all__ = ["whole_seeds"]


def whole_seeds(setup: Setup, tasks: Sequence[Task], known: Collection[str]) -> list[Task]:
    """The tasks of those seeds and budgets of which every task was run, with all of their folds.

    Others would compare strategies on other draws. Where no seed has all inner folds of a budget, those whose
    fits were run are taken, without the inner folds.

    Args:
        setup: of the run.
        tasks: all of them.
        known: the keys of results and failures.
    """
    done = {task: setup.key(task) in known for task in tasks}
    whole = _groups(tasks) - {_group(task) for task in tasks if not done[task]}
    budgets = {budget for _, budget in whole}
    fitted = _groups(tasks) - {_group(task) for task in tasks if not done[task] and not is_inner(task)}
    bare = {group for group in fitted if group[1] not in budgets}
    return [task for task in tasks if _group(task) in whole or (_group(task) in bare and not is_inner(task))]


def _groups(tasks: Sequence[Task]) -> set[tuple[int, Budget]]:
    return {_group(task) for task in tasks}


def _group(task: Task) -> tuple[int, Budget]:
    return task.seed, task.budget
