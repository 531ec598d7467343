import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlengine.errors import ShapeMismatchError
from tlengine.statistics import (
    Outcome,
    interval_at,
    paired_outcomes,
    paired_test,
)
from tlengine.statistics.limits import LEAST_UNITS


def outcome(rows, correct):
    """Two classes; right where ``correct``."""
    proba = np.where(np.asarray(correct)[:, None], [[0.8, 0.2]], [[0.2, 0.8]])
    return Outcome.of(np.asarray(rows), np.zeros(len(proba), dtype=int), proba, counts=[1, 1])


def two(seed, shape, gap=0.2):
    rng = np.random.default_rng(seed)
    return rng.random(shape) < 0.6 + gap, rng.random(shape) < 0.6


@pytest.mark.parametrize("n_draws", [1, 4, 7])
def test_outcomes_and_arrays_give_the_same_test(n_draws):
    a, b = two(0, (n_draws, 80))
    unit = np.arange(80) // 2
    rows = np.arange(80)
    pairs = paired_outcomes([outcome(rows, x) for x in a], [outcome(rows, x) for x in b], unit)
    test = paired_test(a, b, units=unit)
    for name in ("effect", "low", "high", "p_value", "se", "df", "draws", "units"):
        assert getattr(pairs, name) == pytest.approx(getattr(test, name)), name


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 7), st.integers(3, 40), st.integers(0, 1_000))
def test_sides_can_be_exchanged(n_draws, n, seed):
    a, b = two(seed, (n_draws, n))
    one, other = paired_test(a, b), paired_test(b, a)
    assert one.effect == pytest.approx(-other.effect)
    assert one.p_value == pytest.approx(other.p_value)
    assert one.low == pytest.approx(-other.high)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 7), st.integers(3, 60), st.integers(0, 1_000), st.sampled_from([0.8, 0.95, 0.99]))
def test_the_interval_leaves_out_zero_where_the_p_value_is_small(n_draws, n, seed, level):
    test = paired_test(*two(seed, (n_draws, n), gap=0.3))
    low, high = interval_at(test, level)
    assert low <= test.effect <= high
    assert (low > 0 or high < 0) == (test.p_value < 1 - level)
    assert test.below(high) == pytest.approx((1 - level) / 2, rel=1e-6) or high == 1
    assert test.above(low) == pytest.approx((1 - level) / 2, rel=1e-6) or low == -1


def test_a_real_difference_is_found():
    test = paired_test(*two(1, (5, 300)))
    assert test.effect == pytest.approx(0.2, abs=0.06)
    assert test.low > 0.1
    assert test.p_value < 1e-3


def test_rows_are_paired_by_number_not_by_place():
    a = outcome([3, 1, 2], [True, False, True])
    b = outcome([1, 2, 3], [False, True, True])
    assert paired_outcomes([a], [b], np.arange(5)).effect == 0
    c = outcome([1, 2, 3], [True, False, False])
    mixed = paired_outcomes([a], [c], np.arange(5))
    straight = paired_test([False, True, True], [True, False, False])
    assert (mixed.effect, mixed.p_value) == pytest.approx((straight.effect, straight.p_value))


def test_other_rows_and_other_draws_are_an_error():
    a = outcome([1, 2, 3], [True] * 3)
    with pytest.raises(ShapeMismatchError, match="not the same"):
        paired_outcomes([a], [outcome([1, 2, 4], [True] * 3)], np.arange(5))
    with pytest.raises(ShapeMismatchError, match="1 draws of one side, 2"):
        paired_outcomes([a], [a, a], np.arange(5))


def test_equal_predictions_are_no_evidence():
    same = np.arange(30) % 3 > 0
    test = paired_test([same, same], [same, same])
    assert (test.effect, test.p_value) == (0, 1)
    assert test.low < 0 < test.high


def test_few_rows_cannot_be_significant_by_lack_of_variance():
    for shape in ((3,), (4, 3)):
        test = paired_test(np.ones(shape), np.zeros(shape))
        assert test.effect == 1
        assert test.p_value > 0.05
        assert test.high == 1


@pytest.mark.parametrize("n_draws", [1, 3])
def test_one_unit_is_no_evidence_and_says_why(n_draws):
    a = np.ones((n_draws, 6))
    test = paired_test(a, 0 * a, units=np.zeros(6))
    assert (test.effect, test.p_value, test.low, test.high, test.se) == (1, 1, None, None, None)
    assert test.reason == "all test rows belong to one unit"
    assert interval_at(test, 0.9) is None
    assert (test.below(0.5), test.above(-2.0)) == (1, 1)


