import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import t

from tlengine.plugins.records import MetricSpec
from tlengine.statistics import METRICS, Outcome, estimate, interval
from tlengine.statistics.clustering import Spread
from tlengine.statistics.intervals import cells_of
from tlengine.statistics.limits import INTERVAL_UNITS, LEAST_UNITS

ACCURACY, BALANCED = METRICS["accuracy"], METRICS["balanced_accuracy"]


def outcome(rows, correct):
    """Two classes; right where ``correct``."""
    proba = np.where(np.asarray(correct)[:, None], [[0.8, 0.2]], [[0.2, 0.8]])
    return Outcome.of(np.asarray(rows), np.zeros(len(proba), dtype=int), proba, counts=[1, 1])


def random_outcomes(seed, n, n_draws, k=3):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, k, n)
    return [
        Outcome.of(
            np.arange(n), truth, rng.dirichlet(np.ones(k), n) * 0.6 + 0.4 * np.eye(k)[truth], counts=[1] * k
        )
        for _ in range(n_draws)
    ]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.integers(2, 60), st.integers(0, 1_000))
def test_the_interval_holds_the_estimate_and_stays_in_range(n_draws, n, seed):
    for metric in METRICS.values():
        if metric.name in ("auroc", "average_precision"):
            continue
        found = estimate(metric, random_outcomes(seed, n, n_draws), np.arange(n))
        if found.low is None:
            assert found.reason
        else:
            assert metric.limits[0] <= found.low <= found.value <= found.high <= metric.limits[1]
            assert found.reason is None


def test_wilsons_interval_is_the_textbooks():
    """Golden: 15 of 20 with Student's quantile at 19 and n = p (1 - p) / V = 19."""
    found = interval([1] * 15 + [0] * 5)
    z2, n, p = t.ppf(0.975, 19) ** 2, 19, 0.75
    centre, reach = (p + z2 / (2 * n)) / (1 + z2 / n), (z2 * (p * (1 - p) / n + z2 / (4 * n * n))) ** 0.5
    assert found.low == pytest.approx(centre - reach / (1 + z2 / n))
    assert found.high == pytest.approx(centre + reach / (1 + z2 / n))


def test_halls_interval_inverts_his_transformation():
    x = np.random.default_rng(0).exponential(size=300) ** 1.5
    found = interval(x)
    se, n = x.std(ddof=1) / 300**0.5, 300
    a = ((x - x.mean()) ** 3).mean() / x.var() ** 1.5 / n**0.5

    def mended(mu):
        at = (x.mean() - mu) / se
        return at + a * at**2 / 3 + a**2 * at**3 / 27 + a / 6

    q = t.ppf(0.975, n - 1)
    assert found.low == pytest.approx(brentq(lambda mu: mended(mu) - q, 0, x.mean()), rel=1e-3)
    assert found.high == pytest.approx(brentq(lambda mu: mended(mu) + q, x.mean(), 10), rel=1e-3)
    assert found.high - x.mean() > x.mean() - found.low


def test_a_symmetric_mean_has_students_interval():
    x = np.tile([-1.0, 1.0], 150)
    reach = t.ppf(0.975, 299) * x.std(ddof=1) / 300**0.5
    assert interval(x).high == pytest.approx(reach)


def test_faultless_on_few_rows_is_not_certainty():
    found = interval(np.ones((3, 5)))
    assert found.high == 1
    assert found.low < 0.7


def test_balanced_accuracy_is_no_surer_than_its_rarest_class():
    truth = np.repeat([0, 1], [990, 10])
    sure = Outcome.of(np.arange(1_000), truth, 0.9 * np.eye(2)[truth] + 0.05, counts=[1, 1])
    assert estimate(ACCURACY, [sure], np.arange(1_000)).low > 0.995
    assert estimate(BALANCED, [sure], np.arange(1_000)).low < 0.93


def test_the_variance_of_balanced_accuracy_is_that_of_each_class_unbiased():
    rng = np.random.default_rng(4)
    truth = np.repeat([0, 1, 2], [30, 8, 4])
    p = rng.dirichlet(np.ones(3), 42) + 0.4 * np.eye(3)[truth]
    o = Outcome.of(np.arange(42), truth, p / p.sum(axis=1, keepdims=True), counts=[1, 1, 1])
    each = cells_of(BALANCED, [o], np.arange(42)).each
    own = sum(o.correct[truth == c].var(ddof=1) / (truth == c).sum() for c in range(3)) / 9
    assert (each**2).sum() == pytest.approx(own)
    assert (cells_of(ACCURACY, [o], np.arange(42)).each ** 2).sum() == pytest.approx(o.correct.var() / 42)


def test_copies_of_a_row_are_one_observation():
    correct = np.random.default_rng(0).random(40) < 0.6
    alone = interval(correct)
    twice = interval(np.tile(correct, 2), units=np.tile(np.arange(40), 2))
    assert twice.high - twice.low == pytest.approx(alone.high - alone.low, rel=0.06)


