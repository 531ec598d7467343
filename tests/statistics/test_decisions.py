import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlengine.errors import EmptyInputError
from tlengine.statistics import decide, helps_up_to, paired_test
from tlengine.statistics.clustering import Spread, quantile
from tlengine.statistics.decisions import MARGIN
from tlengine.statistics.paired import PairedTest, interval_at


def a_test(effect, se, *, df=1_000.0, draws=10, draw=0.0, units=1_000, reason=None):
    """A paired test of this effect and standard error."""
    spread = Spread(
        unit=se**2 - draw,
        unit_df=df,
        draw=draw,
        between=se**2,
        third=0.0,
        draws=draws,
        units=units,
        effective_units=float(units),
        grouped=0.0,
        entries=units * draws,
        observations=float(units),
    )
    test = PairedTest(
        effect=effect,
        low=None,
        high=None,
        p_value=1.0,
        draws=draws,
        units=units,
        reason=reason,
        spread=spread,
    )
    p = 1.0 if reason else min(1.0, 2 * spread.tail(abs(effect)))
    return PairedTest(**{**vars(test), "p_value": p})


Z = quantile(1_000.0, 0.95)
Z90 = quantile(1_000.0, 0.90)


@pytest.mark.parametrize(
    ("outcome", "tests"),
    [
        ("positive", [(0.05, 0.01)]),
        ("positive", [(0.05, 0.01), (0.03, 0.01), (0.2, 0.01)]),
        ("positive", [(0.01, 0.002)]),  # a gain below the margin is one
        ("undecided", [(0.05, 0.01), (0.015, 0.01)]),  # not shown against the second
        ("negative", [(-0.05, 0.01)]),
        ("negative", [(0.05, 0.01), (-0.04, 0.01), (0.0, 0.01)]),
        ("undecided", [(0.0, 0.01), (-0.022, 0.01)]),  # p = .028: lost alone, not among two
        ("none", [(0.0, 0.005)]),
        ("none", [(0.0, 0.005), (0.1, 0.05)]),  # wins over the second are no reason against it
        ("undecided", [(0.0, 0.02)]),
        ("undecided", [(0.0, 0.005), (0.0, 0.02)]),  # may lose to the second
        ("undecided", [(0.015, 0.011)]),
    ],
)
def test_the_four_outcomes(outcome, tests):
    assert decide([a_test(*test) for test in tests]).outcome == outcome


@pytest.mark.parametrize(("nudge", "outcome"), [(1e-9, "positive"), (-1e-9, "undecided")])
def test_a_gain_at_the_limit_must_be_beyond_it(nudge, outcome):
    assert decide([a_test(Z * 0.02 + nudge, 0.02)]).outcome == outcome


@pytest.mark.parametrize(("nudge", "outcome"), [(1e-9, "negative"), (-1e-9, "undecided")])
def test_a_loss_at_holms_limit_must_be_beyond_it(nudge, outcome):
    at = quantile(1_000.0, 1 - 0.05 / 2)
    assert decide([a_test(0.0, 0.02), a_test(-at * 0.02 - nudge, 0.02)]).outcome == outcome


@pytest.mark.parametrize(("nudge", "outcome"), [(1e-9, "none"), (-1e-9, "undecided")])
@pytest.mark.parametrize("side", [-1, 1])
def test_no_difference_at_the_margin_must_be_within_it(side, nudge, outcome):
    assert decide([a_test(side * (MARGIN - Z90 * 0.006 - nudge), 0.006)]).outcome == outcome


@pytest.mark.parametrize(("nudge", "outcome"), [(1e-9, "none"), (-1e-9, "undecided")])
def test_little_gain_over_one_of_two_is_holm_adjusted(nudge, outcome):
    at = quantile(1_000.0, 1 - 2 * 0.05 / 2)
    little = a_test(MARGIN - at * 0.005 - nudge, 0.005)
    assert decide([little, a_test(0.03, 0.02)]).outcome == outcome


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.floats(-0.1, 0.1), st.floats(0.001, 0.05)), min_size=1, max_size=4))
def test_the_smallest_margin_is_where_the_outcome_becomes_none(effects):
    tests = [a_test(*each) for each in effects]
    found = decide(tests)
    if found.outcome in ("positive", "negative"):
        return
    assert decide(tests, margin=found.margin + 1e-7).outcome == "none"
    assert found.margin == 0 or decide(tests, margin=found.margin - 1e-7).outcome == "undecided"
    assert (found.outcome == "none") == (found.margin < MARGIN)


def test_limits_are_those_of_the_intervals():
    tests = [a_test(0.0, 0.01), a_test(0.01, 0.02)]
    found = decide(tests)
    assert found.lower == tuple(interval_at(t, 0.9)[0] for t in tests)
    assert found.upper == tuple(interval_at(t, 0.95)[1] for t in tests)
    assert found.p_adjusted == pytest.approx((1.0, 1.0))


