"""Batches are as large as half a second allows, whatever a product costs on this machine."""

import numpy as np
import pytest

from tlengine.probes.grid_batches import LOSS, Costs, Pace, batches, smallest_first
from tlengine.probes.grid_jobs import Draws, Key
from tlengine.probes.grid_targets import Target

ARRAYS = {"narrow": np.zeros((1000, 4)), "wide": np.zeros((1000, 4000), np.float32)}
TARGET = Target(np.arange(1000, dtype=np.uint32) % 5, np.arange(5))
DRAWS = {"y": Draws("y", TARGET.codes, None, 0.25)}


def priced(solutions=1):
    return Costs(ARRAYS, {"y": TARGET}, DRAWS, solutions)


def keys(features="narrow", seeds=100, budget=10):
    return [Key(features, "y", seed, budget) for seed in range(seeds)]


def test_a_cost_is_rows_times_columns_times_classes_times_solutions():
    costs = priced(66)
    assert costs.of(Key("wide", "y", 0, 10)) == pytest.approx(50 * 4000 * 5 * 66, rel=0.01)
    assert costs.of(Key("narrow", "y", 0, "all")) == pytest.approx(1000 * 4 * 5 * 66, rel=0.01)
    assert costs.size(Key("wide", "y", 0, 10)) == pytest.approx(50 * 4000 * 4, rel=0.03)


def test_a_large_test_part_counts_in_time_and_memory():
    """A million test rows and a handful to learn from: their logits are what takes long."""
    codes = np.arange(1_000_000, dtype=np.uint32) % 100
    target, array = Target(codes, np.arange(100)), np.zeros((1_000_000, 1), np.float32)
    costs = Costs({"X": array}, {"y": target}, {"y": Draws("y", codes, 5, 0.5)}, 6, 1)
    key = Key("X", "y", 0, 1)
    assert costs.of(key) > 10 * 100 * 100 * 6
    assert costs.size(key) > 500_000 * 100 * 8


def test_tiny_jobs_share_batches_and_each_is_in_one():
    found = list(batches(keys(), lambda key: 0, priced(), Pace()))
    assert [len(batch) for batch in found] == [64, 36]
    assert [key for batch in found for key in batch] == keys()


def test_jobs_of_another_kind_are_in_another_batch():
    mixed = [*keys(seeds=3), *keys("wide", seeds=3)]
    assert [len(b) for b in batches(mixed, lambda key: key.features, priced(), Pace())] == [3, 3]


def test_a_large_job_is_a_batch_of_its_own():
    assert [len(b) for b in batches(keys("wide", 3, "all"), lambda key: 0, priced(2000), Pace(8))] == [
        1,
        1,
        1,
    ]


def worked_off(count, each, threads, alone, solutions=100):
    """(jobs, seconds) of the later batches where a product takes ``each`` seconds of one thread, which the
    first batch cannot know; ``alone`` is by how much all threads speed a single job up.
    """
    pace, costs, taken = Pace(threads), priced(solutions), []
    for batch in batches(keys("wide", count), lambda key: 0, costs, pace, jobs=1000):
        cost = sum(map(costs.of, batch))
        rounds = -(-len(batch) // threads) / len(batch)
        taken.append((len(batch), cost * each * (1 / alone if len(batch) == 1 else rounds)))
        pace.told(cost, len(batch), taken[-1][1])
    assert sum(jobs for jobs, _ in taken) == count
    return taken[len(taken) // 2 : -1]


@pytest.mark.parametrize("threads", [1, 2, 16])
@pytest.mark.parametrize("each", [3e-10, 1e-9])
def test_batches_of_quick_jobs_come_to_take_half_a_second(each, threads):
    late = worked_off(4000, each, threads, alone=threads)
    for jobs, seconds in late:
        assert jobs % threads == 0
        assert seconds < 1.5 * LOSS
        assert seconds > LOSS / 3 or jobs > 1000 - threads


@pytest.mark.parametrize("alone", [1, 4, 16])
@pytest.mark.parametrize("each", [2e-9, 1e-8])
def test_each_thread_has_a_job_that_is_over_soon(each, alone):
    """0.2 s and 1 s: however well 16 threads would share one of them, they are faster with one each."""
    assert {jobs for jobs, _ in worked_off(1000, each, 16, alone)} == ({32} if each < 5e-9 else {16})


@pytest.mark.parametrize("alone", [1, 4, 16])
def test_a_job_that_takes_longer_is_not_solved_beside_others(alone):
    """10 s each: so a kill costs one of them."""
    assert {jobs for jobs, _ in worked_off(100, 1e-7, 16, alone)} == {1}


def test_batches_are_bounded_in_memory():
    large = {"X": np.zeros((20_000, 1000), np.float32)}
    target = Target(np.arange(20_000, dtype=np.uint32) % 2, np.arange(2))
    costs = Costs(large, {"y": target}, {"y": Draws("y", target.codes, None, 0.25)})
    pace = Pace()
    pace.told(1e15, 1, 1e-3)
    found = list(batches([Key("X", "y", seed, "all") for seed in range(9)], lambda key: 0, costs, pace))
    assert [len(batch) for batch in found] == [3, 3, 3]


def test_small_budgets_first_and_features_that_share_a_draw_together():
    places = [Key(f, t, s, b) for f in ("wide", "narrow") for t in "ba" for s in (1, 0) for b in ("all", 3)]
    ordered = smallest_first(places, ARRAYS)
    assert [key.budget for key in ordered] == [3] * 8 + ["all"] * 8
    assert set(ordered) == set(places)
    first = ordered[:4]
    assert len({ARRAYS[key.features].dtype for key in first}) == 1
