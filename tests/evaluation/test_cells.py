"""What one strategy did with one budget, over all resamples."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression

from tests.evaluation.made import World, fitted, setup_of
from tlengine.data.resamples import make_resamples
from tlengine.evaluation.cells import cells_of
from tlengine.evaluation.executors import Here
from tlengine.evaluation.running import tasks_of
from tlengine.evaluation.strategies import EstimatorStrategy
from tlengine.plugins import as_probe_spec
from tlengine.plugins.contracts import Record
from tlengine.statistics.metrics import BALANCED_ACCURACY, score


def test_a_draw_is_a_seed_with_its_folds_pooled():
    world = World.of(rows=100, seeds=3)
    draws = world.add("probe", 0.8, 0.8).draws
    assert len(draws) == 3
    for draw in draws:
        assert sorted(draw.rows.tolist()) == list(range(100))
        assert len(draw.shares) == 5
        assert 0.7 < draw.correct.mean() < 0.9


def test_a_split_of_the_users_is_one_draw_for_every_budget_that_uses_all_of_it():
    splits = np.array(["train"] * 60 + ["test"] * 40)
    world = World(make_resamples(np.arange(100) % 2, seeds=5, splits=splits))
    assert len(world.add("probe", 0.8, 0.8).draws) == 1
    assert len(world.add("few", 0.8, 0.8, budget=5).draws) == 5, "five samples of each class are drawn"


def test_a_seeded_strategy_draws_anew_on_equal_rows():
    splits = np.array(["train"] * 60 + ["test"] * 40)
    world = World(make_resamples(np.arange(100) % 2, seeds=5, splits=splits), seeded=True)
    assert len(world.add("finetune", 0.8, 0.8).draws) == 5


def test_held_out_accuracy_and_loss_are_those_of_the_rows_held_out():
    cell = World.of(rows=100).add("probe", 0.2, 0.75)
    assert set(cell.inner) == set(cell.records)
    for held in cell.inner.values():
        assert held.rows == 80
        assert held.accuracy == pytest.approx(0.75)
        # calibrated on 80 rows of which three in four are right: close to the entropy of .75
        assert held.log_loss == pytest.approx(-0.75 * np.log(0.75) - 0.25 * np.log(0.25), abs=0.01)


def test_what_holds_nothing_out_has_no_held_out_accuracy():
    assert World.of(rows=100).add("probe", 0.9).inner == {}


def test_probabilities_of_the_test_are_calibrated_on_the_rows_held_out():
    """Sure of everything and right in 75 % of the rows held out: 75 % is what it then says."""
    cell = World.of(rows=400).add("probe", 0.75, 0.75, sure=50.0)
    proba = cell.draws[0].proba.max(axis=1)
    assert proba == pytest.approx(0.75, abs=0.01)


def test_the_outcome_knows_the_class_shares_of_the_fitted_rows():
    world = World(make_resamples(np.array([0] * 90 + [1] * 30), seeds=1))
    assert world.add("probe", 0.9).outcome((0, 0)).shares == pytest.approx(np.array([[0.75, 0.25]]))
    assert world.add("few", 0.9, budget=5).outcome((0, 0)).shares == pytest.approx(np.array([[0.5, 0.5]]))


def test_a_cell_is_there_where_all_of_its_tasks_have_a_result():
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    X = rng.normal(size=(60, 3)) + y[:, None]
    setup = setup_of(X, make_resamples(y, seeds=1), ["centroid", "ridge"])
    tasks = tasks_of(setup, ["net"], [5, "all"])
    records = {record.key: record for record in Here().run(setup, tasks)}
    assert [(c.strategy, c.budget) for c in cells_of(setup, tasks, records)] == [
        ("centroid", 5), ("ridge", 5), ("centroid", "all"), ("ridge", "all"),
    ]  # fmt: skip
    lost = next(task for task in tasks if (task.strategy, task.budget, task.fold) == ("ridge", 5, 3))
    failed = Record(task=lost, key=setup.key(lost), error="out of order")
    found = cells_of(setup, tasks, {**records, failed.key: failed})
    assert [(c.strategy, c.budget) for c in found] == [
        ("centroid", 5), ("centroid", "all"), ("ridge", "all"),
    ]  # fmt: skip
    del records[setup.key(lost)]
    assert len(cells_of(setup, tasks, records)) == 3


def test_labels_used_are_an_average_over_resamples():
    cell = World.of(rows=101, classes=2, seeds=1).add("probe", 0.9)
    assert cell.labels == pytest.approx(101 * 4 / 5)


def test_labels_of_the_users_validation_rows_count_where_they_are_used():
    splits = np.array(["train"] * 60 + ["select"] * 20 + ["test"] * 40)
    world = World(make_resamples(np.arange(120) % 2, seeds=2, splits=splits))
    assert world.add("probe", 0.9, 0.9).labels == 80
    assert world.add("few", 0.9, 0.9, budget=5).labels == 10


def test_a_cell_judges_with_the_plan_that_it_was_fitted_by(digits):
    X, y = digits
    plan = make_resamples(y, seeds=1)
    (cell,) = fitted(setup_of(X, plan, ["centroid"]), ["all"])
    truth = np.concatenate([plan.codes[r.test] for r in plan.resamples])
    assert cell.draws[0].truth.tolist() == truth.tolist()
    assert cell.draws[0].correct.mean() > 0.9
    others = replace(cell.setup.ground, codes=(plan.codes + 1) % 4)
    assert replace(cell, setup=replace(cell.setup, ground=others)).draws[0].correct.mean() < 0.1


def test_scores_without_a_prior_are_prior_free_as_they_are():
    """Two classes at 90/10, one standard deviation from the middle: distances to their means know no shares,
    and dividing their probabilities by the shares would cost 12 points of balanced accuracy."""
    rng = np.random.default_rng(0)
    y = (np.arange(3_000) % 10 == 0).astype(int)
    X = rng.normal(size=(3_000, 1)) + np.where(y, 1.0, -1.0)[:, None]
    plan = make_resamples(y, seeds=2)
    found = {}
    balanced = EstimatorStrategy(as_probe_spec(LogisticRegression(class_weight="balanced")))
    for cell in fitted(setup_of(X, plan, ["centroid", "probe", ("balanced", balanced)]), ["all"]):
        found[cell.strategy] = np.mean([score(BALANCED_ACCURACY, draw) for draw in cell.draws])
    assert found == pytest.approx(dict.fromkeys(("centroid", "probe", "balanced"), norm.cdf(1)), abs=0.03)
