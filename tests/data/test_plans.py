import pickle
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlengine.data.resamples import make_resamples
from tlengine.errors import InputError
from tlengine.plugins.contracts import Task


def task(budget="all", seed=0, fold=0, part="fit", strategy="probe"):
    return Task(view="net", strategy=strategy, budget=budget, seed=seed, fold=fold, part=part)


@st.composite
def plans(draw):
    """A plan of 3 classes, some rows in groups, by any kind of resample."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    n = draw(st.integers(60, 150))
    y = rng.choice(["a", "b", "c"], n, p=[0.5, 0.3, 0.2])
    groups = rng.integers(0, n // 2, n) if draw(st.booleans()) else None
    splits = rng.choice(["train", "select", "test"], n, p=[0.6, 0.2, 0.2]) if draw(st.booleans()) else None
    kind = draw(st.sampled_from([None, "holdout", "folds"]))
    return make_resamples(y, seeds=2, groups=groups, splits=splits, kind=kind)


@settings(max_examples=60, deadline=None)
@given(plans(), st.sampled_from([1, 3, 7, "all"]))
def test_roles_are_disjoint_and_the_inner_folds_are_of_what_is_trained_on(plan, budget):
    for resample in plan.resamples:
        roles = plan.roles(task(budget, resample.seed, resample.fold))
        assert set(roles.train) <= set(resample.train)
        assert np.array_equal(roles.test, resample.test)
        assert not set(roles.labelled) & set(roles.test)
        for fit, held in roles.inner:
            assert set(fit) <= set(roles.train)
            assert not set(fit) & set(held)
            assert set(plan.codes[fit]) == set(plan.codes[roles.train])
            if plan.kind != "given":
                assert not set(plan.units[fit]) & set(plan.units[held])
                assert set(held) <= set(roles.train)
        assert plan.labels(task(budget, resample.seed, resample.fold)) == len(roles.labelled)
        assert plan.codes[roles.labelled].min() >= 0


@settings(max_examples=40, deadline=None)
@given(plans())
def test_budgets_are_nested_and_equal_per_class(plan):
    for resample in plan.resamples:
        fits = [plan.roles(task(b, resample.seed, resample.fold)).train for b in (1, 3, 7, "all")]
        for smaller, larger in pairwise(fits):
            assert set(smaller) <= set(larger)
        there = np.bincount(plan.codes[resample.train])
        for budget, rows in zip((1, 3, 7), fits, strict=False):
            assert np.bincount(plan.codes[rows]).tolist() == np.minimum(there, budget).tolist()


@settings(max_examples=40, deadline=None)
@given(plans(), st.sampled_from([3, "all"]))
def test_an_inner_part_trains_on_one_inner_fold_and_is_tested_on_what_it_held_out(plan, budget):
    whole = plan.roles(task(budget))
    for number, (fit, held) in enumerate(whole.inner):
        part = plan.roles(task(budget, part=f"inner:{number}"))
        assert np.array_equal(part.train, fit)
        assert np.array_equal(part.test, held)
        assert part.select is None
        assert plan.labels(task(budget, part=f"inner:{number}")) == len(fit)
        assert all(set(inner) <= set(fit) for inner, _ in part.inner)


def test_select_is_left_alone_below_all_and_counts_at_all():
    y = np.array(["a", "b"] * 20)
    splits = np.array(["train"] * 20 + ["select"] * 10 + ["test"] * 10)
    plan = make_resamples(y, splits=splits, seeds=2)
    small = plan.roles(task(3))
    assert (small.select, len(small.inner), plan.labels(task(3))) == (None, 3, 6)
    assert set(np.concatenate([held for _, held in small.inner])) == set(small.train)
    whole = plan.roles(task("all"))
    assert plan.labels(task("all")) == 30
    ((fit, held),) = whole.inner
    assert np.array_equal(fit, whole.train)
    assert held.tolist() == whole.select.tolist() == list(range(20, 30))


def test_a_given_split_is_one_draw_at_all_and_one_for_each_seed_below():
    y = np.array(["a", "b"] * 50)
    splits = np.array(["train"] * 80 + ["test"] * 20)
    plan = make_resamples(y, splits=splits, seeds=3)
    assert plan.distinct("all") == [(0, 0)]
    assert plan.distinct(5) == [(0, 0), (1, 0), (2, 0)]
    first, other = (plan.roles(task("all", seed)) for seed in (0, 1))
    for (fit, held), (same_fit, same_held) in zip(first.inner, other.inner, strict=True):
        assert np.array_equal(fit, same_fit)
        assert np.array_equal(held, same_held)


def test_the_refit_trains_on_every_row_of_a_class_that_takes_part():
    y = np.array(["a"] * 30 + ["b"] * 30 + ["c"])
    plan = make_resamples(y)
    roles = plan.roles(task(5, part="refit"))
    assert roles.train.tolist() == list(range(60))
    assert not len(roles.test)
    assert np.array_equal(np.sort(roles.held), roles.train)


def test_class_numbers_have_no_gaps_and_leave_out_the_excluded():
    y = np.array(["a"] * 30 + ["b"] + ["c"] * 30 + ["d"] * 30)
    plan = make_resamples(y)
    assert plan.classes.tolist() == ["a", "c", "d"]
    assert plan.codes.tolist() == [0] * 30 + [-1] + [1] * 30 + [2] * 30
    assert plan.shares(np.arange(31, 91)).tolist() == [0, 0.5, 0.5]


def test_the_number_of_inner_folds_is_the_plans():
    plan = make_resamples(np.arange(90) % 3, inner_folds=3)
    assert len(plan.roles(task("all")).inner) == 3
    with pytest.raises(InputError, match="1 inner folds"):
        make_resamples(np.arange(90) % 3, inner_folds=1)


def test_a_plan_that_was_pickled_gives_the_same_roles():
    plan = make_resamples(np.arange(90) % 3, seeds=1, groups=np.arange(90) // 4)
    plan.roles(task(5))
    again = pickle.loads(pickle.dumps(plan))  # noqa: S301 - our own
    for part in ("fit", "inner:1", "refit"):
        one, other = (p.roles(task(5, fold=2, part=part)) for p in (plan, again))
        assert np.array_equal(one.train, other.train)
        assert np.array_equal(one.test, other.test)
        assert np.array_equal(one.held, other.held)


def test_tasks_go_out_seed_by_seed_and_budget_by_budget():
    plan = make_resamples(np.arange(90) % 3, seeds=2)
    found = list(plan.tasks({"net": ["probe", "knn"], "raw": ["raw"]}, [5, "all"]))
    assert len(found) == 2 * 5 * 2 * 3
    assert [(t.view, t.strategy) for t in found[:3]] == [("net", "probe"), ("net", "knn"), ("raw", "raw")]
    places = [(t.seed, t.budget, t.fold) for t in found]
    assert places == [(s, b, f) for s in (0, 1) for b in (5, "all") for f in range(5) for _ in range(3)]


@settings(max_examples=20, deadline=None)
@given(plans(), st.sampled_from([3, "all"]), st.integers(2, 4))
def test_inner_folds_of_another_number_hold_out_the_same_rows_once(plan, budget, folds):
    """So that what they show is of the same rows as the folds that hyper-parameters are chosen by."""
    whole = plan.roles(task(budget))
    parts = plan.inner_parts(task(budget), folds)
    assert len(parts) <= folds
    roles = [plan.roles(task(budget, part=part)) for part in parts]
    held = np.concatenate([r.test for r in roles]) if roles else np.zeros(0)
    assert len(np.unique(held)) == len(held)
    assert set(held) <= set(whole.train if whole.select is None else whole.select)
    assert len(held) or not len(whole.held)
    for r in roles:
        assert set(r.train) == set(whole.train) - set(r.test)
        assert whole.select is not None or set(plan.units[r.train]).isdisjoint(plan.units[r.test])


def test_equal_rows_have_equal_inner_folds_of_any_number():
    y, splits = np.arange(100) % 2, np.array(["train"] * 80 + ["test"] * 20)
    plan = make_resamples(y, splits=splits, seeds=2)
    assert plan.inner_parts(task("all"), 3) == ("inner:0/3", "inner:1/3", "inner:2/3")
    for part in plan.inner_parts(task("all"), 3):
        one, two = (plan.roles(task("all", seed, part=part)) for seed in (0, 1))
        assert np.array_equal(one.test, two.test)
    three = [len(plan.roles(task("all", part=f"inner:{i}/3")).test) for i in range(3)]
    assert (sum(three), min(three) >= 24) == (80, True)
    assert len(plan.roles(task("all", part="inner:0")).test) == 16, "without a number, as the plan has it"


def test_select_rows_are_the_one_inner_part_at_all():
    splits = np.array(["train"] * 20 + ["select"] * 10 + ["test"] * 10)
    plan = make_resamples(np.arange(40) % 2, splits=splits)
    assert plan.inner_parts(task("all"), 3) == ("inner:0/3",)
    roles = plan.roles(task("all", part="inner:0/3"))
    assert (roles.train.tolist(), roles.test.tolist()) == (list(range(20)), list(range(20, 30)))
    with pytest.raises(InputError, match="no part 'inner:1/3'"):
        plan.roles(task("all", part="inner:1/3"))


def test_inner_folds_are_tasks_after_the_fits_of_the_largest_budget():
    """The first fold of all strategies before the second of any, seed by seed."""
    plan = make_resamples(np.arange(90) % 3, seeds=2, kind="holdout")
    pairs = {"net": ["probe", "tune", "lora"], "raw": ["raw"]}
    found = list(plan.tasks(pairs, [5, "all"], {"tune": 2, "lora": 3}))
    assert len(found) == 2 * (2 * 4 + 5)
    told = [(t.strategy, t.budget, t.part) for t in found[8:13]]
    assert told == [
        ("tune", "all", "inner:0/2"), ("lora", "all", "inner:0/3"), ("tune", "all", "inner:1/2"),
        ("lora", "all", "inner:1/3"), ("lora", "all", "inner:2/3"),
    ]  # fmt: skip
    assert all(t.part == "fit" for t in found[:8])
    assert [t.seed for t in found] == [0] * 13 + [1] * 13


@pytest.mark.parametrize("wrong", [{"seed": 5}, {"fold": 7}])
def test_a_resample_that_is_not_there_is_an_error(wrong):
    with pytest.raises(InputError, match="no resample of seed"):
        make_resamples(np.arange(90) % 3).roles(task(**wrong))


@pytest.mark.parametrize(
    "part",
    ["inner:5", "inner:", "inner:-1", "outer:0", "fit:0", "inner:3/3", "inner:0/1", "inner:0/", "inner:0/x"],
)
def test_a_part_that_is_not_there_is_an_error(part):
    with pytest.raises(InputError, match="no part"):
        make_resamples(np.arange(90) % 3).roles(task(part=part))


def test_a_seed_that_repeats_some_folds_stays_whole():
    """Six equal groups in five folds: four folds of one group are the same in many seeds. A seed of which the
    new fold alone counted would test the groups of that fold more often than the others."""
    y = np.arange(120) % 2
    plan = make_resamples(y, seeds=5, groups=np.arange(120) // 20)
    found = plan.distinct("all")
    seeds = {seed for seed, _ in found}
    assert len(found) == 5 * len(seeds)
    tested = np.bincount(np.concatenate([plan.resample(*place).test for place in found]), minlength=120)
    assert (tested == len(seeds)).all()
    pairs = [{r.test.tobytes() for r in plan.resamples if r.seed == seed} for seed in range(5)]
    assert any(one & two for one in pairs for two in pairs if one is not two), "some fold is repeated"
