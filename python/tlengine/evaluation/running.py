"""Every task of a run, once: taken up from the journal, or fitted and added to it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from tlengine.errors import TlengineWarning
from tlengine.evaluation.journal import FileJournal, Journal
from tlengine.evaluation.ledger import Ledger
from tlengine.evaluation.setup import Chosen, Setup
from tlengine.plugins import notify
from tlengine.plugins.contracts import Budget, Executor, Record, Task
from tlengine.settings import hidden_bar

__all__ = ["run_all", "tasks_of", "views_read"]


def tasks_of(setup: Setup, asked: Sequence[str], budgets: Sequence[Budget]) -> list[Task]:
    """All fits of a run, balanced: every strategy of a seed and budget comes before the next.

    Args:
        setup: of the run.
        asked: the views of the backbones that strategies are used on.
        budgets: labels per class.
    """
    reads = {name: views_read(chosen, asked) for name, chosen in setup.strategies.items()}
    pairs = {view: [name for name in reads if view in reads[name]] for view in setup.views}
    return list(setup.plan.tasks({view: names for view, names in pairs.items() if names}, budgets))


def views_read(chosen: Chosen, backbones: Sequence[str]) -> list[str]:
    """The views that a strategy is fitted on, by name, in a run of these backbones."""
    if chosen.view == "backbone":
        return list(backbones)
    if chosen.view == "random":
        from tlengine.features import untrained_name

        return [untrained_name(name, seed) for name in backbones for seed in range(chosen.networks)]
    return [chosen.view]


def run_all(
    setup: Setup,
    tasks: Sequence[Task],
    journal: Journal,
    executor: Executor,
    ledger: Ledger,
    *,
    progress: bool,
) -> int:
    """Run what the journal does not have; returns how many records were taken up from it.

    Tasks of equal keys are one fit. A task of which the executor says nothing has failed.
    """
    from tqdm import tqdm

    if isinstance(journal, FileJournal):
        _warn_untold(setup, tasks)
    keys = {task: setup.key(task) for task in tasks}
    known = journal.take_up(keys.values())
    first: dict[str, Task] = {}
    for task, key in keys.items():
        if key not in known:
            first.setdefault(key, task)
    bar = tqdm(
        total=len(known) + len(first),
        desc="compare",
        unit="fit",
        initial=len(known),
        disable=hidden_bar(progress),
    )

    def keep(record: Record) -> None:
        name = f"{record.task.view} {record.task.strategy}"
        journal.add(record)
        book(record)
        notify("tlengine_task_finished", record=record)
        bar.set_postfix_str(name, refresh=False)
        bar.update()

    with ledger.fits() as book, bar:
        for record in executor.run(setup, list(first.values())):
            keep(record)
        for key, task in first.items():
            if key not in journal.records:
                keep(Record(task=task, key=key, error="the executor returned no record for it"))
    return len(known)


def _warn_untold(setup: Setup, tasks: Sequence[Task]) -> None:
    for name in dict.fromkeys(task.strategy for task in tasks):
        if untold := setup.identity(name).untold:
            note = f"no later run takes up the fits of {name!r}, for nothing tells them from others: {untold}"
            warnings.warn(note, TlengineWarning, stacklevel=4)
