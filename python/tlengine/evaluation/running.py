"""Every task of a run, once: taken up from the journal, or fitted and added to it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterator, Sequence

from tlengine.errors import TlengineWarning
from tlengine.evaluation.inner import number_of_folds
from tlengine.evaluation.journal import FileJournal, Journal
from tlengine.evaluation.ledger import Ledger
from tlengine.evaluation.setup import Chosen, Setup
from tlengine.plugins import notify
from tlengine.plugins.contracts import Budget, Executor, Record, Task
from tlengine.settings import hidden_bar

__all__ = ["run_all", "tasks_of", "views_read", "warn_untold"]


def tasks_of(
    setup: Setup,
    asked: Sequence[str],
    budgets: Sequence[Budget],
    refused: Collection[tuple[str, str]] = (),
) -> list[Task]:
    """All fits of a run, balanced: every strategy of a seed and budget comes before the next.

    The inner folds of strategies that want them as tasks follow the fits of the largest budget of each seed.

    Args:
        setup: of the run.
        asked: the views of the backbones that strategies are used on.
        budgets: labels per class, ascending.
        refused: pairs of view and strategy that are not to be fitted.
    """
    reads = {name: views_read(chosen, asked) for name, chosen in setup.strategies.items()}
    pairs = {
        view: [name for name in reads if view in reads[name] and (view, name) not in refused]
        for view in setup.views
    }
    inner = {name: number_of_folds(chosen.strategy) for name, chosen in setup.strategies.items()}
    return list(setup.plan.tasks({view: names for view, names in pairs.items() if names}, budgets, inner))


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
    over: Callable[[], bool] = lambda: False,
) -> int:
    """Run what the journal does not have; returns how many records were taken up from it.

    Tasks of equal keys are one fit. A task of which the executor says nothing has failed, unless time is
    over: then it has no record.

    Args:
        setup: of the run.
        tasks: all of them.
        journal: has what was run before, and gets what is run here.
        executor: runs them.
        ledger: gets the seconds of each fit.
        progress: whether to show a bar.
        over: whether no other fit is to be begun; it is asked after each record.
    """
    from tqdm import tqdm

    with ledger.stage("plan"):
        if isinstance(journal, FileJournal):
            warn_untold(setup, tasks)
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
        for record in _until(over, iter(executor.run(setup, list(first.values())))):
            keep(record)
        for key, task in first.items():
            if key not in journal.records and not over():
                keep(Record(task=task, key=key, error="the executor returned no record for it"))
    return len(known)


def _until(over: Callable[[], bool], records: Iterator[Record]) -> Iterator[Record]:
    """Records until time is over; an executor that is a generator ends its work then."""
    try:
        while not over():
            record = next(records, None)
            if record is None:
                return
            yield record
    finally:
        getattr(records, "close", lambda: None)()


def warn_untold(setup: Setup, tasks: Sequence[Task]) -> None:
    """Say which fits are kept in vain: their strategy, or the code of their backbone, cannot be told."""
    strategies = {name: setup.identity(name).untold for name in dict.fromkeys(t.strategy for t in tasks)}
    trained = [t.view for t in tasks if setup.strategies[t.strategy].strategy.reads == "contents"]
    networks = {f"networks on {view}": setup.network(view).untold for view in dict.fromkeys(trained)}
    for what, untold in [*((repr(name), told) for name, told in strategies.items()), *networks.items()]:
        if untold:
            note = f"no later run takes up the fits of {what}, for nothing tells them from others: {untold}"
            warnings.warn(note, TlengineWarning, stacklevel=4)