def test_a_test_without_an_interval_decides_nothing():
    blind = a_test(0.5, 0.01, reason="all test rows belong to one unit")
    found = decide([blind])
    assert (found.outcome, found.margin, found.settled_by, found.lower) == ("undecided", None, None, (None,))
    both = decide([a_test(0.0, 0.001), blind])
    assert (both.outcome, both.margin) == ("undecided", None)
    assert decide([a_test(-0.1, 0.01), blind]).outcome == "negative"


def test_what_would_settle_it_names_test_rows_where_they_are_missing():
    """2.8 standard errors in two points: 800 rows of se 1.5 points are to become some 3,530."""
    found = decide([a_test(0.0, 0.015, units=800)]).settled_by
    assert found.difference == MARGIN
    assert found.test_units == pytest.approx(800 * (0.015 * 2.8 / 0.02) ** 2, rel=0.003)
    assert found.draws is None


def test_what_would_settle_it_looks_at_one_undecided_test_at_a_time():
    """A noisy gain that is sure asks for nothing, and lends its noise to no other control."""
    sure, undecided = a_test(0.30, 0.03), a_test(0.004, 0.012)
    both = decide([sure, undecided])
    assert both.outcome == "undecided"
    assert both.settled_by == decide([undecided]).settled_by


def test_what_would_settle_it_is_asked_for_the_test_that_needs_most():
    near, far = a_test(0.0, 0.015), a_test(0.0, 0.03)
    assert decide([near, far]).settled_by == decide([far]).settled_by
    assert decide([far, near]).settled_by.test_units > decide([near]).settled_by.test_units


def test_what_would_settle_it_names_draws_where_they_are_missing():
    found = decide([a_test(0.0, 0.01, draw=0.01**2 - 0.004**2, draws=5, df=1e6)]).settled_by
    allowed = (0.02 / 2.8) ** 2
    normal = 5 * (0.01**2 - 0.004**2) / (allowed - 0.004**2)
    assert normal <= found.draws <= normal + 2, "a draw more for the few degrees of freedom"
    assert found.test_units is None


def test_two_draws_know_little_of_how_draws_vary():
    """Two draws 14 points apart: by the normal law a gain of 30 points were sure, by Student's it is not."""
    test = paired_test(
        np.array([[1] * 90 + [0] * 10, [1] * 76 + [0] * 24]), np.array([[1] * 53 + [0] * 47] * 2)
    )
    found = decide([test])
    assert found.outcome == "undecided"
    assert (found.settled_by.test_units, found.settled_by.difference) == (None, pytest.approx(0.3))
    assert 3 <= found.settled_by.draws <= 6


@settings(max_examples=100, deadline=None)
@given(
    st.floats(-0.1, 0.1), st.floats(0.001, 0.1), st.integers(2, 12), st.floats(0, 0.95), st.integers(5, 5_000)
)
def test_more_is_asked_for_than_there_is(effect, se, draws, share, units):
    test = a_test(effect, se, draws=draws, draw=share * se**2, units=units)
    found = decide([test])
    if found.outcome != "undecided":
        return
    settled = found.settled_by
    assert settled.test_units is None or settled.test_units > units
    assert settled.draws is None or settled.draws > draws


def pairs(rng, n, gap):
    """Right or wrong twice: one row in ten differs, gains exceeding losses by ``gap``."""
    common, kind = rng.random(n) < 0.8, rng.random(n)
    gain, loss = kind < 0.05 + gap / 2, kind > 0.95 + gap / 2
    return (common | gain) & ~loss, (common & ~gain) | loss


def test_what_would_settle_it_is_enough():
    """With that many test rows, a difference of the margin is found in 80 % of the cases."""
    rng = np.random.default_rng(0)
    found = decide([paired_test(*pairs(rng, 400, 0.0))])
    assert found.outcome == "undecided"
    needed = found.settled_by
    assert needed.difference == MARGIN
    hits = sum(paired_test(*pairs(rng, needed.test_units, MARGIN)).p_value < 0.05 for _ in range(400))
    assert 0.7 < hits / 400 < 0.9


def test_a_decided_outcome_needs_no_settling():
    assert decide([a_test(0.1, 0.01)]).settled_by is None


def test_no_control_is_an_error():
    with pytest.raises(EmptyInputError, match="no control"):
        decide([])


@pytest.mark.parametrize(
    ("outcomes", "up_to"),
    [
        ([], None),
        (["none", "positive"], None),
        (["positive"], 0),
        (["positive", "positive", "none", "positive"], 1),
        (["positive"] * 4, 3),
        (["negative"] * 2, None),
    ],
)
def test_help_ends_at_the_first_budget_that_is_not_positive(outcomes, up_to):
    assert helps_up_to(list(enumerate(outcomes))) == up_to
