"""The tables: every strategy against every control that it meets, every metric with its interval."""

import numpy as np
import pytest

from tests.evaluation.made import World
from tlengine.data.resamples import make_resamples
from tlengine.evaluation.comparisons import against_controls, controls_for, described_metrics, summarise
from tlengine.plugins import MetricSpec
from tlengine.statistics import holm
from tlengine.statistics.metrics import METRICS


@pytest.fixture(scope="module")
def world():
    found = World.of()
    for budget in (5, "all"):
        found.add("probe", 0.9, 0.9, view="one", budget=budget)
        found.add("knn", 0.72, 0.7, view="one", budget=budget, luck=1)
        found.add("probe", 0.5, 0.5, view="two", budget=budget, luck=2)
        found.control("raw", 0.7, 0.7, budget=budget, luck=3)
        found.control("random", 0.6, 0.6, view="two~random", backbone="two", budget=budget, luck=4)
    return found


@pytest.fixture(scope="module")
def comparisons(world):
    return against_controls(world.cells, world.plan.units)


def test_a_cell_meets_the_controls_of_its_budget_of_none_and_of_its_own_backbone(world):
    first, last = world.cells[0], world.cells[7]
    assert [(c.strategy, c.budget) for c in controls_for(first, world.cells)] == [("raw", 5)]
    assert (last.view, last.strategy) == ("two", "probe")
    assert [(c.strategy, c.budget) for c in controls_for(last, world.cells)] == [
        ("raw", "all"),
        ("random", "all"),
    ]


def test_every_pair_is_tested_once(comparisons):
    found = [(c["backbone"], c["strategy"], c["budget"], c["control_backbone"]) for c in comparisons]
    expected = {
        (view, strategy, budget, control)
        for budget in (5, "all")
        for view, strategy, controls in (
            ("one", "probe", ["raw"]),
            ("one", "knn", ["raw"]),
            ("two", "probe", ["raw", "two~random"]),
        )
        for control in controls
    }
    assert len(found) == len(set(found)) == 8
    assert set(found) == expected


def test_p_values_are_adjusted_over_the_strategies_of_a_budget_and_control(comparisons):
    for budget in (5, "all"):
        family = [c for c in comparisons if (c["budget"], c["control"]) == (budget, "raw")]
        assert [c["p_adjusted"] for c in family] == holm([c["p_value"] for c in family])
        alone = [c for c in comparisons if (c["budget"], c["control"]) == (budget, "random")]
        assert [c["p_adjusted"] for c in alone] == [c["p_value"] for c in alone]


def test_intervals_leave_out_nothing_where_and_only_where_the_comparison_is_significant(comparisons):
    """Each is shown at the level at which Holm's procedure decided it."""
    outcomes = [c["outcome"] for c in comparisons]
    assert {"positive", "negative", "undecided"} <= set(outcomes)
    for c in comparisons:
        assert (c["low"] > 0) == (c["outcome"] == "positive")
        assert (c["high"] < 0) == (c["outcome"] == "negative")


def test_holm_counts_at_intervals_too():
    """Of three strategies one is better at some 3 %: not significant, and its interval says so."""
    caught = 0
    for gap in np.arange(0.02, 0.09, 0.0025):
        world = World.of(rows=300)
        world.add("probe", 0.7 + gap, 0.7, luck=5)
        world.add("knn", 0.7, 0.7)
        world.add("ridge", 0.7, 0.7)
        world.control("raw", 0.7, 0.7, luck=1)
        for c in against_controls(world.cells, world.plan.units):
            assert (c["low"] > 0) == (c["p_adjusted"] < 0.05 and c["effect"] > 0)
            caught += c["p_value"] < 0.05 <= c["p_adjusted"]
    assert caught, "some fell between the levels"


def test_equal_predictions_are_no_difference():
    world = World.of(rows=3_000)
    world.add("probe", 0.9, 0.9)
    world.control("raw", 0.9, 0.9)
    (found,) = against_controls(world.cells, world.plan.units)
    assert (found["outcome"], found["effect"]) == ("none", 0)


