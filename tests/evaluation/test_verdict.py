"""From made-up cells to an answer: every outcome, what it hangs on, and up to which budget."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.evaluation.made import Named, World, held
from tlengine.data.resamples import make_resamples
from tlengine.documents import plain
from tlengine.evaluation.choice import choose
from tlengine.evaluation.sentences import FIRST, SELECTED
from tlengine.evaluation.setup import Chosen
from tlengine.evaluation.verdict import Verdict, judge
from tlengine.statistics import estimate
from tlengine.statistics.metrics import ACCURACY

SPOKEN = {"probe": "a linear probe", "raw": "a probe on raw samples"}


def verdict(world, budgets=("all",)):
    return judge(world.cells, budgets, world.plan.units, SPOKEN)[0]


def test_above_every_control_is_positive():
    world = World.of()
    world.add("probe", 0.9, 0.9)
    world.control("raw", 0.6, 0.6, luck=1)
    world.control("stats", 0.7, 0.7, luck=2)
    found = verdict(world)
    assert (found.outcome, found.backbone, found.strategy, found.role) == (
        "positive",
        "net",
        "probe",
        "strategy",
    )
    assert (found.control, found.effect) == ("stats", pytest.approx(0.2, abs=0.05))
    assert [c["control"] for c in found.controls] == ["raw", "stats"]
    assert 0 < found.low < found.effect < found.high
    assert found.p_value == found.p_adjusted < 0.01, "a gain has to be shown against each"
    assert found.transfer == {"backbone": "net", "strategy": "probe"}
    assert found.selected_on == SELECTED
    assert found.settled_by is None
    assert found.helps_up_to == "all"


def test_one_control_that_is_not_beaten_is_enough_not_to_be_positive():
    world = World.of()
    world.add("probe", 0.9, 0.9)
    world.control("raw", 0.5, 0.5, luck=1)
    world.control("stats", 0.88, 0.88, luck=2)
    found = verdict(world)
    assert found.outcome == "undecided"
    assert found.control == "stats"
    assert found.low < 0 < found.high, "the control that is shown is the one that leaves it open"


def test_none_hangs_on_the_control_over_which_least_can_be_gained():
    """A tight 0.0 against one decides it, and no sentence says so of another that is beaten by far."""
    world = World.of()
    world.add("probe", 0.9, 0.9)
    world.control("raw", 0.6, 0.6, luck=1)
    world.control("stats", 0.9, 0.9)
    found = verdict(world)
    assert (found.outcome, found.control) == ("none", "stats")
    assert "makes no difference against stats" in found.answer
    assert "any difference" not in found.answer
    assert "over a probe on raw samples" in found.answer


def test_a_loss_to_any_control_is_negative_and_the_control_is_recommended():
    world = World.of()
    world.add("probe", 0.7, 0.7)
    world.control("raw", 0.5, 0.5, luck=1)
    world.control("stats", 0.9, 0.9, luck=2)
    found = verdict(world)
    assert (found.outcome, found.strategy, found.role) == ("negative", "stats", "control")
    assert found.transfer == {"backbone": "net", "strategy": "probe"}
    assert (found.control, found.effect) == ("stats", pytest.approx(-0.2, abs=0.07))
    assert found.high < 0
    assert found.answer.startswith("Use no pretrained network: stats reaches ")
    assert found.accuracy == pytest.approx(0.9, abs=0.03)
    assert found.helps_up_to is None


def test_the_same_predictions_make_no_difference():
    world = World.of(rows=3_000)
    world.add("probe", 0.9, 0.9)
    world.control("raw", 0.9, 0.9)
    found = verdict(world)
    assert (found.outcome, found.effect, found.p_value) == ("none", 0, 1)
    assert found.low < 0 < found.high
    assert 0 < found.margin < 0.02
    assert found.settled_by is None


def test_a_small_difference_on_few_rows_is_undecided_and_says_what_would_settle_it():
    world = World.of(rows=200)
    world.add("probe", 0.75, 0.8)
    world.control("raw", 0.72, 0.7, luck=1)
    found = verdict(world)
    assert found.outcome == "undecided"
    assert found.low < 0 < found.high
    assert found.margin > 0.02
    assert "test samples" in found.settled_by
    assert "would show a difference of" in found.settled_by
    assert found.settled_by in found.answer


def test_undecided_never_stands_beside_an_interval_that_leaves_out_nothing():
    """A loss at 3 % against one of four controls is none by Holm; its interval is Holm's, too."""
    for gap in np.arange(0.01, 0.12, 0.01):
        world = World.of(rows=300)
        world.add("probe", 0.80, 0.8)
        world.control("raw", 0.80 + gap, 0.8, luck=1)
        for luck, name in enumerate(("stats", "rcf", "other"), 2):
            world.control(name, 0.80, 0.8, luck=luck)
        found = verdict(world)
        for control in found.controls:
            if control["effect"] < 0:
                lost = control["p_adjusted"] < 0.05
                assert (control["high"] < 0) == lost
        if found.outcome in ("undecided", "none"):
            assert found.low < 0 < found.high
        if found.outcome == "negative":
            assert found.high < 0


