"""Every task of a run, once: taken up from the journal, or fitted and added to it."""

from __future__ import annotations

from collections.abc import Sequence

from tlengine.evaluation.journal import Journal
from tlengine.evaluation.ledger import Ledger
from tlengine.evaluation.setup import Chosen, Setup
from tlengine.plugins import notify
from tlengine.plugins.contracts import Budget, Executor, Task
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

    Tasks of equal keys are one fit.
    """
    from tqdm import tqdm

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
    with bar:
        for record in executor.run(setup, list(first.values())):
            journal.add(record)
            ledger.add(
                "fit", f"{record.task.view} {record.task.strategy}", record.seconds + record.predict_seconds
            )
            notify("tlengine_task_finished", record=record)
            bar.set_postfix_str(f"{record.task.view} {record.task.strategy}", refresh=False)
            bar.update()
    return len(known)