def test_one_test_unit_is_no_comparison_and_no_interval():
    splits = np.array(["train"] * 60 + ["test"] * 30)
    groups = np.array([f"{i}" for i in range(60)] + ["one"] * 30)
    world = World(make_resamples(np.arange(90) % 2, seeds=2, splits=splits, groups=groups))
    world.add("probe", 1.0, 1.0)
    world.control("raw", 0.3, 0.3, luck=1)
    (found,) = against_controls(world.cells, world.plan.units)
    assert (found["low"], found["high"], found["p_value"], found["outcome"]) == (None, None, 1.0, "undecided")
    assert found["reason"] == "all test rows belong to one unit"
    for record in summarise(world.cells, METRICS, world.plan.units):
        assert (record["low"], record["high"]) == (None, None)
        assert record["reason"]


def test_the_summary_has_every_metric_of_every_cell(world):
    found = summarise(world.cells, METRICS, world.plan.units)
    assert len(found) == len(world.cells) * len(METRICS)
    for record in found:
        assert record["value"] is not None
        if record["low"] is None:
            assert record["reason"]
        else:
            assert record["low"] <= record["value"] <= record["high"]
    assert all(r["low"] is not None for r in found if r["metric"] in ("accuracy", "log_loss"))
    assert {r["labels"] for r in found if r["budget"] == 5} == {10}


def test_the_calibration_error_stands_beside_that_of_a_calibrated_model(world):
    found = [r for r in summarise(world.cells[:1], METRICS, world.plan.units) if r["metric"] == "ece"]
    assert len(found) == 1
    null = found[0]["null"]
    assert null["ece"] == pytest.approx(found[0]["value"])
    assert 0 < null["expected"] <= null["high"]
    assert 0 < null["p_value"] <= 1
    assert (found[0]["low"], found[0]["high"]) == (None, None)
    [grouped] = summarise(world.cells[:1], {"ece": METRICS["ece"]}, world.plan.units // 4)
    assert (grouped["value"], grouped["null"]["p_value"]) == (found[0]["value"], None)
    others = [r for r in summarise(world.cells[:1], METRICS, world.plan.units) if r["metric"] != "ece"]
    assert not any("null" in record for record in others)


def test_any_metric_may_show_what_chance_alone_would_give(world):
    seen = []

    def null(codes, proba, rows, units):
        assert units is world.plan.units
        seen.append([(len(c), p.shape, len(r)) for c, p, r in zip(codes, proba, rows, strict=True)])
        return {"expected": np.float64(0.25), "high": np.float32(0.5)}

    metrics = {"mine": MetricSpec(name="mine", score=METRICS["ece"].score, null=null)}
    (found,) = summarise(world.cells[:1], metrics, world.plan.units)
    assert found["null"] == {"expected": 0.25, "high": 0.5}
    assert {type(value) for value in found["null"].values()} == {float}
    assert seen == [[(400, (400, 2), 400)] * 3]


def test_what_tables_know_of_a_metric_comes_from_its_record():
    metrics = {"ece": METRICS["ece"], "mine": MetricSpec(name="mine", score=len, percent=True)}
    assert described_metrics(metrics) == [
        {"name": "ece", "label": "calibration error", "percent": False, "greater_is_better": False},
        {"name": "mine", "label": "mine", "percent": True, "greater_is_better": True},
    ]


def test_a_metric_that_is_not_defined_costs_itself():
    def undefined(codes, proba):
        raise ZeroDivisionError("no such rows")

    metrics = {**METRICS, "mine": MetricSpec(name="mine", score=undefined)}
    world = World.of()
    world.add("probe", 0.9, 0.9)
    found = {r["metric"]: r for r in summarise(world.cells, metrics, world.plan.units)}
    assert found["mine"]["value"] is None
    assert "no such rows" in found["mine"]["reason"]
    assert found["accuracy"]["value"] is not None
