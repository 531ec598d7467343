"""Each task once, in a balanced order, told to plugins in the driver; tasks of equal keys are one fit."""

import os
import shutil
import sys
from collections import Counter
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.evaluation.machinery import clouds, setup_of, tasks_for
from tests.plugins.conftest import Plant, Use, plant, use  # noqa: F401 - fixtures
from tlengine.errors import InputError, TlengineWarning
from tlengine.evaluation import compare
from tlengine.evaluation.executors import Here
from tlengine.evaluation.journal import FileJournal, Journal
from tlengine.evaluation.ledger import Ledger
from tlengine.evaluation.running import run_all, tasks_of
from tlengine.evaluation.setup import Chosen
from tlengine.evaluation.strategies import CentroidStrategy, RidgeStrategy
from tlengine.evaluation.views import RunView
from tlengine.evaluation.worker import batches
from tlengine.plugins.contracts import Fitted, Roles

X, CODES = clouds(60)

HEARS = """
import os
import tlengine as tl
heard = []

@tl.hookimpl
def tlengine_run_started(run):
    heard.append(("started", run["tasks"], os.getpid()))

@tl.hookimpl
def tlengine_task_finished(record):
    heard.append((record.task.strategy, record.task.fold, record.error, record.seconds >= 0, os.getpid()))
    record.chosen["spoilt"] = True

@tl.hookimpl
def tlengine_run_finished(document):
    heard.append(("finished", len(document["fits"]), os.getpid()))
"""


@pytest.mark.parametrize("executor", ["here", "processes"])
def test_events_come_once_a_task_in_this_process(plant: Plant, use: Use, executor: str) -> None:  # noqa: F811
    use(distribution("tlengine"), plant("hears", HEARS))
    run = compare(
        (X, CODES), strategies=["centroid"], controls={"raw": X[:, :2]}, budgets=[5], seeds=1,
        executor=executor, progress=False,
    )  # fmt: skip
    heard = sys.modules["plugin_of_hears"].heard
    pid = os.getpid()
    assert heard[0] == ("started", 10, pid)
    assert heard[-1] == ("finished", 10, pid)
    assert Counter(heard[1:-1]) == Counter(
        (s, f, None, True, pid) for s in ("centroid", "raw") for f in range(5)
    )
    assert not any("spoilt" in fit["chosen"] for fit in run.document["fits"])


class Counts(CentroidStrategy):
    """Writes down what it fitted."""

    def __init__(self, seeded: bool = False) -> None:
        self.seeded, self.fits = seeded, 0

    def settings(self) -> dict[str, Any]:
        return {}

    def fit(self, view: Any, roles: Roles, **options: Any) -> Fitted:
        self.fits += 1
        return super().fit(view, roles, **options)


def test_tasks_of_equal_keys_are_one_fit() -> None:
    """A user's split is the same for every seed: one fit for an unseeded strategy, five for a seeded."""
    splits = np.array(["train"] * 40 + ["test"] * 20)
    for seeded, fits in ((False, 1), (True, 5)):
        counts = Counts(seeded)
        setup = setup_of(X, CODES, {"counts": counts}, splits=splits, seeds=5)
        journal, tasks = Journal(), tasks_for(setup, ["all"])
        assert run_all(setup, tasks, journal, Here(), Ledger(), progress=False) == 0
        assert (len(tasks), counts.fits, len(journal.records)) == (5, fits, fits)
        assert run_all(setup, tasks, journal, Here(), Ledger(), progress=False) == fits
        assert counts.fits == fits, "nothing is fitted that the journal has"
        assert all(setup.key(task) in journal.records for task in tasks)


class Forgets(Here):
    """Leaves out every second task."""

    def run(self, setup: Any, tasks: Any) -> Any:
        yield from super().run(setup, tasks[::2])


def test_a_task_of_which_the_executor_says_nothing_has_failed() -> None:
    setup = setup_of(X, CODES, {"a": CentroidStrategy()})
    journal, tasks = Journal(), tasks_for(setup, [5])
    run_all(setup, tasks, journal, Forgets(), Ledger(), progress=False)
    errors = [journal.records[setup.key(task)].error for task in tasks]
    assert errors == [None, "the executor returned no record for it"] * 2 + [None]


def test_a_run_of_which_nothing_came_back_is_told_so() -> None:
    class Idle:
        def run(self, setup: Any, tasks: Any) -> Any:
            return iter(())

    with pytest.raises(InputError, match=r"centroid on .*: the executor returned no record for it"):
        compare((X, CODES), strategies=["centroid"], controls=(), seeds=1, executor=Idle(), progress=False)


