"""Which rows the probes of a grid are fitted and tested on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlengine.errors import (
    InputError,
)
from tlengine.probes import LinearProbeCV, probe_grid
from tlengine.probes.grid_jobs import Draws, Key


def test_budgets_are_nested(task):
    y = task["targets"]["digit"]
    small, large = Draws("y", y, None, 0.25).jobs([Key("X", "y", 0, budget) for budget in (2, 5)])
    assert set(small.rows) < set(large.rows)
    assert np.array_equal(small.test, large.test)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 25), min_size=2, max_size=4),
    st.sampled_from([0.1, 0.25, 0.5]),
    st.sampled_from([2, 5]),
    st.sampled_from([2, 4, "all"]),
    st.integers(0, 99),
)
def test_rows_in_one_order_and_rows_as_units_give_draws_of_the_same_make(sizes, share, cv, budget, seed):
    """The quick way for rows that are units, against the engine that takes any units."""
    y = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    try:
        quick, general = (Draws("y", y, cv, share) for _ in range(2))
    except InputError:
        assert max(sizes) <= 2
        return
    general.units = np.arange(len(y))
    key = Key("X", "y", seed, budget)
    one, other = (next(draws.jobs([key])) for draws in (quick, general))
    for job in (one, other):
        assert not set(job.rows) & set(job.test)
        assert len(set(job.rows.tolist())) == len(job.rows)
    assert np.bincount(y[one.test], minlength=9).tolist() == np.bincount(y[other.test], minlength=9).tolist()
    assert np.bincount(y[one.rows], minlength=9).tolist() == np.bincount(y[other.rows], minlength=9).tolist()
    for code in range(len(sizes)):
        of_class = [np.sort(np.bincount(j.folds[y[j.rows] == code] + 1, minlength=9)) for j in (one, other)]
        assert of_class[0].tolist() == of_class[1].tolist()
    assert np.sort(np.bincount(one.folds + 1)).tolist() == np.sort(np.bincount(other.folds + 1)).tolist()


def test_every_row_is_tested_and_drawn_as_often_either_way():
    y = np.repeat(np.arange(3), [12, 8, 4])
    keys = [Key("X", "y", seed, 2) for seed in range(2_000)]
    quick, general = (Draws("y", y, 2, 0.25) for _ in range(2))
    general.units = np.arange(24)
    for draws in (quick, general):
        tested, drawn = np.zeros(24), np.zeros(24)
        for job in draws.jobs(keys):
            tested[job.test] += 1
            drawn[job.rows] += 1
        # 24 frequencies of 2,000 draws at most 1.1 points of standard error each.
        assert np.abs(tested / 2_000 - 0.25).max() < 0.05
        assert np.abs(drawn / 2_000 - 2 / np.bincount(y)[y]).max() < 0.05


@pytest.mark.parametrize("told", ["groups", "keys", "contents"])
def test_twins_are_never_on_both_sides(told):
    """Random labels, every sample four times: no probe can know them."""
    rng = np.random.default_rng(0)
    X, y = np.repeat(rng.normal(size=(60, 80)), 4, axis=0), np.repeat(rng.integers(0, 2, 60), 4)
    noisy = X + rng.normal(scale=1e-3, size=X.shape)
    loose = probe_grid(noisy, y, Cs=[1.0], seeds=4, progress=False)
    assert np.mean([r["accuracy"] for r in loose.records]) > 0.95
    keys = np.zeros((240, 32), dtype=np.uint8)
    keys[:, 3] = np.arange(240) // 4
    columns = {"groups": {"groups": np.arange(240) // 4}, "keys": {"keys": keys}, "contents": {}}[told]
    found = probe_grid(
        X if told == "contents" else noisy,
        y,
        Cs=[1e-2, 1.0],
        seeds=20,
        budgets=[20, "all"],
        progress=False,
        **columns,
    )
    # 15 units are tested for each of 20 seeds: 2.9 points of standard error if they were independent.
    assert abs(np.mean([r["accuracy"] for r in found.records]) - 0.5) < 0.12


def test_groups_of_different_sizes_give_test_parts_of_different_sizes():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(30), rng.integers(2, 30, 30))
    y = np.arange(len(groups)) % 3
    X = rng.normal(size=(len(groups), 5)) + y[:, None]
    found = probe_grid(X, y, Cs=[1.0, 10.0], seeds=6, groups=groups, progress=False)
    assert len({r["n_test"] for r in found.records}) > 1
    for record in found.records:
        (job,) = Draws("y", y, 5, 0.25, groups).jobs([Key("X", "y", record["seed"], "all")])
        assert not set(groups[job.rows]) & set(groups[job.test])
        assert record["n_test"] == len(job.test)
        for fold in range(5):
            assert not set(groups[job.rows[job.folds == fold]]) & set(groups[job.rows[job.folds != fold]])
        splits = [(np.flatnonzero(job.folds != f), np.flatnonzero(job.folds == f)) for f in range(5)]
        probe = LinearProbeCV([1.0, 10.0], cv=splits).fit(X[job.rows], y[job.rows])
        assert record["accuracy"] == pytest.approx(probe.score(X[job.test], y[job.test]))


def test_a_class_of_one_row_is_trained_on_and_held_out_in_no_fold():
    y = np.array([0] * 20 + [1] * 20 + [2])
    (job,) = Draws("y", y, 5, 0.25).jobs([Key("X", "y", 0, "all")])
    assert job.folds[y[job.rows] == 2].tolist() == [-1]
    assert set(job.folds[y[job.rows] != 2].tolist()) == set(range(5))


def test_a_budget_that_leaves_nothing_to_hold_out_is_an_error(task):
    with pytest.raises(InputError, match=r"budget 1: no class has two samples"):
        probe_grid(**task, budgets=[1])
    assert len(probe_grid(**task, budgets=[1], cv=None, seeds=1, Cs=[1.0]).records) == 4


def test_a_target_of_one_group_per_class_is_an_error():
    y = np.repeat([0, 1], 20)
    with pytest.raises(InputError, match="can be both tested and trained on"):
        probe_grid(np.eye(40), y, groups=y, progress=False)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 12), min_size=2, max_size=6), st.booleans(), st.integers(2, 5), st.integers(0, 99)
)
def test_every_fit_has_every_class_and_rare_ones_cost_no_fold(sizes, grouped, cv, seed):
    y = np.repeat(np.arange(len(sizes)), sizes)
    groups = np.random.default_rng(seed).integers(0, len(y), len(y)) if grouped else None
    try:
        (job,) = Draws("y", y, cv, 0.25, groups).jobs([Key("X", "y", seed, "all")])
    except InputError:
        return
    classes = set(y[job.rows])
    for fold in range(job.folds.max() + 1):
        assert set(y[job.rows[job.folds != fold]]) == classes
    counts = np.bincount(y[job.rows])
    if not grouped:
        assert set(job.folds[counts[y[job.rows]] == 1]) <= {-1}
        assert job.folds.max() + 1 == max(2, min(cv, counts.max()))
