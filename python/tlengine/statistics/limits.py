"""How much must be there before an interval or a test is shown, and what is said where it is not.

Each number is held by the simulations of ``scripts/validate``, whose tables stand in ``docs/validation.md``.
"""

from __future__ import annotations

from tlengine.statistics.clustering import Spread

__all__ = [
    "INTERVAL_UNITS",
    "LEAST_EVENTS",
    "LEAST_IN_CLASS",
    "LEAST_MISPLACED",
    "LEAST_UNITS",
    "RARE",
    "TEST_UNITS",
]

INTERVAL_UNITS = 5.0
"""Units of equal size that those of an interval must be as good as: it spans most of the scale with fewer."""
TEST_UNITS = 2.2
"""The same of a paired test, which is read for its p-value and keeps its level with fewer. Two equal units,
or one that outweighs all others, reject too often."""
LEAST_UNITS = 200
"""Test units that the mean of values that are no proportions (log-loss, say) needs."""
LEAST_IN_CLASS = 5
"""Units of equal size in each class that the interval of balanced accuracy needs."""
RARE = 20
"""The same of other metrics that are made of classes (macro F1, AUROC, average precision)."""
LEAST_EVENTS = 5
"""Units with an error that the interval of a loss needs, which is mostly its errors; and units of each class
that are right for a mean over classes that is no proportion, which hangs on them."""
LEAST_MISPLACED = 6.0
"""What a ranking lacks of 1, times the units of each class or its others where they are fewer, added up: its
interval needs so much. Of two classes it is twice the units of the rarer one that are out of place."""
ROUNDING = 1e-12
"""Relative standard error that is none."""


def few_units(spread: Spread, least: float, what: str) -> str | None:
    """Why the units are not enough for ``what``, an interval or a test; None where they are."""
    if spread.units == 1:
        return "all test rows belong to one unit"
    if spread.effective_units < least - 1e-9:
        return (
            f"the {spread.units} test units are as good as {spread.effective_units:.1f} of equal size; "
            f"{what} needs {least:g}"
        )
    return None


def no_mean(value: float, spread: Spread, what: str) -> str | None:
    """Why nothing can be said of a mean of values that are no proportions; None where it can."""
    if spread.units < LEAST_UNITS:
        return f"{spread.units} test units; {what} of a mean needs {LEAST_UNITS}"
    return no_variance(value, spread)


def no_variance(value: float, spread: Spread) -> str | None:
    """Why nothing can be said where nothing varies but by rounding."""
    nothing = spread.variance <= (ROUNDING * value) ** 2
    return "no two test rows differ from one another" if nothing else None