def test_a_negative_outcome_names_a_control_that_it_lost_to():
    """A larger loss that is not sure does not hide the smaller one that is."""
    groups = np.arange(600) // 30
    world = World(make_resamples(np.arange(600) % 2, seeds=3, groups=groups))
    world.add("probe", 0.60, 0.6)
    world.control("sure", 0.70, 0.7)  # right wherever the probe is, and in every group a little more
    noisy = world.control("noisy", 0.60, 0.6)
    for (
        place,
        record,
    ) in noisy.records.items():  # it gains in seven groups, and loses in one
        test = world.plan.resample(*place).test
        eye, codes = np.eye(2), world.plan.codes[test]
        gained, lost = groups[test] < 7, groups[test] == 19
        record.scores[gained], record.scores[lost] = 3 * eye[codes[gained]], 3 * eye[1 - codes[lost]]
    found = verdict(world)
    effects = {c["control"]: c["effect"] for c in found.controls}
    assert effects["noisy"] < effects["sure"] < 0
    assert found.outcome == "negative"
    assert found.control == "sure"
    assert found.p_adjusted < 0.05
    assert found.high < 0


def test_without_a_control_the_transfer_is_undecided():
    world = World.of()
    world.add("probe", 0.9, 0.9)
    found = verdict(world)
    assert (found.outcome, found.control, found.effect, found.controls) == ("undecided", None, None, [])
    assert found.by_budget[0]["control"] is None
    assert "ransfer" not in found.answer


def test_where_no_strategy_is_left_a_control_is_used():
    world = World.of()
    world.control("raw", 0.9, 0.9)
    found = verdict(world)
    assert (found.role, found.transfer, found.outcome) == ("control", None, "undecided")
    assert found.answer.startswith("Use no pretrained network: a probe on raw samples")


def test_the_accuracy_is_that_of_the_way_of_choosing():
    """The kept strategy alone is at 95 %; the resamples in which another was picked count as well."""
    world = World.of(seeds=1)
    one, two = world.add("one", 0.95, 0.9), world.add("two", 0.55, 0.9, luck=1)
    two.__dict__["inner"] = {place: held(0.9 if place[1] > 2 else 0.1) for place in two.records}
    one.__dict__["inner"] = dict.fromkeys(one.records, held(0.5))
    found = verdict(world)
    assert [(p["strategy"], p["times"], p["of"]) for p in found.picked] == [("one", 3, 5), ("two", 2, 5)]
    assert found.accuracy == pytest.approx(0.6 * 0.95 + 0.4 * 0.55, abs=0.05)
    assert "picked in 3 of 5 resamples" in found.answer


def test_what_could_not_be_chosen_is_named():
    world = World.of()
    world.add("finetune", 0.9)
    world.add("probe", 0.8, 0.8, luck=1)
    assert verdict(world).judged_only == [{"backbone": "net", "strategy": "finetune"}]


