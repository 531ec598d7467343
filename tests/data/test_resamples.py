import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlengine.data.resamples import Resample, assign_folds, make_resamples, unit_index
from tlengine.errors import InputError, SingleClassError


@st.composite
def labelled(draw, max_rows=120):
    """Labels of 2-4 classes, with groups and content digests that link some of the rows."""
    seed = draw(st.integers(0, 10_000))
    n = draw(st.integers(40, max_rows))
    rng = np.random.default_rng(seed)
    y = rng.choice(["a", "b", "c", "d"][: draw(st.integers(2, 4))], size=n)
    groups = rng.integers(0, n // 3, size=n).astype(str) if draw(st.booleans()) else None
    contents = rng.integers(0, draw(st.integers(n // 2, 10 * n)), size=n)
    keys = np.zeros((n, 32), dtype=np.uint8)
    keys[:, 0], keys[:, 1] = contents % 256, contents // 256
    return y, groups, keys


def plan_or_none(y, **kwargs):
    try:
        return make_resamples(y, **kwargs)
    except SingleClassError:
        return None


@settings(max_examples=60, deadline=None)
@given(labelled(), st.integers(1, 3))
def test_no_row_has_two_roles_and_none_is_lost(data, seeds):
    y, groups, keys = data
    plan = plan_or_none(y, seeds=seeds, groups=groups, keys=keys)
    if plan is None:
        return
    excluded = {e.label for e in plan.excluded}
    kept = np.flatnonzero(~np.isin(y, list(excluded)))
    for resample in plan.resamples:
        assert np.array_equal(np.sort(np.concatenate([resample.train, resample.test])), kept)


@settings(max_examples=60, deadline=None)
@given(labelled())
def test_groups_and_identical_contents_stay_on_one_side(data):
    y, groups, keys = data
    plan = plan_or_none(y, seeds=2, groups=groups, keys=keys)
    if plan is None:
        return
    contents = keys[:, 0].astype(int) + 256 * keys[:, 1].astype(int)
    for resample in plan.resamples:
        assert not set(contents[resample.train]) & set(contents[resample.test])
        if groups is not None:
            assert not set(groups[resample.train]) & set(groups[resample.test])


@settings(max_examples=60, deadline=None)
@given(labelled())
def test_every_training_part_has_two_rows_of_every_class_and_every_seed_tests_each(data):
    y, groups, keys = data
    plan = plan_or_none(y, seeds=2, groups=groups, keys=keys)
    if plan is None:
        return
    classes = set(y) - {e.label for e in plan.excluded}
    for resample in plan.resamples:
        names, counts = np.unique(y[resample.train], return_counts=True)
        assert set(names) == classes
        assert counts.min() >= 2
    for seed in (0, 1):
        tested = np.concatenate([r.test for r in plan.resamples if r.seed == seed])
        assert set(y[tested]) == classes
        assert len(tested) == len(set(tested.tolist()))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=2, max_size=6), st.integers(0, 99))
def test_single_rows_are_dealt_evenly_within_each_class(sizes, seed):
    codes = np.repeat(np.arange(len(sizes)), sizes)
    folds = assign_folds(codes, np.arange(len(codes)), 5, np.random.default_rng(seed))
    for code in range(len(sizes)):
        counts = np.bincount(folds[codes == code], minlength=5)
        assert counts.max() - counts.min() <= 1
    total = np.bincount(folds, minlength=5)
    assert total.max() - total.min() <= 1


def test_a_thousand_rows_make_a_holdout_for_each_seed():
    plan = make_resamples(np.arange(1_000) % 4, seeds=3)
    assert plan.kind == "holdout"
    assert [(r.seed, r.fold, len(r.train), len(r.test)) for r in plan.resamples] == [
        (seed, 0, 800, 200) for seed in range(3)
    ]
    assert not np.array_equal(plan.resamples[0].test, plan.resamples[1].test)


def test_fewer_rows_make_five_folds_for_each_seed():
    plan = make_resamples(np.arange(999) % 3, seeds=2)
    assert plan.kind == "folds"
    assert [(r.seed, r.fold) for r in plan.resamples] == [(s, f) for s in range(2) for f in range(5)]


def test_the_same_seed_gives_the_same_resamples():
    y = np.arange(300) % 3
    first, second = make_resamples(y, seeds=2), make_resamples(y, seeds=2)
    for a, b in zip(first.resamples, second.resamples, strict=True):
        assert np.array_equal(a.test, b.test)


def test_small_classes_are_left_out_and_named():
    y = np.array(["cat"] * 30 + ["dog"] * 30 + ["emu"] * 2 + ["fox"])
    plan = make_resamples(y)
    assert [(e.label, e.count) for e in plan.excluded] == [("emu", 2), ("fox", 1)]
    assert not np.isin(y[plan.resamples[0].train], ["emu", "fox"]).any()


def test_copies_of_one_sample_do_not_make_a_class_large_enough():
    y = np.array(["cat"] * 30 + ["dog"] * 30 + ["emu"] * 6)
    keys = np.zeros((66, 32), dtype=np.uint8)
    keys[:60, 0] = np.arange(60) + 1
    assert [e.label for e in make_resamples(y, keys=keys).excluded] == ["emu"]


def test_one_usable_class_is_an_error_with_the_counts():
    with pytest.raises(SingleClassError, match=r"1 usable class of 2: 'a' \(20\), 'b' \(1\)"):
        make_resamples(np.array(["a"] * 20 + ["b"]))


def test_a_split_of_the_user_is_taken_as_given():
    y = np.array(["a", "b"] * 10)
    splits = np.array(["train"] * 12 + ["select"] * 4 + ["test"] * 4)
    plan = make_resamples(y, seeds=2, splits=splits)
    assert plan.kind == "given"
    assert [r.seed for r in plan.resamples] == [0, 1]
    assert plan.resamples[1].test.tolist() == [16, 17, 18, 19]
    assert plan.resamples[1].select.tolist() == [12, 13, 14, 15]
    assert not plan.notes


def test_identical_contents_across_a_given_split_are_counted_and_kept():
    y = np.array(["a", "b"] * 10)
    keys = np.zeros((20, 32), dtype=np.uint8)
    keys[:, 0] = np.arange(20)
    keys[18] = keys[0]
    plan = make_resamples(y, splits=np.array(["train"] * 15 + ["test"] * 5), keys=keys)
    assert plan.straddling == 1
    assert "1 row" in plan.notes[0]
    assert 18 in plan.resamples[0].test


def test_a_validation_split_alone_becomes_the_test():
    y = np.array(["a", "b"] * 10)
    plan = make_resamples(y, splits=np.array(["train"] * 14 + ["select"] * 6))
    assert plan.resamples[0].test.tolist() == list(range(14, 20))
    assert plan.resamples[0].select is None
    assert "validation split" in plan.notes[0]


def test_a_split_column_with_one_part_is_no_split():
    assert make_resamples(np.array(["a", "b"] * 20), splits=np.array(["train"] * 40)).kind == "folds"


def test_a_class_that_only_the_test_has_is_left_out():
    y = np.array(["a", "b"] * 8 + ["c"] * 4)
    plan = make_resamples(y, splits=np.array(["train"] * 12 + ["test"] * 8))
    assert [e.label for e in plan.excluded] == ["c"]
    assert "c" not in y[plan.resamples[0].test]


@pytest.mark.parametrize("seeds", [0, -1])
def test_less_than_one_seed_is_an_error(seeds):
    with pytest.raises(InputError, match="at least 1"):
        make_resamples(np.array(["a", "b"] * 10), seeds=seeds)


def test_an_unknown_role_is_an_error():
    with pytest.raises(InputError, match="unknown split role 'holdout'"):
        make_resamples(np.array(["a", "b"]), splits=np.array(["train", "holdout"]))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=20, unique=True), st.data())
