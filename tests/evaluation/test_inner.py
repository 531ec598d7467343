"""Inner folds as tasks: what they held out calibrates the fit and lets it be chosen."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.evaluation.machinery import setup_of
from tests.evaluation.pictures import tiny
from tests.evaluation.trained import Trained, sentences, spec
from tlengine.data.dataset import Dataset
from tlengine.errors import InputError, PluginError
from tlengine.evaluation import compare
from tlengine.evaluation.cells import cells_of
from tlengine.evaluation.choice import choose
from tlengine.evaluation.executors import Here, Processes
from tlengine.evaluation.held import calibrated
from tlengine.evaluation.inner import is_inner, number_of_folds, with_held_out
from tlengine.evaluation.journal import FileJournal, Journal
from tlengine.evaluation.ledger import Ledger
from tlengine.evaluation.running import run_all, tasks_of
from tlengine.evaluation.setup import Setup
from tlengine.evaluation.strategies import CentroidStrategy
from tlengine.plugins.contracts import Record, Task
from tlengine.statistics import softmax

TEXTS, CODES = sentences()
X = np.random.default_rng(0).normal(size=(90, 4)).astype(np.float32) + CODES[:, None]


def made(seeds: int = 2, splits: Any = None, **strategies: Any) -> tuple[Setup, list[Task]]:
    setup = setup_of(
        X, CODES, strategies, seeds=seeds, kind="holdout", splits=splits, contents=TEXTS, rows=np.arange(90)
    )
    return setup, tasks_of(setup, ["net"], [5, "all"])


def ran(setup: Setup, tasks: Sequence[Task], executor: Any = None) -> dict[str, Record]:
    journal = Journal()
    run_all(setup, tasks, journal, executor or Here(), Ledger(), progress=False)
    return with_held_out(setup, tasks, journal.records)


def test_scores_of_the_inner_folds_are_those_that_the_fit_did_not_see() -> None:
    """By hand: each row of the training part is scored once, by a fit on the others, and calibrates."""
    setup, tasks = made(seeds=1, trained=Trained())
    assert Counter(task.part for task in tasks) == {
        "fit": 2, "inner:0/3": 1, "inner:1/3": 1, "inner:2/3": 1,
    }  # fmt: skip
    assert {task.budget for task in tasks if is_inner(task)} == {"all"}
    records = ran(setup, tasks)
    fit = next(task for task in tasks if task.part == "fit" and task.budget == "all")
    record = records[setup.key(fit)]
    parts = [records[setup.key(task)] for task in tasks if is_inner(task)]
    rows = np.concatenate([setup.plan.roles(p.task).test for p in parts])
    assert sorted(rows.tolist()) == setup.plan.roles(fit).train.tolist()
    assert len({tuple(setup.plan.roles(p.task).train) for p in parts}) == 3
    scores = np.concatenate([p.scores for p in parts if p.scores is not None])
    value, held = calibrated("logits", scores, CODES[rows], labels=63, classes=3)
    assert (record.calibration, record.held) == (value, held)
    assert held is not None
    proba = softmax(scores.astype(np.float64) / value)
    assert held.rows == 63
    assert held.accuracy == (proba.argmax(axis=1) == CODES[rows]).mean()
    assert held.log_loss == pytest.approx(-np.log(proba[np.arange(63), CODES[rows]]).mean())
    assert value > 1.5, "ten times too sure of itself, as its author made it"


def test_other_budgets_borrow_no_label_from_the_largest() -> None:
    setup, tasks = made(seeds=1, trained=Trained())
    records = ran(setup, tasks)
    small = records[setup.key(next(task for task in tasks if task.budget == 5))]
    assert (small.calibration, small.held, small.labels) == (1.0, None, 15)


def test_it_can_be_chosen_against_what_holds_rows_out_itself() -> None:
    """On noise nearest means cannot win; the words tell."""
    setup, tasks = made(trained=Trained(steps=200))
    noise = np.random.default_rng(1).normal(size=X.shape).astype(np.float32)
    setup = setup_of(
        noise, CODES, {"centroid": CentroidStrategy(), "trained": Trained(steps=200)}, seeds=2,
        kind="holdout", contents=TEXTS, rows=np.arange(90),
    )  # fmt: skip
    tasks = tasks_of(setup, ["net"], ["all"])
    found = choose(cells_of(setup, tasks, ran(setup, tasks)))
    assert (found.kept.strategy, found.judged_only) == ("trained", ())
    assert {held.rows for held in found.kept.inner.values()} == {63}
    bare = [task for task in tasks if not is_inner(task)]
    other = choose(cells_of(setup, bare, ran(setup, bare)))
    assert (other.kept.strategy, [c.strategy for c in other.judged_only]) == ("centroid", ["trained"])


def test_none_are_asked_for_where_the_strategy_wants_none() -> None:
    setup, tasks = made(control=Trained(inner_tasks=0), centroid=CentroidStrategy())
    assert not any(is_inner(task) for task in tasks)
    cells = cells_of(setup, tasks, ran(setup, tasks))
    assert [c.strategy for c in choose([c for c in cells if c.budget == "all"]).judged_only] == ["control"]


def test_an_inner_fold_that_fails_costs_the_choice_and_not_the_fit() -> None:
    """The fits train on 63 and on 15 rows, the inner folds on 42 each."""
    setup, tasks = made(trained=Trained(breaks=42), centroid=CentroidStrategy())
    records = ran(setup, tasks)
    failed = [record for record in records.values() if record.failed]
    assert {is_inner(record.task) for record in failed} == {True}
    cells = [cell for cell in cells_of(setup, tasks, records) if cell.budget == "all"]
    assert [cell.strategy for cell in cells] == ["trained", "centroid"]
    assert choose(cells).judged_only == (cells[0],)


def test_rows_that_the_user_set_apart_to_calibrate_by_have_the_only_word() -> None:
    splits = np.array(["train"] * 45 + ["calibrate"] * 15 + ["test"] * 30)
    setup, tasks = made(splits=splits, seeds=1, trained=Trained())
    records = ran(setup, tasks)
    key = setup.key(next(t for t in tasks if t.part == "fit" and t.budget == "all"))
    journal = Journal()
    run_all(setup, tasks, journal, Here(), Ledger(), progress=False)
    assert records[key].calibration == journal.records[key].calibration != 1.0
    assert journal.records[key].held is None
    held = records[key].held
    assert held is not None
    assert held.rows == 45


def test_select_rows_are_held_out_once() -> None:
    splits = np.array(["train"] * 45 + ["select"] * 15 + ["test"] * 30)
    setup, tasks = made(splits=splits, seeds=1, trained=Trained())
    assert [task.part for task in tasks if is_inner(task)] == ["inner:0/3"]
    records = ran(setup, tasks)
    fit = next(t for t in tasks if t.part == "fit" and t.budget == "all")
    held = records[setup.key(fit)].held
    assert held is not None
    assert held.rows == 15


def test_the_journal_takes_up_inner_folds_as_fits(tmp_path: Path) -> None:
    setup, tasks = made(trained=Trained())
    with_one = [task for task in tasks if task.part != "inner:1/3"]
    found = []
    for several in (with_one, tasks, tasks):
        journal = FileJournal(tmp_path)
        taken_up = run_all(setup, several, journal, Here(), Ledger(), progress=False)
        found.append((taken_up, with_held_out(setup, tasks, journal.records)))
        journal.close()
    assert [taken_up for taken_up, _ in found] == [0, 8, 10]
    keys = [setup.key(t) for t in tasks if t.part == "fit" and t.budget == "all"]
    assert all(found[0][1][key].held is None for key in keys), "while one fold is missing"
    assert all(found[1][1][key].held == found[2][1][key].held is not None for key in keys)


def test_other_processes_give_the_same_held_out_scores() -> None:
    setup, tasks = made(trained=Trained(), centroid=CentroidStrategy())
    here, there = ran(setup, tasks), ran(setup, tasks, Processes(2))
    assert here.keys() == there.keys()
    for key, record in here.items():
        assert (record.held, record.calibration) == (there[key].held, there[key].calibration)


@pytest.mark.parametrize("wrong", [1, -1, True, 2.0, "3"])
def test_a_number_of_folds_that_is_none_is_refused(wrong: Any) -> None:
    with pytest.raises(InputError, match="inner_tasks is"):
        number_of_folds(Trained(inner_tasks=wrong))
    with pytest.raises(PluginError, match="strategy 'trained': inner_tasks is"):
        compare((X, CODES), strategies=[replace(spec("trained", Trained(inner_tasks=wrong)),
                modalities=("features",))], progress=False)  # fmt: skip


def test_a_run_of_one_that_trains_has_one_holdout_for_each_seed(digit_images: Dataset) -> None:
    """Everything in it, below 1,000 rows 30 % tested, 5 seeds by default; failed folds are said."""
    run = compare(
        digit_images, tiny(), strategies=["centroid", spec("trained", Trained(breaks=56))], controls=["raw"],
        budgets=[5, "all"], progress=False,
    )  # fmt: skip
    told = run.document["resamples"]
    assert (told["kind"], told["seeds"], told["count"]) == ("holdout", 5, 5)
    assert told["test"] == pytest.approx(0.3 * 120, abs=1)
    assert run.document["journal"]["fits"] == 5 * (2 * 3 + 3)
    assert len(run.document["fits"]) == 5 * 2 * 3
    (failed,) = run.document["failed"]
    assert (failed["strategy"], failed["step"], failed["budgets"]) == ("trained", "inner", ["all"])
    assert list(run.verdict.judged_only) == [{"backbone": "tiny", "strategy": "trained"}]
    assert "no result" not in run.table()
