"""What paired tests against controls say together: does transfer help, how sure is it, what would settle it.

The rules are those of "How a run judges". No control is picked: a gain must be shown against every control,
a loss against any, and for "none" the choice must lose to no control and gain little over one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal, TypeVar

from tlengine.errors import EmptyInputError
from tlengine.statistics.clustering import Spread
from tlengine.statistics.multiplicity import holm
from tlengine.statistics.paired import PairedTest, interval_at

__all__ = ["ALPHA", "MARGIN", "Answer", "Decision", "Settlement", "decide", "helps_up_to"]

Answer = Literal["positive", "negative", "none", "undecided"]
Place = TypeVar("Place")
ALPHA = 0.05
MARGIN = 0.02
"""Accuracies that differ by less are equal for practice: the margin of the equivalence test."""
POWER = 0.6
"""Two-sided level whose one end leaves 20 % out: a difference beyond both reaches is found in 80 %."""
MOST = 1_000.0
"""So many times the present number of test units or draws count as never enough."""


@dataclass(frozen=True, kw_only=True)
class Settlement:
    """What would find a difference of the margin, or as large as the one seen, with a power of 80 %.

    Attributes:
        difference: that difference.
        test_units: how many test units it takes with as many draws as now; None where draws alone vary too
            much, so that no number is enough.
        draws: how many draws it takes on the test units of now; None for one draw, and where no number is
            enough. Both None: more of both.
    """

    difference: float
    test_units: int | None
    draws: int | None


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The outcome of a choice against its controls.

    Attributes:
        outcome: ``"positive"``: every p < .05 with a gain. ``"negative"``: a loss to any control, Holm over
            the controls. ``"none"``: every lower 90 % limit above minus the margin and, Holm over the
            controls, one upper limit below it. Else ``"undecided"``.
        p_adjusted: Holm's, one for each control.
        lower: the lower 90 % limit (95 % one-sided) against each control, None where there is none.
        upper: the upper limit against each control at the level of Holm's first step.
        margin: the smallest margin at which the outcome would be "none": no loss to any control is above it,
            nor the gain over the one of the least upper limit; against a single control, any difference is
            below it. None where no interval can be had.
        settled_by: for "undecided", what would settle it.
    """

    outcome: Answer
    p_adjusted: tuple[float, ...]
    lower: tuple[float | None, ...]
    upper: tuple[float | None, ...]
    margin: float | None
    settled_by: Settlement | None = None


def decide(tests: Sequence[PairedTest], *, margin: float = MARGIN, alpha: float = ALPHA) -> Decision:
    """The outcome of a choice against controls, from a paired test against each.

    Args:
        tests: the choice minus each control, on the same draws and test rows.
        margin: differences below it are equal for practice.
        alpha: level of every decision.

    Raises:
        EmptyInputError: no test.

    >>> from tlengine.statistics import paired_test
    >>> right, wrong = [1, 1, 1, 0] * 100, [1, 0, 0, 0] * 100
    >>> decide([paired_test(right, wrong)]).outcome, decide([paired_test(wrong, right)]).outcome
    ('positive', 'negative')
    >>> decide([paired_test(right, right)]).outcome, decide([paired_test(right[:20], right[:20])]).outcome
    ('none', 'undecided')
    """
    if not tests:
        raise EmptyInputError("no control to compare with", hint="run at least one control")
    adjusted = holm([test.p_value for test in tests])
    lower = tuple(_limit(test, 1 - 2 * alpha, 0) for test in tests)
    upper = tuple(_limit(test, 1 - 2 * alpha / len(tests), 1) for test in tests)
    found = _outcome(tests, adjusted, margin, alpha)
    return Decision(
        outcome=found,
        p_adjusted=tuple(adjusted),
        lower=lower,
        upper=upper,
        margin=_smallest_margin(lower, upper),
        settled_by=_settlement(tests, margin, alpha) if found == "undecided" else None,
    )


def _outcome(tests: Sequence[PairedTest], adjusted: Sequence[float], margin: float, alpha: float) -> Answer:
    if all(test.p_value < alpha and test.effect > 0 for test in tests):
        return "positive"
    if any(p < alpha and test.effect < 0 for p, test in zip(adjusted, tests, strict=True)):
        return "negative"
    no_loss = all(test.above(-margin) < alpha for test in tests)
    no_gain = min(holm([test.below(margin) for test in tests])) < alpha
    return "none" if no_loss and no_gain else "undecided"


def _limit(test: PairedTest, level: float, side: Literal[0, 1]) -> float | None:
    found = interval_at(test, level)
    return None if found is None else found[side]


def _smallest_margin(lower: Sequence[float | None], upper: Sequence[float | None]) -> float | None:
    below = [-limit for limit in lower if limit is not None]
    above = [limit for limit in upper if limit is not None]
    if not above or len(below) < len(lower):
        return None
    return max(0.0, *below, min(above))


def _settlement(tests: Sequence[PairedTest], margin: float, alpha: float) -> Settlement | None:
    """For the undecided test that is furthest from being settled.

    Where a difference of the margin would be found already, what was seen is smaller and still not nothing:
    then that is what is to be found.
    """
    known = [test for test in tests if test.reason is None]
    open_ones = [test for test in known if not _settled(test, margin, alpha)] or known
    found = [_settlement_of(test.spread, abs(test.effect), margin) for test in open_ones]
    return max(found, key=_asked_for) if found else None


def _settled(test: PairedTest, margin: float, alpha: float) -> bool:
    """Whether a test by itself shows a gain, or that there is less than the margin either way."""
    equal = test.above(-margin) < alpha and test.below(margin) < alpha
    return equal or (test.effect > 0 and test.p_value < alpha)


def _asked_for(settlement: Settlement) -> tuple[float, float]:
    """More for what is further away; what no number settles is furthest."""
    units, draws = settlement.test_units, settlement.draws
    return float("inf") if units is None else units, float("inf") if draws is None else draws


def _settlement_of(spread: Spread, seen: float, margin: float) -> Settlement:
    difference = seen if _finds(spread, max(margin, seen)) else max(margin, seen)
    units = draws = None
    if _finds(spread.scaled(units=MOST), difference):
        units = _least(lambda u: _finds(spread.scaled(units=u), difference), spread.units)
    if spread.draws > 1 and _finds(spread.scaled(draws=MOST), difference):
        draws = _least(lambda d: _finds(spread.scaled(draws=d), difference), spread.draws)
    return Settlement(difference=difference, test_units=units, draws=draws)


def _finds(spread: Spread, difference: float) -> bool:
    """Whether such a difference is found at 5 % with a power of 80 %."""
    return spread.reach(1 - ALPHA) + spread.reach(POWER) <= difference


def _least(enough: Callable[[float], bool], present: int) -> int:
    """The least number, as a multiple of the present one, that is enough; where ``MOST`` times it is."""
    low, high = 1.0, MOST
    while high * present - low * present > 0.25:
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return max(present, ceil(high * present - 0.5))


def helps_up_to(outcomes: Sequence[tuple[Place, Answer]]) -> Place | None:
    """The last budget of a fixed sequence, from the smallest up, that stops at the first not positive.

    Testing in a fixed order keeps the level of every test (Maurer, Hothorn & Lehmacher 1995).

    Args:
        outcomes: budgets with their outcomes, the smallest budget first.

    Returns:
        The largest budget up to which transfer helps at every one; None where it does not at the first.

    >>> helps_up_to([(5, "positive"), (20, "positive"), (50, "undecided"), ("all", "positive")])
    20
    """
    reached = None
    for place, outcome in outcomes:
        if outcome != "positive":
            break
        reached = place
    return reached