def test_using_a_row_twice_is_an_error(rows, data):
    again = data.draw(st.sampled_from(rows))
    other = data.draw(st.sampled_from(["test", "select", "calibrate"]))
    parts = {"train": np.array(rows), "test": np.array([99]), other: np.array([again])}
    with pytest.raises(InputError, match=f"row {again} serves as train and as {other}"):
        Resample(seed=0, fold=0, **parts)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=25))
def test_units_are_the_connected_rows(pairs):
    groups = np.array([str(g) for g, _ in pairs])
    keys = np.zeros((len(pairs), 32), dtype=np.uint8)
    keys[:, 31] = [k for _, k in pairs]
    units = unit_index(len(pairs), groups=groups, keys=keys)
    naive = list(range(len(pairs)))
    for _ in pairs:
        for i, (gi, ki) in enumerate(pairs):
            for j, (gj, kj) in enumerate(pairs):
                if gi == gj or ki == kj:
                    naive[i] = naive[j] = min(naive[i], naive[j])
    for i in range(len(pairs)):
        for j in range(len(pairs)):
            assert (units[i] == units[j]) == (naive[i] == naive[j])


SIZES = [400, 300, 200, 150, 100, 50]


def test_seeds_redraw_groups_of_any_size():
    groups = np.repeat(np.arange(6), SIZES)
    plan = make_resamples(np.arange(1_200) % 3, seeds=8, groups=groups)
    assert plan.kind == "holdout"
    assert len(plan.distinct("all")) >= 3
    assert 0.15 <= np.mean([len(r.test) for r in plan.resamples]) / 1_200 <= 0.25