def test_where_nothing_is_held_out_that_is_said():
    world = World.of()
    world.add("probe", 0.8, budget=1)
    found = verdict(world, [1])
    assert (found.selected_on, found.strategy) == (FIRST, "probe")


def budgets(outcomes, control=0.7):
    world = World.of(rows=600)
    for budget, right in outcomes.items():
        world.add("probe", right, right, budget=budget)
        world.control("raw", control, 0.5, budget=budget)
    return verdict(world, list(outcomes))


def test_transfer_helps_up_to_the_first_budget_that_is_not_positive():
    found = budgets({5: 0.9, 20: 0.85, 50: 0.7, "all": 0.9})
    assert [(b["budget"], b["outcome"]) for b in found.by_budget] == [
        (5, "positive"), (20, "positive"), (50, "none"), ("all", "positive"),
    ]  # fmt: skip
    assert found.helps_up_to == 20
    assert [b["labels"] for b in found.by_budget] == [10, 40, 100, 480]
    assert all(b["low"] < b["effect"] < b["high"] and b["chance"] == 0.5 for b in found.by_budget)


def test_transfer_that_helps_with_few_labels_and_hurts_with_many():
    found = budgets({5: 0.9, 20: 0.8, "all": 0.5})
    assert (found.outcome, found.helps_up_to) == ("negative", 20)
    assert "transfer helps up to 20 labels per class" in found.answer.lower()


def test_transfer_that_helps_at_no_budget():
    assert budgets({5: 0.7, "all": 0.9}).helps_up_to is None


def test_labels_needed_is_the_smallest_budget_within_a_point_of_the_end():
    world = World.of(rows=600)
    for budget, right in {5: 0.6, 20: 0.897, 50: 0.9, "all": 0.9}.items():
        world.add("probe", right, right, budget=budget)
    found = verdict(world, [5, 20, 50, "all"])
    assert found.labels_needed == 20
    assert "20 labels per class come within one point" in found.answer


def test_no_labels_are_needed_for_what_is_not_above_chance():
    world = World.of(rows=300)
    for budget in (5, "all"):
        world.add("probe", 0.5, 0.5, budget=budget)
    assert verdict(world, [5, "all"]).labels_needed is None


def test_labels_needed_looks_at_balanced_accuracy():
    """A majority vote at 90/10 is right in 90 %: no labels are needed for that, and none are claimed."""
    world = World(make_resamples(np.array([0] * 540 + [1] * 60), seeds=3))
    for budget in (5, "all"):
        cell = world.add("probe", 1.0, 1.0, budget=budget)
        for record in cell.records.values():
            record.scores[:] = [1.0, 0.0]
    found = verdict(world, [5, "all"])
    assert found.accuracy == pytest.approx(0.9)
    assert found.labels_needed is None
    assert [b["balanced_accuracy"] for b in found.by_budget] == [0.5, 0.5]


def test_a_split_of_the_users_is_one_draw():
    splits = np.array(["train"] * 300 + ["test"] * 300)
    world = World(make_resamples(np.arange(600) % 2, seeds=5, splits=splits))
    world.add("probe", 0.9, 0.9)
    world.control("raw", 0.6, 0.6, luck=1)
    found = verdict(world)
    assert found.scope == "for these training rows"
    assert (found.controls[0]["draws"], found.controls[0]["draw_sd"]) == (1, None)
    once = World(make_resamples(np.arange(600) % 2, seeds=1, splits=splits))
    once.add("probe", 0.9, 0.9)
    once.control("raw", 0.6, 0.6, luck=1)
    alone = verdict(once)
    assert (found.accuracy_low, found.p_value) == (alone.accuracy_low, alone.p_value)


def test_seeds_of_a_strategy_on_one_split_are_draws_but_no_other_rows():
    splits = np.array(["train"] * 300 + ["test"] * 300)
    world = World(make_resamples(np.arange(600) % 2, seeds=5, splits=splits), seeded=True)
    world.add("finetune", 0.9, 0.9)
    world.control("raw", 0.6, 0.6, luck=1)
    found = verdict(world)
    assert found.controls[0]["draws"] == 5
    assert found.scope == "for these training rows, fitted with 5 seeds"


