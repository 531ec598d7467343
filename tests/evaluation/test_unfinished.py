"""A run whose time ended: only whole seeds are tested, so that all are compared on the same draws."""

import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.evaluation.machinery import clouds, setup_of
from tests.evaluation.trained import Trained, sentences
from tlengine.errors import TimeLimitError
from tlengine.evaluation import compare
from tlengine.evaluation.inner import is_inner
from tlengine.evaluation.ledger import Ledger
from tlengine.evaluation.running import tasks_of
from tlengine.evaluation.setup import Setup
from tlengine.evaluation.strategies import CentroidStrategy
from tlengine.evaluation.unfinished import whole_seeds
from tlengine.evaluation.watch import Spent
from tlengine.plugins.contracts import Record

comparison = sys.modules["tlengine.evaluation.comparison"]
TEXTS, CODES = sentences()
X = np.random.default_rng(0).normal(size=(90, 4)).astype(np.float32)


def made(**options: Any) -> tuple[Setup, list[Any]]:
    """Two seeds, budgets 5 and all: a fit of each of two strategies, and 3 inner folds of one at all."""
    strategies = {"net": Trained(), "centroid": CentroidStrategy()}
    setup = setup_of(X, CODES, strategies, seeds=2, contents=TEXTS, rows=np.arange(90), **options)
    return setup, tasks_of(setup, ["net"], [5, "all"])


def first(setup: Setup, tasks: Any, n: int) -> list[Any]:
    """What is tested when the first n are done."""
    return whole_seeds(setup, tasks, {setup.key(task) for task in tasks[:n]})


def test_a_seed_and_budget_count_when_all_of_their_tasks_are_done() -> None:
    setup, tasks = made(kind="holdout")
    assert len(tasks) == 14
    assert first(setup, tasks, 14) == tasks
    assert first(setup, tasks, 13) == tasks[:9], "an inner fold of the second seed is missing"
    assert first(setup, tasks, 8) == tasks[:7], "one of two strategies at 5"
    assert first(setup, tasks, 2) == tasks[:2]
    assert first(setup, tasks, 1) == []


def test_without_any_seed_with_all_inner_folds_fits_are_judged_bare() -> None:
    """Nothing of the budget would be tested else."""
    setup, tasks = made(kind="holdout")
    found = first(setup, tasks, 6)
    assert found == tasks[:4]
    assert not any(is_inner(task) for task in found)


def test_all_folds_of_a_seed_are_wanted() -> None:
    """Every row is tested as often as any other."""
    setup, tasks = made()
    at_five = [task for task in tasks if (task.seed, task.budget) == (0, 5)]
    assert len(at_five) == 10
    assert first(setup, tasks, 9) == []
    assert first(setup, tasks, 10) == at_five


class Clock(Ledger):
    """A minute passes with each record."""

    records = 0

    def _of(self, record: Record) -> Spent:
        Clock.records += 1
        return super()._of(record)

    def total(self) -> Spent:
        return replace(super().total(), seconds=60.0 * Clock.records)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "Ledger", Clock)
    monkeypatch.setattr(Clock, "records", 0)


def cut_short(records: int, **options: Any) -> Any:
    features, codes = clouds(1000, apart=0.6)
    return compare(
        (features, codes), strategies=["centroid", "ridge"], controls={"raw": features[:, :2]},
        budgets=[5, 20], seeds=3, max_minutes=records, progress=False, **options,
    )  # fmt: skip


def test_a_run_that_ends_early_answers_from_whole_seeds_and_says_so(tmp_path: Any) -> None:
    run = cut_short(13, out=tmp_path)
    seeds = {(fit["budget"], fit["seed"]) for fit in run.document["fits"]}
    assert seeds == {(5, 0), (20, 0), (5, 1), (20, 1)}
    assert run.document["time"]["unrun"] == 5
    note = "Time was over before 5 fits were run: only seeds that are whole are tested"
    assert run.verdict.answer.endswith(f" {note}.")
    assert run.document["time"]["notes"] == [note]
    assert {c["draws"] for c in run.document["comparisons"]} == {2}
    assert run.document["failed"] == []


def test_without_a_whole_seed_there_is_no_answer(tmp_path: Any) -> None:
    with pytest.raises(TimeLimitError, match="no seed was done within 1 minutes"):
        cut_short(1, out=tmp_path)
    assert len((tmp_path / "journal.jsonl").read_text().splitlines()) == 1, "the next run goes on from it"
