"""What to do next: each rule speaks where its numbers show it, and is silent where they do not."""

from dataclasses import replace

import pytest

from tests.evaluation.made import World
from tlengine.evaluation.advice import advise
from tlengine.evaluation.setup import Chosen

WHOLE = {"steps": 1.0, "without_inner_folds": [], "whole_seconds": None}
VERDICT = {"outcome": "positive", "backbone": "net", "strategy": "probe", "budget": "all", "settled_by": None}


def advice(world, *, time=WHOLE, costs=(), **verdict):
    return advise(world.cells, VERDICT | verdict, costs, time, world.plan.units)


def add_network(world, name, right, facts=None, settings=None, **options):
    """A cell of a strategy that reads contents, whose fits told facts."""

    class Network:
        reads, seeded = "contents", False

        def settings(self):
            return settings or {}

    cell = world.add(name, right, **options)
    chosen = Chosen(name=name, strategy=Network(), role=cell.role)
    setup = replace(cell.setup, strategies={name: chosen})
    records = {place: replace(record, facts=facts or {}) for place, record in cell.records.items()}
    world.cells[-1] = replace(cell, setup=setup, records=records)


def cost(strategy, seconds, embedding=None):
    named = {"backbone": "net", "strategy": strategy, "role": "strategy", "budget": "all"}
    return {**named, "seconds": seconds, "embedding_seconds": embedding}


COSTS = [cost("probe", 0.5, 1.5), cost("finetune", 82.0)]


def test_what_fine_tuning_gains_and_for_what():
    world = World.of()
    world.add("probe", 0.7, 0.7)
    add_network(world, "finetune", 0.9, held=0.9, luck=1)
    (found,) = advice(world, costs=COSTS)
    assert found["kind"] == "fine-tuning"
    assert found["effect"] == pytest.approx(0.2, abs=0.06)
    assert 0 < found["low"] < found["effect"] < found["high"]
    assert found["times"] == 41
    points = f"{100 * found['effect']:+.1f} points ({100 * found['low']:+.1f} to {100 * found['high']:+.1f})"
    assert found["text"] == (
        f"Fine-tuning gains: finetune over probe on frozen features, {points} with all labels, "
        "for 41 times the time of a fit."
    )


def test_the_networks_are_chosen_without_a_look_at_the_test():
    world = World.of()
    world.add("probe", 0.7, 0.7)
    add_network(world, "lp-ft", 0.4, held=0.95, luck=1)
    add_network(world, "finetune", 0.9, held=0.7, luck=2)
    (found,) = advice(world)
    assert (found["trained"], found["frozen"], found["times"]) == ("lp-ft", "probe", None)
    assert found["text"].startswith("Fine-tuning loses: lp-ft over probe")
    assert found["text"].endswith("with all labels; keep the frozen features.")


def test_no_gain_shown_is_said_with_the_price():
    world = World.of()
    world.add("probe", 0.8, 0.8)
    add_network(world, "finetune", 0.8, held=0.8, luck=1)
    (found,) = advice(world, costs=COSTS)
    assert found["text"].startswith("Fine-tuning is not shown to gain: finetune over probe")
    assert found["text"].endswith("41 times the time of a fit; the frozen features are the cheaper way.")


def test_controls_are_no_fine_tuning():
    world = World.of()
    world.add("probe", 0.8, 0.8)
    add_network(world, "scratch", 0.5, role="control")
    assert advice(world) == []


def curve(few, many):
    world = World.of(rows=2000, seeds=5)
    world.add("probe", few, few, budget=50)
    world.add("probe", many, many, budget="all")
    return world


def test_a_curve_that_rises_asks_for_labels():
    (found,) = advice(curve(0.6, 0.8))
    assert found["kind"] == "labels"
    assert found["text"].startswith("Label more: from 100 to 1,600 labels probe gained +19.7 points (+17.5")
    doublings = 4
    assert found["each_doubling"] == pytest.approx(found["effect"] / doublings, abs=1e-4)


def test_a_curve_that_is_flat_says_so():
    (found,) = advice(curve(0.8, 0.8))
    assert found["text"].startswith("More labels of the same kind will hardly help: from 100 to 1,600")


def test_a_curve_of_which_neither_is_shown_is_silent():
    world = World.of(rows=120)
    world.add("probe", 0.7, 0.7, budget=5)
    world.add("probe", 0.74, 0.74, budget="all", luck=1)
    assert advice(world) == []


def test_who_would_have_learnt_on_is_told_with_what_doubles_it():
    world = World.of()
    under = {"under_trained": True}
    add_network(world, "scratch", 0.5, under, {"stretch": 3.0}, role="control")
    add_network(world, "mine", 0.5, under, role="control")
    add_network(world, "done", 0.5, {"under_trained": False}, role="control")
    add_network(world, "odd", 0.5, {"under_trained": "yes"}, role="control")
    n = len(world.cells[0].records)
    assert [one["text"] for one in advice(world)] == [
        f"Train scratch for longer: in {n} of {n} fits the loss of scratch was still falling: "
        "--set scratch.stretch=6 doubles its steps.",
        f"Train mine for longer: in {n} of {n} fits the loss of mine was still falling.",
    ]


def test_what_settles_it_comes_first():
    world = World.of()
    add_network(world, "scratch", 0.5, {"under_trained": True}, role="control")
    settle = "12 seeds would show a difference of 3.0 points"
    found = advice(world, outcome="undecided", settled_by=settle)
    assert [one["kind"] for one in found] == ["undecided", "under-trained"]
    assert found[0]["text"] == f"To decide whether transfer helps: {settle}."
    assert advice(World.of(), outcome="undecided", settled_by=None) == []


def test_what_time_cut_is_told_with_the_minutes():
    time = {"steps": 0.4, "without_inner_folds": ["lp-ft", "finetune"], "whole_seconds": 61.0}
    (found,) = advice(World.of(), time=time)
    assert found["minutes"] == 2
    assert found["text"] == (
        "Give it more time: only 40 % of the steps were made and lp-ft, finetune could not be chosen; "
        "all of it takes about 2 min."
    )
    assert advice(World.of(), time=WHOLE | {"whole_seconds": 61.0}) == []