def test_drawn_resamples_are_as_many_draws_as_seeds():
    world = World.of(seeds=4)
    world.add("probe", 0.9, 0.9)
    world.control("raw", 0.6, 0.6, luck=1)
    found = verdict(world)
    assert found.scope == "for training rows drawn like these 4 times"
    assert found.controls[0]["draws"] == 4


def test_a_test_part_of_one_unit_gives_no_interval_and_no_decision():
    splits = np.array(["train"] * 60 + ["test"] * 30)
    groups = np.array([f"patient {i}" for i in range(60)] + ["the tested one"] * 30)
    world = World(make_resamples(np.arange(90) % 2, seeds=5, splits=splits, groups=groups))
    world.add("probe", 1.0, 1.0)
    world.control("raw", 0.3, 0.5, luck=1)
    found = verdict(world)
    assert (found.accuracy_low, found.accuracy_high) == (None, None)
    assert found.accuracy_reason == "all test rows belong to one unit"
    assert found.outcome == "undecided"
    assert (found.low, found.high, found.p_value) == (None, None, 1.0)
    assert found.margin is None
    assert found.labels_needed is None
    assert "no interval: all test rows belong to one unit" in found.answer
    json.dumps(found.as_dict(), allow_nan=False)
    assert plain(found.as_dict()) == json.loads(json.dumps(found.as_dict())), "nothing was NaN"


def test_a_strategy_meets_the_controls_of_none_and_those_of_its_own_backbone():
    world = World.of()
    world.add("probe", 0.9, 0.9, view="one")
    world.add("probe", 0.6, 0.6, view="two", luck=1)
    world.control("raw", 0.5, 0.5, luck=2)
    world.control("random", 0.4, 0.4, view="one~random", backbone="one", luck=3)
    world.control("random", 0.95, 0.3, view="two~random", backbone="two", luck=4)
    found = verdict(world)
    assert found.backbone == "one"
    assert [(c["control"], c["control_backbone"]) for c in found.controls] == [
        ("raw", "raw"),
        ("random", "one~random"),
    ]
    assert found.outcome == "positive", "the random network of the other backbone is none of its controls"


def test_where_two_backbones_are_picked_their_random_networks_are_both_met():
    world = World.of(seeds=1)
    one = world.add("probe", 0.9, 0.9, view="one")
    two = world.add("probe", 0.9, 0.9, view="two", luck=1)
    for cell, folds in ((one, (0, 1, 2)), (two, (3, 4))):
        cell.__dict__["inner"] = {p: held(0.9 if p[1] in folds else 0.5) for p in cell.records}
    world.control("random", 0.4, 0.4, view="one~random", backbone="one", luck=3)
    world.control("random", 0.4, 0.4, view="two~random", backbone="two", luck=4)
    found = verdict(world)
    assert {c["control_backbone"] for c in found.controls} == {"one~random", "two~random"}
    assert "beats the control random:" in found.answer, "both are called the same"


def test_a_budget_at_which_everything_failed_is_left_out():
    world = World.of()
    world.add("probe", 0.9, 0.9, budget=5)
    world.control("raw", 0.5, 0.5, budget=5, luck=1)
    found = verdict(world, [5, "all"])
    assert found.budget == 5
    assert [b["budget"] for b in found.by_budget] == [5]


def missing_control(outcome: float) -> Verdict:
    """A run whose control `stats` has no result."""
    world = World.of(rows=600)
    cell = world.add("probe", outcome, outcome)
    world.control("raw", 0.7, 0.7, luck=1)
    gone = Chosen(name="stats", strategy=Named(), role="control", view="stats")  # type: ignore[arg-type]
    cell.setup.strategies["stats"] = gone  # type: ignore[index]
    return verdict(world)


