import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlengine.data.resamples import make_resamples
from tlengine.evaluation.metrics import METRICS, Outcome, pool
from tlengine.evaluation.statistics import estimate, holm, paired_test
from tlengine.statistics import softmax


def outcome(rows, correct):
    """Two classes; right where ``correct``."""
    proba = np.where(np.asarray(correct)[:, None], [[0.8, 0.2]], [[0.2, 0.8]])
    return Outcome.of(np.asarray(rows), np.zeros(len(proba), dtype=int), proba)


class Centroids:
    """A tiny classifier whose true accuracy is known from a large sample."""

    def __init__(self, columns):
        self.columns = columns

    def outcome(self, X, y, train, test):
        means = np.stack([X[train][y[train] == k][:, self.columns].mean(0) for k in (0, 1)])
        distances = ((X[test][:, None, self.columns] - means[None]) ** 2).sum(-1)
        return Outcome.of(test, y[test], softmax(-distances, 2.0))


def sample(n, seed):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    X = rng.normal(size=(n, 10))
    X[:, 0] += 1.5 * y
    return X, y


def per_seed(model, X, y, plan):
    seeds = sorted({r.seed for r in plan.resamples})
    return [
        pool([model.outcome(X, y, r.train, r.test) for r in plan.resamples if r.seed == s]) for s in seeds
    ]


def test_intervals_cover_the_truth_and_equal_models_are_rarely_told_apart():
    first, second = Centroids([0, 1, 2, 3]), Centroids([0, 4, 5, 6])
    X, y = sample(20_000, 10_000)
    found, truths, rejected, runs = [], [], 0, 60
    for run in range(runs):
        x, labels = sample(150, run)
        plan = make_resamples(labels, seeds=3)
        a, b = (per_seed(m, x, labels, plan) for m in (first, second))
        found.append(estimate("accuracy", a, plan.units))
        rejected += paired_test(a, b, plan.units).p_value < 0.05
        joint_X, joint_y = np.concatenate([x, X]), np.concatenate([labels, y])
        truth = first.outcome(joint_X, joint_y, plan.resamples[0].train, np.arange(150, len(joint_y)))
        truths.append(truth.correct.mean())
    truth = np.mean(truths)
    covered = sum(e.low <= truth <= e.high for e in found)
    assert covered >= 0.9 * runs
    assert rejected <= 0.1 * runs


def test_a_real_difference_is_found():
    X, y = sample(300, 1)
    plan = make_resamples(y, seeds=3)
    good, blind = (per_seed(Centroids(c), X, y, plan) for c in ([0], [8, 9]))
    test = paired_test(good, blind, plan.units)
    assert test.effect > 0.15
    assert test.low > 0
    assert test.p_value < 0.001
    assert paired_test(blind, good, plan.units).effect == pytest.approx(-test.effect)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4), st.integers(2, 40), st.integers(0, 1_000), st.sampled_from(METRICS))
def test_the_interval_holds_the_estimate_and_stays_in_range(n_seeds, n, seed, metric):
    rng = np.random.default_rng(seed)
    seeds = [outcome(np.arange(n), rng.random(n) < 0.7) for _ in range(n_seeds)]
    found = estimate(metric, seeds, np.arange(n))
    assert 0 <= found.low <= found.value <= found.high
    if metric != "log_loss":
        assert found.high <= 1


def test_faultless_on_few_rows_is_not_certainty():
    found = estimate("accuracy", [outcome(np.arange(5), [True] * 5)] * 3, np.arange(5))
    assert found.high == 1
    assert found.low < 0.7


def test_copies_of_a_row_are_one_observation():
    rows, correct = np.arange(40), np.random.default_rng(0).random(40) < 0.6
    alone = estimate("accuracy", [outcome(rows, correct)], rows)
    units = np.concatenate([rows, rows])
    twice = estimate("accuracy", [outcome(np.arange(80), np.tile(correct, 2))], units)
    assert twice.high - twice.low == pytest.approx(alone.high - alone.low, rel=0.02)


def test_seeds_on_the_same_test_rows_do_not_multiply_the_evidence():
    rows, correct = np.arange(50), np.random.default_rng(1).random(50) < 0.6
    once = estimate("accuracy", [outcome(rows, correct)], rows)
    often = estimate("accuracy", [outcome(rows, correct)] * 10, rows)
    assert often.high - often.low == pytest.approx(once.high - once.low, rel=0.02)


def test_equal_predictions_are_no_evidence():
    rows = np.arange(30)
    same = [outcome(rows, rows % 3 > 0)] * 2
    test = paired_test(same, same, rows)
    assert (test.effect, test.p_value) == (0, 1)
    assert test.low < 0 < test.high


def test_few_rows_cannot_be_significant_by_lack_of_variance():
    rows = np.arange(3)
    test = paired_test([outcome(rows, [True] * 3)], [outcome(rows, [False] * 3)], rows)
    assert test.effect == 1
    assert test.p_value > 0.05


def test_rows_are_paired_by_number_not_by_place():
    a = outcome([3, 1, 2], [True, False, True])
    b = outcome([1, 2, 3], [False, True, True])
    assert paired_test([a], [b], np.arange(5)).effect == 0
    with pytest.raises(ValueError, match="same test rows"):
        paired_test([a], [outcome([1, 2, 4], [True] * 3)], np.arange(5))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_equals_the_definition(p_values):
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    expected, running = [0.0] * len(p_values), 0.0
    for place, i in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - place) * p_values[i]))
        expected[i] = running
    assert holm(p_values) == pytest.approx(expected, abs=1e-9)