class Locked(CentroidStrategy):
    """Holds what nobody can tell."""

    def settings(self) -> dict[str, Any]:
        return {"rows": (x for x in "ab")}


def test_what_cannot_be_told_is_fitted_anew_and_said_once(tmp_path: Path) -> None:
    for turn in range(2):
        setup = setup_of(X, CODES, {"a": CentroidStrategy(), "b": Locked()})
        tasks, journal = tasks_for(setup, [5]), FileJournal(tmp_path)
        with pytest.warns(TlengineWarning, match="no later run takes up the fits of 'b'.*generator") as said:
            taken_up = run_all(setup, tasks, journal, Here(), Ledger(), progress=False)
        journal.close()
        assert len(said) == 1
        assert taken_up == 5 * turn


def test_an_edited_plugin_is_fitted_anew(plant: Plant, use: Use, tmp_path: Path) -> None:  # noqa: F811
    """Its version too."""
    taken = []
    for text, version in ((MEDIANS, "1.0"), (MEDIANS, "1.0"), (MEDIANS, "2.0"), (MEANS, "2.0")):
        sys.modules.pop("plugin_of_medians", None)
        shutil.rmtree(tmp_path / f"plugin_of_medians-{version}.dist-info", ignore_errors=True)
        use(distribution("tlengine"), plant("medians", text, version))
        run = compare(
            (X, CODES), strategies=["medians", "ridge"], controls=(), budgets=[5], seeds=1,
            out=tmp_path / "out", progress=False,
        )  # fmt: skip
        taken.append(run.document["journal"]["taken_up"])
    assert taken == [0, 10, 5, 5]


MEDIANS = """
import numpy as np
import tlengine as tl
from tlengine.plugins import SimpleStrategy

class Medians(SimpleStrategy):
    def learn(self, view, rows, seed):
        X, codes = view.features(rows), view.codes(rows)
        medians = {code: np.median(X[codes == code], axis=0) for code in np.unique(codes)}

        def scores(view, rows):
            out = np.full((len(rows), view.classes), -np.inf)
            for code, median in medians.items():
                out[:, code] = -np.abs(view.features(rows) - median).mean(axis=1)
            return out

        return scores

@tl.hookimpl
def tlengine_strategies():
    yield tl.StrategySpec(name="medians", make=Medians)
"""
MEANS = MEDIANS.replace("np.median(", "np.mean(")


def test_all_strategies_of_a_seed_and_budget_come_before_the_next() -> None:
    """A run that is cut short is balanced."""
    strategies = {"a": CentroidStrategy(), "b": RidgeStrategy()}
    setup = setup_of(X, CODES, strategies, seeds=2)
    tasks = tasks_of(setup, ["net"], [5, "all"])
    assert len(set(tasks)) == len(tasks) == 2 * 2 * 5 * 2
    cells = [(task.seed, task.budget) for task in tasks]
    assert cells == sorted(cells, key=lambda cell: (cell[0], cell[1] == "all"))
    done = [[(t.seed, t.budget, t.strategy) for t in batch] for batch in batches(tasks)]
    assert [set(batch) for batch in done] == [
        {(seed, budget, name)} for seed in (0, 1) for budget in (5, "all") for name in ("a", "b")
    ]


def test_a_strategy_meets_the_views_that_it_reads() -> None:
    """Of each backbone, of each with untrained weights, or of one name."""
    views = {
        "net": RunView(name="net", X=X, backbone="net"),
        "other": RunView(name="other", X=X, backbone="other"),
        "net~random": RunView(name="net~random", X=X, backbone="net"),
        "raw": RunView(name="raw", X=X),
    }
    chosen = {
        "probe": Chosen(name="probe", strategy=CentroidStrategy()),
        "random": Chosen(name="random", strategy=CentroidStrategy(), role="control", view="random"),
        "raw": Chosen(name="raw", strategy=CentroidStrategy(), role="control", view="raw"),
    }
    setup = setup_of(X, CODES, chosen)
    setup.views.clear()  # type: ignore[attr-defined]
    setup.views.update(views)  # type: ignore[attr-defined]
    pairs = {(task.view, task.strategy) for task in tasks_of(setup, ["net", "other"], [5])}
    assert pairs == {("net", "probe"), ("other", "probe"), ("net~random", "random"), ("raw", "raw")}
    pairs = {(task.view, task.strategy) for task in tasks_of(setup, ["other", "raw"], [5])}
    assert pairs == {("other", "probe"), ("raw", "probe"), ("raw", "raw")}