@pytest.mark.parametrize(("right", "outcome"), [(0.95, "undecided"), (0.7, "undecided"), (0.4, "negative")])
def test_a_control_without_a_result_makes_no_gain(right: float, outcome: str):
    """Who beats all that are left may lose to the one that is missing; who loses has lost."""
    found = missing_control(right)
    assert (found.outcome, found.missing) == (outcome, ["stats"])
    assert [b["outcome"] for b in found.by_budget] == [outcome]
    assert found.helps_up_to is None


def on_two_backbones(picked: tuple[str, ...], *, fails: str, control: float = 0.5) -> Verdict:
    """A run whose control `scratch` has no result on one backbone; each fold picks the one that is named."""
    world = World.of(rows=600, seeds=1)
    for luck, view in enumerate(("one", "two")):
        cell = world.add("probe", 0.95, 0.9, view=view, luck=luck)
        cell.__dict__["inner"] = {p: held(0.9 if view == picked[p[1]] else 0.5) for p in cell.records}
        cell.setup.strategies["scratch"] = Chosen(name="scratch", strategy=Named(), role="control")  # type: ignore[index,arg-type]
        if view != fails:
            world.add("scratch", control, view=view, role="control", luck=2 + luck)
    return verdict(world)


@pytest.mark.parametrize(("times", "outcome"), [(5, "undecided"), (1, "undecided"), (0, "positive")])
def test_a_control_that_failed_on_a_backbone_that_is_picked_is_missing(times: int, outcome: str):
    """Its result on another one says nothing of what is picked there; where none is picked, none is asked."""
    picked = tuple("two" if fold < times else "one" for fold in range(5))
    found = on_two_backbones(picked, fails="two")
    assert found.outcome == outcome
    assert found.missing == (["scratch on two"] if times else [])
    assert [b["outcome"] for b in found.by_budget] == [outcome]
    if times:
        assert "is open, for the control scratch on two has no result" in found.answer
        assert found.settled_by == (None if times == 5 else "a result of scratch on two")
        assert (found.margin, found.helps_up_to) == (None, None)


def test_a_loss_to_a_control_of_one_backbone_needs_none_of_the_other():
    found = on_two_backbones(("one", "one", "one", "two", "two"), fails="two", control=1.0)
    assert (found.outcome, found.missing) == ("negative", ["scratch on two"])


def test_a_control_of_several_networks_is_missing_where_one_of_them_is():
    world = World.of(rows=600)
    cell = world.add("probe", 0.95, 0.95, view="one")
    random = Chosen(name="random", strategy=Named(), role="control", view="random", networks=2)  # type: ignore[arg-type]
    cell.setup.strategies["random"] = random  # type: ignore[index]
    world.control("random", 0.5, 0.5, view="one~random", backbone="one", luck=1)
    assert verdict(world).missing == ["random on one"]
    world.control("random", 0.5, 0.5, view="one~random2", backbone="one", luck=2)
    assert verdict(world).missing == ["random on one"], "that is a third network"
    world.control("random", 0.5, 0.5, view="one~random1", backbone="one", luck=3)
    assert (verdict(world).missing, verdict(world).outcome) == ([], "positive")


def test_chance_is_that_of_the_classes_tested():
    """Three classes are learnt and two tested: who always says one of them has a balanced accuracy of 1/2."""
    y = np.concatenate([np.arange(300) % 3, np.arange(300) % 2])
    splits = np.array(["train"] * 300 + ["test"] * 300)
    world = World(make_resamples(y, seeds=1, splits=splits))
    cell = world.add("probe", 1.0, 1.0)
    for record in cell.records.values():
        record.scores[:] = [1.0, 0.0, 0.0]
    found = verdict(world)
    assert found.by_budget[0]["chance"] == 0.5
    assert found.by_budget[0]["balanced_accuracy"] == 0.5
    assert found.labels_needed is None


