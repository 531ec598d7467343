import numpy as np
import pytest

from tlengine.evaluation.metrics import Outcome
from tlengine.evaluation.verdict import CONTROL, Cell, compare_to_control, decide, summarise

N = 400
UNITS = np.arange(N)


def outcomes(accuracy, seed=0, seeds=3):
    """Predictions for the same rows under every seed, right with the given probability."""
    rng = np.random.default_rng(seed)
    found = {}
    for s in range(seeds):
        right = rng.random(N) < accuracy
        proba = np.where(right[:, None], [[0.9, 0.1]], [[0.1, 0.9]])
        found[s, 0] = Outcome.of(np.arange(N), np.zeros(N, dtype=int), proba)
    return found


def cell(strategy, budget, accuracy, inner=None, backbone="net", seed=0):
    backbone = CONTROL if strategy == CONTROL else backbone
    inner = [] if inner is None else [(inner, 1 - inner)]
    found = outcomes(accuracy, seed)
    return Cell(backbone=backbone, strategy=strategy, budget=budget, outcomes=found, inner=inner, labels=10)


def verdict(*cells):
    return decide(list(cells), compare_to_control(list(cells), UNITS), UNITS)


def test_a_strategy_above_the_control_is_positive_transfer():
    found = verdict(cell("probe", "all", 0.9, 0.9), cell(CONTROL, "all", 0.6, 0.6, seed=9))
    assert (found.outcome, found.backbone, found.strategy) == ("positive", "net", "probe")
    assert found.effect == pytest.approx(0.3, abs=0.05)
    assert found.low < found.effect < found.high
    assert found.p_value <= found.p_adjusted < 0.01
    assert "30" in found.answer or "points more than the raw control" in found.answer


def test_a_strategy_below_the_control_is_negative_transfer_and_the_control_is_recommended():
    found = verdict(cell("probe", "all", 0.5, 0.5), cell(CONTROL, "all", 0.9, 0.9, seed=9))
    assert (found.outcome, found.backbone, found.strategy) == ("negative", CONTROL, CONTROL)
    assert found.effect < 0
    assert found.accuracy == pytest.approx(0.9, abs=0.05)
    assert "no pretrained network" in found.answer


def test_equal_predictions_are_no_difference():
    found = verdict(cell("probe", "all", 0.9, 0.9), cell(CONTROL, "all", 0.9, 0.9))
    assert (found.outcome, found.effect) == ("none", 0)


def test_a_small_difference_is_undecided():
    found = verdict(cell("probe", "all", 0.71, 0.7), cell(CONTROL, "all", 0.69, 0.7, seed=9))
    assert found.outcome == "undecided"


def test_the_recommendation_looks_at_cross_validation_not_at_the_test():
    lucky, honest = cell("knn", "all", 0.95, 0.80), cell("probe", "all", 0.90, 0.92, seed=3)
    found = verdict(lucky, honest, cell(CONTROL, "all", 0.5, 0.5, seed=9))
    assert found.strategy == "probe"
    assert "cross-validation" in found.selected_on


def test_among_equals_the_better_probabilities_win():
    sure, honest = cell("ridge", "all", 0.9, 0.9), cell("probe", "all", 0.9, 0.89, seed=3)
    sure.inner, honest.inner = [(0.90, 0.6)], [(0.89, 0.3)]
    assert verdict(sure, honest, cell(CONTROL, "all", 0.5, 0.5, seed=9)).strategy == "probe"


def test_labels_needed_is_the_smallest_budget_that_comes_close():
    cells = [
        cell("probe", 5, 0.6),
        cell(CONTROL, 5, 0.3, seed=9),
        cell("probe", 20, 0.9),
        cell(CONTROL, 20, 0.4, seed=9),
        cell("probe", "all", 0.9, 0.9),
        cell(CONTROL, "all", 0.5, 0.5, seed=9),
    ]
    found = verdict(*cells)
    assert found.labels_needed == 20
    assert found.beats_control_with == 5
    assert "20 labels per class" in found.answer


def test_without_a_control_the_transfer_is_undecided():
    found = verdict(cell("probe", "all", 0.9, 0.9))
    assert (found.outcome, found.control, found.effect) == ("undecided", None, None)
    assert "control" not in found.answer


def test_every_cell_but_the_control_is_tested_and_adjusted_within_its_budget():
    cells = [cell(s, b, 0.7, seed=i) for b in (5, "all") for i, s in enumerate(("knn", "probe", CONTROL))]
    records = compare_to_control(cells, UNITS)
    assert [(r["strategy"], r["budget"]) for r in records] == [
        ("knn", 5),
        ("probe", 5),
        ("knn", "all"),
        ("probe", "all"),
    ]
    assert all(r["p_adjusted"] >= r["p_value"] for r in records)


def test_the_summary_has_every_metric_with_an_interval():
    records = summarise([cell("probe", "all", 0.9)], UNITS)
    assert [r["metric"] for r in records] == ["accuracy", "balanced_accuracy", "log_loss", "ece"]
    assert all(r["low"] <= r["value"] <= r["high"] for r in records)