def test_the_scope_says_how_many_training_sets_there_were():
    assert paired_test([1, 0, 1], [0, 0, 1]).scope == "for these training rows"
    several = paired_test(*two(0, (4, 20)))
    assert "4 times" in several.scope
    assert several.draw_sd > 0
    assert paired_test([1, 0, 1], [0, 0, 1]).draw_sd is None


def test_with_few_draws_the_draws_alone_must_agree():
    """Great differences between three draws: the p-value is never below that of their three means."""
    from scipy.stats import ttest_1samp

    rng = np.random.default_rng(0)
    for seed in range(30):
        shift = rng.normal(0.1, 0.1, size=(3, 1))
        a, b = (np.random.default_rng(seed).random((3, 500)) < 0.6 + shift), two(seed, (3, 500))[1]
        own = (a.astype(float) - b).mean(axis=1)
        assert paired_test(a, b).p_value >= ttest_1samp(own, 0).pvalue - 1e-12


def test_one_discordant_pair_is_agresti_and_mins_variance():
    """Golden: n = 60, one gain: (1 + 1 - 1 / 62) / 62^2."""
    a = np.ones(60)
    b = a.copy()
    b[0] = 0
    assert paired_test(a, b).se ** 2 == pytest.approx((2 - 1 / 62) / 62**2)


def test_losses_are_compared_as_means_without_bounds():
    rng = np.random.default_rng(0)
    a = rng.exponential(size=300)
    test = paired_test(a, rng.exponential(size=300) + 3)
    assert test.low < test.effect < -2.5
    assert not test.share


def test_means_that_differ_by_the_same_on_every_row_have_no_interval_of_no_width():
    first = np.random.default_rng(0).exponential(size=256).round(3)
    test = paired_test(first, first + 0.5)
    assert (test.effect, test.low, test.p_value) == (pytest.approx(-0.5), None, 1)
    assert test.reason == "no two test rows differ from one another"


def test_means_are_tested_from_as_many_units_on_as_they_have_an_interval():
    rng = np.random.default_rng(0)
    first, second = rng.exponential(size=LEAST_UNITS), rng.exponential(size=LEAST_UNITS) + 3
    assert paired_test(first, second).p_value < 0.001
    few = paired_test(first[1:], second[1:])
    assert (few.p_value, few.low) == (1, None)
    assert few.reason == "199 test units; a test of a mean needs 200"


@pytest.mark.parametrize("draws", [6, 10, 30])
def test_draws_that_vary_widen_the_interval_however_many_rows_there_are(draws):
    """Of 2,000 rows each, the gain of a draw is 1 +- 6 points: ten draws do not show a gain of 1."""
    gains = 0.01 + 0.06 * np.resize([-1, 1], draws)
    rows = np.arange(2_000)
    first = np.array([(rows < 1_400) | ((rows >= 1_990 - 2_000 * max(0, g)) & (rows < 1_990)) for g in gains])
    second = np.array([(rows < 1_400 + 2_000 * max(0, -g)) for g in gains])
    test = paired_test(first, second)
    assert test.effect == pytest.approx(0.01)
    assert test.p_value > 0.1
    assert test.se > 0.8 * 0.06 / draws**0.5
    assert test.draw_sd == pytest.approx(0.06, rel=0.1)


@pytest.mark.parametrize(
    ("sizes", "said"),
    [((50, 50), "the 2 test units are as good as 2.0 "), ((90, 4, 3, 3), "as good as 1.2 ")],
)
def test_two_units_or_one_that_outweighs_all_others_decide_nothing(sizes, said):
    first, second = np.ones((10, 100)), np.zeros((10, 100))
    test = paired_test(first, second, units=np.repeat(np.arange(len(sizes)), sizes))
    assert (test.effect, test.low, test.high, test.p_value) == (1.0, None, None, 1.0)
    assert said in test.reason


def test_three_units_are_enough():
    rng = np.random.default_rng(0)
    first, second = rng.random((5, 90)) < 0.99, rng.random((5, 90)) < 0.2
    assert paired_test(first, second, units=np.arange(90) % 3).p_value < 0.05
