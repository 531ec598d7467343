"""The recommendation comes from the training parts: no label of a test row has a say in it."""

from dataclasses import replace

import numpy as np
import pytest

from tests.evaluation.made import World, fitted, held, setup_of
from tlengine.data import load_dataset
from tlengine.data.resamples import make_resamples
from tlengine.evaluation import compare
from tlengine.evaluation.choice import choose


def test_held_out_rows_choose_and_the_test_does_not():
    world = World.of()
    world.add("lucky", 0.95, 0.70)
    world.add("honest", 0.60, 0.90, luck=1)
    found = choose(world.cells)
    assert {cell.strategy for cell in found.picks.values()} == {"honest"}
    assert found.looked
    assert found.counts[0][1] == len(found.picks) == 15


def test_within_a_standard_error_the_better_probabilities_win():
    """Of 320 rows held out, 1.4 points are no difference; the one that is unsure of its mistakes wins."""
    world = World.of()
    world.add("sure", 0.9, 0.90)
    world.add("able", 0.9, 0.89, luck=1)
    assert choose(world.cells).kept.strategy == "sure", "calibration makes equals of them: more right wins"
    world.add("clear", 0.9, 0.80, luck=2)
    clear = world.cells[-1]
    # A better log-loss does not make up for eleven points.
    clear.__dict__["inner"] = dict.fromkeys(clear.records, held(0.8, 0.01))
    assert choose(world.cells).kept.strategy == "sure"
    clear.__dict__["inner"] = dict.fromkeys(clear.records, held(0.89, 0.01))
    assert choose(world.cells).kept.strategy == "clear"


def test_each_resample_picks_for_itself_and_the_most_frequent_is_kept():
    world = World.of(seeds=1)
    one, two = world.add("one", 0.9, 0.9), world.add("two", 0.8, 0.8)
    one.__dict__["inner"] = {place: held(0.9 if place[1] < 2 else 0.1) for place in one.records}
    found = choose(world.cells)
    assert [(cell.strategy, times) for cell, times in found.counts] == [("two", 3), ("one", 2)]
    assert found.kept is two
    (draw,) = found.draws
    expected = np.concatenate([(one if f < 2 else two).outcome((0, f)).correct for f in range(5)])
    assert draw.correct.tolist() == expected.tolist(), "its own pooled outcomes are what is reported"


def test_what_has_no_held_out_scores_is_judged_and_not_chosen():
    world = World.of()
    tuned = world.add("finetune", 0.99)
    world.add("probe", 0.7, 0.7, luck=1)
    found = choose(world.cells)
    assert found.kept.strategy == "probe"
    assert found.judged_only == (tuned,)


def test_one_resample_without_held_out_scores_is_enough_not_to_be_chosen():
    world = World.of()
    partly = world.add("partly", 0.99, 0.99)
    partly.records[2, 4] = replace(partly.records[2, 4], held=None)
    world.add("probe", 0.7, 0.7, luck=1)
    found = choose(world.cells)
    assert {cell.strategy for cell in found.picks.values()} == {"probe"}
    assert found.judged_only == (partly,)


def test_where_nothing_is_held_out_the_first_is_taken_and_that_is_said():
    world = World.of()
    first, second = world.add("probe", 0.7), world.add("knn", 0.9, luck=1)
    found = choose(world.cells)
    assert set(found.picks.values()) == {first}
    assert found.judged_only == (second,)
    assert not found.looked


def test_where_controls_alone_hold_rows_out_none_of_them_is_recommended():
    """That nobody could choose among the strategies says nothing for using none."""
    world = World.of()
    world.control("raw", 0.6, 0.9, luck=1)
    network = world.add("finetune", 0.9)
    found = choose(world.cells)
    assert set(found.picks.values()) == {network}
    assert not found.looked
    assert [cell.strategy for cell in found.judged_only] == []


def test_a_control_can_be_chosen():
    world = World.of()
    world.add("probe", 0.9, 0.6)
    world.control("raw", 0.6, 0.9, luck=1)
    assert choose(world.cells).kept.role == "control"


def seen(setup):
    """What the choice of every resample saw, and what it took."""
    cells = fitted(setup, ["all"])
    found = choose(cells)
    picks = {place: cell.strategy for place, cell in found.picks.items()}
    return {cell.strategy: cell.inner for cell in cells}, picks


def test_labels_of_test_rows_change_nothing_in_their_resample():
    """Other labels for the test rows of one fold: its choice sees the same numbers, to the last bit."""
    rng = np.random.default_rng(0)
    y = np.arange(120) % 3
    X = rng.normal(size=(120, 6)) + 1.2 * np.eye(6)[y]
    plan = make_resamples(y, seeds=1)
    names = ["probe", "ridge", "knn", "centroid"]
    setup = setup_of(X, plan, names, {"raw": rng.normal(size=(120, 4))})
    inner, picks = seen(setup)
    assert len(set(picks.values())) > 1 or len(picks) == 5
    moved = 0
    for fold in (0, 3):
        test = plan.resample(0, fold).test
        codes = plan.codes.copy()
        codes[test] = (codes[test] + 1 + rng.integers(0, 2, len(test))) % 3
        other = setup_of(X, replace(plan, codes=codes), names, {"raw": setup.views["raw"].X})
        again, repicked = seen(other)
        for name, each in inner.items():
            assert again[name][0, fold] == each[0, fold]
            moved += again[name][0, 1] != each[0, 1]
        assert repicked[0, fold] == picks[0, fold]
    assert moved == 2 * len(inner), "the labels do count where those rows train"


@pytest.fixture(scope="module")
def runs(digits):
    """A split of the user's, with the labels of its test rows as they are, and permuted."""
    X, y = digits
    splits = np.array(["train"] * 150 + ["select"] * 50 + ["test"] * 200)
    found = []
    for seed in (None, 1):
        labels = y.copy()
        if seed is not None:
            labels[200:] = np.random.default_rng(seed).permutation(labels[200:])
        data = replace(load_dataset((X, labels)), splits=splits)
        controls = {"raw": X[:, :20]}
        found.append(compare(data, controls=controls, budgets=[5, "all"], seeds=2, progress=False))
    return found


def test_permuted_test_labels_change_neither_picks_nor_recommendation(runs):
    honest, permuted = runs
    assert honest.verdict.accuracy > 0.85
    assert permuted.verdict.accuracy < 0.4
    assert permuted.verdict.picked == honest.verdict.picked
    assert (permuted.verdict.backbone, permuted.verdict.strategy) == (
        honest.verdict.backbone,
        honest.verdict.strategy,
    )
    for one, other in zip(honest.verdict.by_budget, permuted.verdict.by_budget, strict=True):
        assert (one["backbone"], one["strategy"]) == (other["backbone"], other["strategy"])
    assert [fit["chosen"] for fit in permuted.document["fits"]] == [
        fit["chosen"] for fit in honest.document["fits"]
    ]
    assert [fit["key"] for fit in permuted.document["fits"]] == [
        fit["key"] for fit in honest.document["fits"]
    ]


def test_the_way_to_refit_is_settled_before_the_test(runs):
    """The refit has all labels, those of the test too; what is refitted does not depend on them."""
    assert runs[0].model.metadata["strategy"] == runs[1].model.metadata["strategy"]
    assert type(runs[0].model.estimator) is type(runs[1].model.estimator)