def test_groups_that_are_alike_by_chance_are_no_more_than_their_rows():
    """Fifty pairs of one right and one wrong, and one pair of two right: the variance of groups is tiny."""
    groups = np.repeat(np.arange(51), 2)
    correct = np.append(np.tile([1, 0], 50), [1, 1])
    found, rows = interval(correct, units=groups), interval(correct)
    assert found.high - found.low == pytest.approx(rows.high - rows.low, rel=0.02)
    even = interval(correct[:-2], units=groups[:-2])
    assert even.high - even.low > 1.3 * (rows.high - rows.low)


def test_draws_on_the_same_test_rows_do_not_multiply_the_evidence():
    correct = np.random.default_rng(1).random(50) < 0.6
    once, often = interval(correct), interval(np.tile(correct, (10, 1)))
    assert often.high - often.low == pytest.approx(once.high - once.low, rel=0.02)


def test_draws_that_disagree_widen_the_interval():
    rng = np.random.default_rng(2)
    steady = rng.random((6, 200)) < 0.7
    moody = rng.random((6, 200)) < np.array([0.5, 0.6, 0.7, 0.7, 0.8, 0.9])[:, None]
    a, b = interval(steady), interval(moody)
    assert b.high - b.low > 1.5 * (a.high - a.low)


def test_one_unit_has_no_interval_and_the_reason_is_said():
    found = interval([[1, 1, 0, 1], [1, 1, 1, 1]], units=[7, 7, 7, 7])
    assert (found.value, found.low, found.high) == (0.875, None, None)
    assert found.reason == "all test rows belong to one unit"
    units = np.zeros(60, dtype=int)
    for metric in METRICS.values():
        assert estimate(metric, random_outcomes(0, 60, 2), units).low is None


def test_a_few_very_unequal_units_have_no_interval():
    sizes = [400, 300, 200, 150, 100, 50]
    correct = np.random.default_rng(0).random(1_200) < 0.8
    found = interval(correct, units=np.repeat(np.arange(6), sizes))
    assert found.reason == "the 6 test units are as good as 4.4 of equal size; an interval needs 5"
    assert interval(correct, units=np.repeat(np.arange(6), 200)).low is not None
    assert INTERVAL_UNITS == 5


def test_means_have_an_interval_from_so_many_units_on():
    x = np.random.default_rng(0).exponential(size=LEAST_UNITS)
    assert interval(x).low is not None
    assert interval(x[1:]).reason == "199 test units; an interval of a mean needs 200"


def test_a_calibration_error_has_no_interval():
    found = estimate(METRICS["ece"], random_outcomes(0, 300, 2), np.arange(300))
    assert (found.low, found.high, found.reason) == (None, None, "ece has no interval")
    assert found.value > 0


def test_a_perfect_ranking_has_no_interval_of_no_width():
    truth = np.arange(400) % 2
    o = Outcome.of(np.arange(400), truth, 0.8 * np.eye(2)[truth] + 0.1, counts=[1, 1])
    found = estimate(METRICS["auroc"], [o], np.arange(400))
    assert (found.value, found.low) == (1, None)
    assert found.reason == "no two test rows differ from one another"


def binary(truth, right, rng=None):
    """Two classes; the probability of what is predicted varies where a generator is given."""
    sure = np.full(len(truth), 0.8) if rng is None else rng.uniform(0.55, 0.95, len(truth))
    of_truth = np.where(right, sure, 1 - sure)
    one = np.where(np.asarray(truth) == 1, of_truth, 1 - of_truth)
    return Outcome.of(np.arange(len(truth)), np.asarray(truth), np.stack([1 - one, one], 1), counts=[1, 1])


def test_balanced_accuracy_is_as_sure_as_the_few_rows_of_its_rarest_class():
    """5,000 rows with a recall of .98 and 10 of .80: degrees of freedom are those of the 10."""
    rng, held = np.random.default_rng(0), 0
    truth = np.repeat([0, 1], [5_000, 10])
    for _ in range(400):
        found = estimate(
            BALANCED, [binary(truth, rng.random(5_010) < np.where(truth, 0.8, 0.98))], np.arange(5_010)
        )
        held += found.low <= 0.89 <= found.high
    assert held / 400 > 0.93


@pytest.mark.parametrize(("name", "needs"), [("balanced_accuracy", 5), ("macro_f1", 20), ("auroc", 20)])
def test_the_rarest_class_must_have_enough_units(name, needs):
    rng = np.random.default_rng(1)
    for few, shown in ((needs - 1, False), (needs, True)):
        truth = np.repeat([0, 1], [400, few])
        o = binary(truth, rng.random(len(truth)) < np.where(truth, 0.6, 0.7), rng)
        found = estimate(METRICS[name], [o], np.arange(len(truth)))
        assert (found.low is not None) == shown
        assert shown or f"the {few} test units of class number 1 are as good as {few}" in found.reason