@pytest.mark.parametrize(
    ("rows", "other", "longer"), [(400, 0.9, True), (400, 0.6, False), (1200, 0.9, False)]
)
def test_the_interval_of_a_contested_choice_over_folds_is_longer(rows: int, other: float, longer: bool):
    """Rows that favour a strategy in one fold are test rows of the others."""
    world = World.of(rows=rows)
    world.add("probe", 0.9, 0.9)
    world.add("knn", other, other, luck=1)
    found = verdict(world)
    alone = estimate(ACCURACY, choose(world.cells).draws, world.plan.units)
    assert choose(world.cells).contested is (other == 0.9)
    assert found.accuracy == alone.value
    ratio = (found.accuracy_high - found.accuracy_low) / (alone.high - alone.low)
    assert ratio == pytest.approx(1.3 if longer else 1.0)


def under_trained(world, control):
    """Says of one of a control's fits that its training loss was still falling."""
    cell = next(cell for cell in world.cells if cell.strategy == control)
    place = next(iter(cell.records))
    cell.records[place] = replace(cell.records[place], facts={"under_trained": True})


def test_a_gain_over_what_was_not_trained_to_the_end_is_no_claim_and_the_others_decide():
    world = World.of()
    world.add("probe", 0.9, 0.9)
    world.control("raw", 0.6, 0.6, luck=1)
    world.control("scratch", 0.7, 0.7, luck=2, view="net", backbone="net")
    under_trained(world, "scratch")
    found = verdict(world)
    assert (found.outcome, found.control, found.under_trained) == ("positive", "raw", ["scratch"])
    assert "beats the control trained to the end, raw: by" in found.answer
    assert found.answer.rstrip(".").endswith("; scratch was not")
    assert [c["under_trained"] for c in found.controls] == [False, True]
    assert found.by_budget[0]["outcome"] == "positive"
    assert found.by_budget[0]["under_trained"] == ["scratch"]


def test_with_no_other_control_a_gain_over_it_is_refused():
    world = World.of()
    world.add("probe", 0.9, 0.9)
    world.control("scratch", 0.5, 0.5, luck=2, view="net", backbone="net")
    assert verdict(world).outcome == "positive", "trained to the end, it counts"
    under_trained(world, "scratch")
    found = verdict(world)
    assert (found.outcome, found.helps_up_to, found.margin) == ("undecided", None, None)
    assert found.settled_by == "scratch trained for longer"
    assert "the control scratch was not trained to the end: +" in found.answer


def test_a_loss_to_what_was_not_trained_to_the_end_is_negative_all_the_same():
    """It would win by more."""
    world = World.of()
    world.add("probe", 0.7, 0.7)
    world.control("raw", 0.5, 0.5, luck=1)
    world.control("scratch", 0.9, 0.9, luck=2, view="net", backbone="net")
    under_trained(world, "scratch")
    found = verdict(world)
    assert (found.outcome, found.control, found.under_trained) == ("negative", "scratch", [])


def test_a_tie_with_what_was_not_trained_to_the_end_leaves_it_open():
    """It might yet win: it is set aside where it is beaten, and there alone."""
    world = World.of()
    world.add("probe", 0.9, 0.9)
    world.control("raw", 0.6, 0.6, luck=1)
    world.control("scratch", 0.9, 0.9, luck=2, view="net", backbone="net")
    under_trained(world, "scratch")
    found = verdict(world)
    assert (found.outcome, found.control, found.under_trained) == ("undecided", "scratch", [])


def test_another_control_that_is_not_beaten_still_leaves_it_open():
    world = World.of()
    world.add("probe", 0.9, 0.9)
    world.control("stats", 0.88, 0.88, luck=2)
    world.control("scratch", 0.5, 0.5, luck=1, view="net", backbone="net")
    under_trained(world, "scratch")
    found = verdict(world)
    assert (found.outcome, found.control) == ("undecided", "stats")


def test_what_was_cut_is_a_note_of_the_verdict():
    world = World.of()
    world.add("probe", 0.9, 0.9)
    found = judge(world.cells, ["all"], world.plan.units, SPOKEN, ["Time was over"])[0]
    assert (found.notes, found.answer.endswith(". Time was over.")) == (["Time was over"], True)
