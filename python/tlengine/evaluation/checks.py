"""What a strategy cannot do on a view, said before anything is fitted."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from tlengine.errors import InputError, TlengineWarning
from tlengine.evaluation.samples import Failed
from tlengine.evaluation.setup import Setup
from tlengine.evaluation.worker import Worker
from tlengine.plugins.containment import contained
from tlengine.plugins.contracts import Task

__all__ = ["check_strategies"]


def check_strategies(setup: Setup, tasks: Sequence[Task]) -> list[Failed]:
    """Ask each strategy that can say it whether it can be used on each view that it is to be fitted on.

    What it raises is a warning and a failure: it is not fitted there, and the rest goes on.

    Args:
        setup: of the run.
        tasks: of which the first of each pair of view and strategy is shown to it.

    Returns:
        What was refused: ``backbone`` is the view.

    Raises:
        InputError: no strategy is left but controls; what the first that was refused said.
    """
    first: dict[tuple[str, str], Task] = {}
    for task in tasks:
        first.setdefault((task.view, task.strategy), task)
    worker, refused = Worker(setup), list[Failed]()
    for (view, name), task in first.items():
        try:
            _check(worker, task)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a plugin may even exit
            found = Failed.of(view, name, error, asked=setup.strategies[name].asked)
            note = f"{name} cannot be used on {view} and is left out: {found.error}"
            warnings.warn(note, TlengineWarning, stacklevel=3)
            refused.append(found)
    able = [name for view, name in first if (view, name) not in {(f.backbone, f.strategy) for f in refused}]
    if refused and all(setup.strategies[name].role == "control" for name in able):
        one = refused[0]
        raise InputError(f"{one.strategy} cannot be used on {one.backbone}: {one.error}", hint=one.hint)
    return refused


def _check(worker: Worker, task: Task) -> None:
    check = getattr(worker.setup.strategies[task.strategy].strategy, "check", None)
    if check is not None:
        with contained():
            check(worker.job(task).view)
