from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlengine.data.folds import MIN_TRAIN, assign_folds, assign_test, inner_folds, turns

GROUPS = np.repeat(np.arange(6), [400, 300, 200, 150, 100, 50])


@st.composite
def units_of_classes(draw):
    """Class numbers without gaps, and units that may hold several classes."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    n = draw(st.integers(2, 60))
    codes = np.unique(rng.integers(0, draw(st.integers(1, 5)), n), return_inverse=True)[1]
    units = np.unique(rng.integers(0, draw(st.integers(1, 2 * n)), n), return_inverse=True)[1]
    return codes, units


def naive_single_units(codes, units):
    """The units that are the only one of some class."""
    found = set()
    for code in set(codes.tolist()):
        of = set(units[codes == code].tolist())
        if len(of) == 1:
            found |= of
    return found


@settings(max_examples=150, deadline=None)
@given(units_of_classes(), st.integers(2, 6))
def test_inner_folds_keep_every_class_in_each_fit_and_hold_out_all_they_can(data, n_folds):
    codes, units = data
    pairs = inner_folds(codes, units, n_folds)
    assert len(pairs) <= n_folds
    for fit, held in pairs:
        assert np.array_equal(np.sort(np.concatenate([fit, held])), np.arange(len(codes)))
        assert set(codes[fit]) == set(codes)
        assert not set(units[fit]) & set(units[held])
        assert len(held)
    held = np.concatenate([h for _, h in pairs]) if pairs else np.zeros(0, dtype=int)
    assert len(held) == len(set(held.tolist()))
    kept = set(units.tolist()) - set(units[held].tolist())
    alone = naive_single_units(codes, units)
    assert alone <= kept
    assert len(kept - alone) <= len(set(codes.tolist()))
    assert bool(pairs) == bool(set(units.tolist()) - alone)


def test_a_class_with_one_unit_does_not_keep_the_others_from_being_held_out():
    codes = np.array([0] * 20 + [1] * 20 + [2, 3, 3])
    units = np.array([*range(41), 41, 41])
    pairs = inner_folds(codes, units)
    assert len(pairs) == 5
    assert sorted(np.concatenate([held for _, held in pairs]).tolist()) == list(range(40))
    assert all(np.isin([40, 41, 42], fit).all() for fit, _ in pairs)


@pytest.mark.parametrize(("per_class", "expected"), [(1, 0), (2, 2), (3, 3), (5, 5), (50, 5)])
def test_there_are_no_more_inner_folds_than_units_of_a_class(per_class, expected):
    codes = np.repeat(np.arange(3), per_class)
    pairs = inner_folds(codes, np.arange(len(codes)))
    assert len(pairs) == expected
    for _, held in pairs:
        assert len(set(np.bincount(codes[held]).tolist())) == 1


def test_two_units_of_a_class_in_one_fold_are_told_apart():
    # The rows of class 1 come in two units that weigh so much elsewhere that both may share a fold.
    for seed in range(30):
        rng = np.random.default_rng(seed)
        codes = np.concatenate([rng.integers(0, 1, 40), [1, 1], np.full(20, 0)])
        units = np.concatenate([np.arange(40), [40, 41], np.repeat([40, 41], 10)])
        for fit, _ in inner_folds(codes, units, 3):
            assert set(codes[fit]) == {0, 1}


@settings(max_examples=100, deadline=None)
@given(units_of_classes(), st.floats(0.05, 0.9), st.integers(0, 99))
def test_a_test_part_splits_no_unit_and_leaves_rows_to_train_on(data, share, seed):
    codes, units = data
    test = assign_test(codes, units, share, np.random.default_rng(seed))
    assert not set(units[test]) & set(units[~test])
    single = np.bincount(units)[units] == 1
    for code in set(codes[test & single].tolist()):
        grouped = (test & ~single)[codes == code].sum()
        assert (~test)[codes == code].sum() >= min(MIN_TRAIN, (codes == code).sum() - grouped)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 80), min_size=1, max_size=5),
    st.sampled_from([0.2, 0.25, 0.3, 0.5]),
    st.integers(0, 9),
)
def test_rows_that_are_units_are_tested_by_their_share_and_never_all(sizes, share, seed):
    codes = np.repeat(np.arange(len(sizes)), sizes)
    test = assign_test(codes, np.arange(len(codes)), share, np.random.default_rng(seed))
    for code, n in enumerate(sizes):
        expected = max(0, min(max(1, int(share * n + 0.5)), n - MIN_TRAIN))
        assert test[codes == code].sum() == expected


def test_each_group_is_tested_as_often_as_any_other_and_the_share_is_right_on_average():
    codes = np.arange(1_200) % 3
    drawn = np.array([assign_test(codes, GROUPS, 0.2, np.random.default_rng(seed)) for seed in range(600)])
    tested = [drawn[:, group == GROUPS].mean() for group in range(6)]
    # A share of 0.2 among 600 draws has a standard error of 0.016.
    assert np.abs(np.array(tested) - 0.2).max() < 4.5 * 0.0163
    assert abs(drawn.mean() - 0.2) < 0.015


@pytest.mark.parametrize("share", [0.2, 0.3, 0.37])
def test_many_groups_give_every_class_its_share(share):
    rng = np.random.default_rng(0)
    codes, units = (
        rng.integers(0, 10, 5_000),
        np.unique(rng.integers(0, 1_500, 5_000), return_inverse=True)[1],
    )
    test = assign_test(codes, units, share, rng)
    shares = np.bincount(codes[test]) / np.bincount(codes)
    assert np.abs(shares - share).max() < 0.03


def test_groups_of_one_class_each_are_tested_class_by_class():
    groups = np.arange(1_200) // 200
    codes = groups % 2
    for seed in range(20):
        test = assign_test(codes, groups, 0.2, np.random.default_rng(seed))
        assert set(codes[test]) == set(codes[~test]) == {0, 1}


@settings(max_examples=80, deadline=None)
@given(units_of_classes(), st.integers(2, 6), st.integers(0, 99))
def test_folds_split_no_unit(data, n_folds, seed):
    codes, units = data
    folds = assign_folds(codes, units, n_folds, np.random.default_rng(seed))
    assert set(folds.tolist()) <= set(range(n_folds))
    for unit in set(units.tolist()):
        assert len(set(folds[units == unit].tolist())) == 1


def test_many_groups_give_every_fold_its_share_of_every_class():
    rng = np.random.default_rng(0)
    codes, units = (
        rng.integers(0, 10, 5_000),
        np.unique(rng.integers(0, 1_500, 5_000), return_inverse=True)[1],
    )
    folds = assign_folds(codes, units, 5, rng)
    shares = np.array([np.bincount(codes[folds == f], minlength=10) for f in range(5)]) / np.bincount(codes)
    assert np.abs(shares - 0.2).max() < 0.01


def test_groups_that_are_fewer_than_twice_the_folds_are_dealt_anew_by_each_seed():
    codes = np.arange(len(GROUPS)) % 3
    dealt = {
        frozenset(frozenset(np.unique(GROUPS[folds == f]).tolist()) for f in range(5))
        for folds in (assign_folds(codes, GROUPS, 5, np.random.default_rng(seed)) for seed in range(60))
    }
    assert len(dealt) >= 3
    largest = [max(np.bincount(GROUPS)[list(part)].sum() for part in parts if part) for parts in dealt]
    assert max(largest) <= 450


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=4), st.integers(0, 9))
def test_turns_count_up_within_each_class(sizes, seed):
    codes = np.repeat(np.arange(len(sizes)), sizes)
    found = turns(codes, np.random.default_rng(seed))
    for code, n in enumerate(sizes):
        assert sorted(found[codes == code].tolist()) == list(range(n))
    smaller = [set(np.flatnonzero(found < budget).tolist()) for budget in (1, 3, 9)]
    assert all(a <= b for a, b in pairwise(smaller))