def test_folds_of_groups_differ_from_seed_to_seed():
    groups = np.repeat(np.arange(6), np.array(SIZES) // 10)
    plan = make_resamples(np.arange(120) % 3, seeds=8, groups=groups)
    assert plan.kind == "folds"
    assert len(plan.distinct("all")) > 5


@pytest.mark.parametrize(
    ("n", "kind", "share", "expected"),
    [
        (300, "holdout", None, 90),
        (1_500, None, None, 300),
        (300, "holdout", 0.5, 150),
        (1_500, "folds", None, 300),
    ],
)
def test_the_kind_and_the_share_that_were_asked_for(n, kind, share, expected):
    plan = make_resamples(np.arange(n) % 3, seeds=2, kind=kind, test_share=share)
    assert plan.kind == (kind or "holdout")
    assert {len(r.test) for r in plan.resamples} == {expected}
    assert len(plan.resamples) == (10 if plan.kind == "folds" else 2)


@pytest.mark.parametrize("wrong", [{"kind": "given"}, {"test_share": 0.0}, {"test_share": 1.0}])
def test_a_strange_kind_or_share_is_an_error(wrong):
    with pytest.raises(InputError):
        make_resamples(np.arange(90) % 3, **wrong)


@settings(max_examples=40, deadline=None)
@given(labelled(), st.sampled_from([0.2, 0.3]))
def test_a_holdout_tests_and_trains_every_class_that_takes_part(data, share):
    y, groups, keys = data
    plan = plan_or_none(y, seeds=3, groups=groups, keys=keys, kind="holdout", test_share=share)
    if plan is None:
        return
    for resample in plan.resamples:
        assert set(plan.codes[resample.test]) == set(range(len(plan.classes)))
        assert np.bincount(plan.codes[resample.train]).min() >= 2
        assert not set(plan.units[resample.train]) & set(plan.units[resample.test])


def test_classes_of_two_groups_each_take_part():
    groups = np.repeat(np.arange(4), 300)
    plan = make_resamples(groups % 2, seeds=5, groups=groups)
    assert not plan.excluded


def test_twins_of_validation_and_test_are_counted():
    y = np.array(["a", "b"] * 10)
    keys = np.zeros((20, 32), dtype=np.uint8)
    keys[:, 0] = np.arange(20)
    keys[18] = keys[14]
    splits = np.array(["train"] * 12 + ["select"] * 4 + ["test"] * 4)
    plan = make_resamples(y, splits=splits, keys=keys)
    assert plan.straddling == 1
    assert "1 rows outside the validation split" in plan.notes[0]


def test_test_rows_of_a_class_without_training_rows_are_counted():
    y = np.array(["a", "b"] * 8 + ["c"] * 4)
    plan = make_resamples(y, splits=np.array(["train"] * 12 + ["test"] * 8))
    assert plan.notes == ("4 test rows are left out: their classes have fewer than 2 training rows",)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_fewer_groups_than_folds_give_as_many_resamples_as_there_are_groups(n):
    """A fold without a row would be tested on nothing."""
    plan = make_resamples(np.arange(120) % 3, seeds=2, groups=np.arange(120) // 3 % n)
    assert len(plan.resamples) == 2 * n
    assert all(len(r.test) and len(r.train) for r in plan.resamples)


def test_who_names_one_group_for_each_class_is_told_that_groups_stay_together():
    y = np.array(["cat", "dog"] * 20)
    with pytest.raises(SingleClassError) as caught:
        make_resamples(y, groups=np.array(["one"] * 40))
    assert "rows of one group, or of equal content, stay together" in str(caught.value)
    with pytest.raises(SingleClassError) as caught:
        make_resamples(np.array(["cat"] * 40))
    assert "group" not in str(caught.value)
