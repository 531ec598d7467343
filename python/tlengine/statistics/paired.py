"""Two ways of predicting compared on the same test rows, over draws of training rows and test units.

The difference of each row is averaged over draws and units, and its variance has the two terms of
:mod:`.clustering`. Where few rows differ, a proportion has at least the variance of Agresti & Min (Statistics
in Medicine 2005), half a pair added to each cell, at the number of independent observations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tlengine.errors import ShapeMismatchError
from tlengine.statistics.arrays import as_draws, as_values
from tlengine.statistics.clustering import Cells, Spread
from tlengine.statistics.intervals import LEVEL, cells_of
from tlengine.statistics.limits import TEST_UNITS, few_units, no_mean, no_variance
from tlengine.statistics.metrics import ACCURACY
from tlengine.statistics.outcomes import Outcome

__all__ = ["PairedTest", "interval_at", "paired_outcomes", "paired_test"]

FloatArray = npt.NDArray[np.float64]
Units = npt.NDArray[np.intp]


@dataclass(frozen=True, kw_only=True)
class PairedTest:
    """A difference on the same test rows, its interval and its two-sided p-value.

    Attributes:
        effect: the mean difference over draws, first minus second.
        low, high: its interval; None where none can be had, and ``reason`` says why. Then ``p_value`` is 1.
        p_value: two-sided, of no difference.
        level: of the interval.
        draws, units: how many draws of training rows and test units there are.
        se, df: standard error and degrees of freedom; None without an interval.
        draw_sd: standard deviation of the difference between draws; None for one draw.
        share: whether the difference is one of proportions, within -1 and 1.
        spread: the variance in its parts.
    """

    effect: float
    low: float | None
    high: float | None
    p_value: float
    draws: int
    units: int
    level: float = LEVEL
    reason: str | None = None
    share: bool = True
    spread: Spread

    @property
    def se(self) -> float | None:
        """Standard error of the effect."""
        return None if self.reason else self.spread.variance**0.5

    @property
    def df(self) -> float | None:
        """Degrees of freedom of the standard error."""
        return None if self.reason else self.spread.df

    @property
    def draw_sd(self) -> float | None:
        """Standard deviation of the effect between draws."""
        return (self.spread.between * self.draws) ** 0.5 if self.draws > 1 else None

    @property
    def scope(self) -> str:
        """What the test speaks of."""
        if self.draws == 1:
            return "for these training rows"
        return f"for training rows drawn like these {self.draws} times"

    def below(self, margin: float) -> float:
        """One-sided p-value of the hypothesis that the true difference is at least ``margin``."""
        return 1.0 if self.reason else self.spread.tail(margin - self.effect)

    def above(self, margin: float) -> float:
        """One-sided p-value of the hypothesis that the true difference is at most ``margin``."""
        return 1.0 if self.reason else self.spread.tail(self.effect - margin)


def paired_outcomes(
    strategy: Sequence[Outcome],
    control: Sequence[Outcome],
    units: Units,
    *,
    level: float = LEVEL,
) -> PairedTest:
    """Compare the accuracy of two strategies on the same draws and test rows.

    Args:
        strategy: the outcome of each distinct draw, its folds pooled.
        control: likewise; a draw has the same test rows on both sides, in any order.
        units: (n,) the unit of every row of the data set.
        level: of the interval.

    Raises:
        ShapeMismatchError: other test rows or another number of draws.

    >>> def outcome(right):
    ...     rows, proba = np.arange(40), np.stack([right, 1 - right], axis=1)
    ...     return Outcome.of(rows, np.zeros(40, int), proba, counts=[1, 1])
    >>> test = paired_outcomes([outcome(np.ones(40))], [outcome(np.arange(40) % 2.0)], np.arange(40))
    >>> test.effect, test.p_value < 1e-4, test.scope
    (0.5, True, 'for these training rows')
    """
    if len(strategy) != len(control):
        raise ShapeMismatchError(f"{len(strategy)} draws of one side, {len(control)} of the other")
    orders = [_matching(a, b) for a, b in zip(strategy, control, strict=True)]
    first, second = cells_of(ACCURACY, strategy, units), cells_of(ACCURACY, control, units)
    starts = np.cumsum([0, *(len(order) for order in orders)])
    order = np.concatenate([o + start for o, start in zip(orders, starts, strict=False)])
    cells = replace(first, values=first.values - second.values, each=first.each - second.each[order])
    return _tested(cells, np.bincount(cells.draw).astype(np.float64), level)


def paired_test(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    *,
    units: npt.ArrayLike | None = None,
    draws: npt.ArrayLike | None = None,
    level: float = LEVEL,
) -> PairedTest:
    """Test whether two ways of predicting differ, from what each found on the same test rows.

    Args:
        first: (m,) what was found on each test row, with one training set: 1 for right and 0 for wrong, or a
            loss. (J, m) for J training sets that were all tested on the same rows.
        second: of the same shape.
        units: (m,) rows of one unit (a patient, a file) are not independent; default: each row is a unit.
        draws: (m,) the training set of each value, where the test rows differ between them; ``units`` must
            then say which values belong to one row.
        level: of the interval.

    Returns:
        The test. Values other than 0 and 1 are tested from 200 test units on, as :func:`.intervals.interval`
        has it; where nothing can be said, ``reason`` says why and ``p_value`` is 1.

    Raises:
        InputError: values that are empty, draws without units, or a level that is not between 0 and 1.
        NonFiniteError: a value that is NaN or infinite.
        ShapeMismatchError: shapes that do not fit together.

    >>> rng = np.random.default_rng(0)
    >>> test = paired_test(rng.random((5, 300)) < 0.9, rng.random((5, 300)) < 0.8)
    >>> test.p_value < 0.001, test.low < 0.1 < test.high, test.draws
    (True, True, 5)
    """
    a, b = as_values(first), as_values(second)
    if a.shape != b.shape:
        raise ShapeMismatchError(f"values of shapes {a.shape} and {b.shape}", hint="pair them row by row")
    cells, _ = as_draws(a - b, units=units, draws=draws)
    binary = bool(np.isin(a, (0.0, 1.0)).all() and np.isin(b, (0.0, 1.0)).all())
    return _tested(cells, np.bincount(cells.draw).astype(np.float64) if binary else None, level)


def interval_at(test: PairedTest, level: float) -> tuple[float, float] | None:
    """The interval of a difference at another level, or None where there is none.

    A comparison that was decided at a step of Holm's procedure is shown at that step's level
    (:func:`.multiplicity.holm_levels`), so that interval and decision agree.

    >>> test = paired_test([1, 1, 1, 0] * 20, [1, 0, 0, 0] * 20)
    >>> low, high = interval_at(test, 0.99)
    >>> low < test.low < test.high < high
    True
    """
    if test.reason:
        return None
    reach = test.spread.reach(level)
    low, high = test.effect - reach, test.effect + reach
    return (max(-1.0, low), min(1.0, high)) if test.share else (low, high)


def _matching(a: Outcome, b: Outcome) -> Units:
    """Places in ``b`` of the rows of ``a``, one by one."""
    by_a, by_b = np.argsort(a.rows, kind="stable"), np.argsort(b.rows, kind="stable")
    if not np.array_equal(a.rows[by_a], b.rows[by_b]):
        raise ShapeMismatchError(
            f"{len(a.rows)} and {len(b.rows)} test rows that are not the same",
            hint="a paired test needs the same test rows on both sides",
        )
    place = np.empty_like(by_b)
    place[by_a] = by_b
    return place


def _tested(cells: Cells, rows: FloatArray | None, level: float) -> PairedTest:
    spread, effect = Spread.of(cells), cells.value
    if rows is not None:
        spread = replace(spread, unit=max(spread.unit, _agresti_min(cells, rows, spread)))
    unproportional = no_mean(effect, spread, "a test") if rows is None else no_variance(effect, spread)
    reason = few_units(spread, TEST_UNITS, "a test") or unproportional
    test = PairedTest(
        effect=effect,
        low=None,
        high=None,
        p_value=1.0,
        draws=spread.draws,
        units=spread.units,
        level=level,
        reason=reason,
        share=rows is not None,
        spread=spread,
    )
    found = interval_at(test, level)
    if found is None:
        return test
    return replace(test, low=found[0], high=found[1], p_value=min(1.0, 2 * spread.tail(abs(effect))))


def _agresti_min(cells: Cells, rows: FloatArray, spread: Spread) -> float:
    """Variance of a difference of matched proportions with half a pair added to each cell."""
    squares = np.bincount(cells.draw, weights=cells.each**2) * rows + cells.values**2
    n = spread.observations * float(rows.sum()) / len(cells.each)
    differing, gained = n * float(squares.mean()), n * cells.value
    return (differing + 1 - gained**2 / (n + 2)) / (n + 2) ** 2