def test_a_class_of_one_patient_has_no_balanced_accuracy_with_an_interval():
    truth = np.repeat([0, 1], [100, 50])
    units = np.r_[np.arange(100), np.full(50, 100)]
    found = estimate(BALANCED, [binary(truth, np.arange(150) % 4 > 0)], units)
    assert (found.low, found.reason.count("class number 1")) == (None, 1)


def test_macro_f1_needs_rows_of_each_class_that_are_right():
    truth = np.repeat([0, 1], [400, 60])
    o = binary(truth, np.r_[np.arange(400) % 9 > 0, np.arange(60) < 4])
    assert (
        "4 test units of class number 1 are right; "
        in estimate(METRICS["macro_f1"], [o], np.arange(460)).reason
    )


@pytest.mark.parametrize("name", ["log_loss", "brier"])
def test_the_mean_of_losses_needs_errors(name):
    """Right in 99.5 % of 200 rows: the interval held the truth in 84 %."""
    rng = np.random.default_rng(3)
    truth = np.arange(300) % 2
    for errors, shown in ((4, False), (5, True)):
        found = estimate(METRICS[name], [binary(truth, np.arange(300) >= errors, rng)], np.arange(300))
        assert (found.low is not None) == shown
    assert "needs 5" in estimate(METRICS[name], [binary(truth, truth >= 0, rng)], np.arange(300)).reason


def test_a_ranking_that_is_nearly_perfect_has_no_interval():
    rng = np.random.default_rng(4)
    truth = np.repeat([0, 1], [1_000, 50])
    x = rng.normal(size=1_050) + 3.0 * truth
    p = 1 / (1 + np.exp(-3 * (x - 1.5)))
    o = Outcome.of(np.arange(1_050), truth, np.stack([1 - p, p], 1), counts=[1, 1])
    assert "lacks 2.3 test units" in estimate(METRICS["auroc"], [o], np.arange(1_050)).reason


def test_few_groups_that_are_alike_are_no_certainty():
    """Five groups of 100: nearly all right says little of how groups differ."""
    units, right = np.repeat(np.arange(5), 100), np.ones(500)
    lows = []
    for errors in range(6):
        right[:errors] = 0
        lows.append(interval(right[np.random.default_rng(0).permutation(500)], units=units).low)
    assert max(lows) < 0.86
    assert np.abs(np.diff(lows)).max() < 0.12
    rows = interval(right).low
    assert rows > 0.97


def test_many_groups_without_effects_are_nearly_as_sure_as_their_rows():
    right = np.random.default_rng(5).random(5_000) < 0.8
    grouped, rows = interval(right, units=np.arange(5_000) // 20), interval(right)
    assert (grouped.high - grouped.low) / (rows.high - rows.low) == pytest.approx(1, abs=0.12)


def test_another_level_is_another_length():
    x = np.random.default_rng(3).random(100) < 0.5
    wide, narrow = interval(x, level=0.99), interval(x, level=0.8)
    assert wide.low < narrow.low < narrow.high < wide.high
    assert (wide.level, narrow.level) == (0.99, 0.8)


def test_a_plugins_metric_gets_its_interval_by_the_jackknife():
    own = MetricSpec(name="hits", score=lambda c, p: float((p.argmax(1) == c).mean()), limits=(0.0, 1.0))
    outcomes = random_outcomes(3, 200, 3)
    a, b = (Spread.of(cells_of(m, outcomes, np.arange(200))) for m in (own, ACCURACY))
    assert a.variance == pytest.approx(b.variance)
    assert estimate(own, outcomes, np.arange(200)).low < estimate(own, outcomes, np.arange(200)).value


def test_the_jackknife_of_many_units_is_made_of_blocks():
    """2,000 units are 200 calls and no 2,000, and the variance is the same."""
    calls = []

    def hits(codes, proba):
        calls.append(1)
        return float((proba.argmax(1) == codes).mean())

    outcomes = random_outcomes(4, 2_000, 2)
    found = estimate(MetricSpec(name="hits", score=hits), outcomes, np.arange(2_000))
    assert len(calls) <= 2 * 202
    own = estimate(ACCURACY, outcomes, np.arange(2_000))
    assert found.high - found.low == pytest.approx(own.high - own.low, rel=0.15)


def test_a_metric_that_fails_without_some_rows_keeps_its_value():
    def two_classes(codes, proba):
        if len(np.unique(codes)) < 2:
            raise ValueError("one class")
        return float((proba.argmax(1) == codes).mean())

    truth = np.r_[np.zeros(260, int), np.ones(40, int)]
    units = np.r_[np.arange(260), np.full(40, 260)]
    o = binary(truth, np.arange(300) % 5 > 0)
    found = estimate(MetricSpec(name="own", score=two_classes, made_of="rows"), [o], units)
    assert (found.value, found.low) == (0.8, None)
    assert found.reason == "own is not defined without some of the test rows"
