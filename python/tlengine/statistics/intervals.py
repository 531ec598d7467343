"""Intervals of what was measured, over draws of training rows and test units (see :mod:`.clustering`).

Proportions get Wilson's interval (JASA 1927) at the number of independent observations that their variance
speaks of. Few groups that are alike say little of how groups differ, and few errors little of how alike rows
of a group are. So where units are groups the likeness of their rows is drawn towards one half, and the
interval is never shorter than with a part of a group more, half of whose rows are right (Agresti & Coull, The
American Statistician 1998, who add rows). A mean over classes has Satterthwaite's degrees of freedom.

Other means are skewed: theirs is Student's, mended for skewness (Hall, "On the removal of skewness by
transformation", JRSS B 1992), and there is none where there are few units or errors (:mod:`.limits`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from tlengine.plugins.records import MetricSpec
from tlengine.statistics.arrays import as_draws
from tlengine.statistics.classes import ClassUnits, class_df, classes_of, few_of
from tlengine.statistics.clustering import Cells, Spread, quantile
from tlengine.statistics.limits import INTERVAL_UNITS, few_units, no_mean
from tlengine.statistics.metrics import blocks, influence, score
from tlengine.statistics.outcomes import Outcome

__all__ = ["LEVEL", "Estimate", "cells_of", "estimate", "interval"]

Units = npt.NDArray[np.intp]
FloatArray = npt.NDArray[np.float64]
LEVEL = 0.95
PSEUDO = 0.25
"""So much of a group is added where units are groups."""
PRIOR = 2.0
"""So many errors are taken to be half alike within groups, beside those that are seen."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A metric averaged over draws, with its interval.

    Attributes:
        value: the mean.
        low, high: the interval; None where none can be had, and ``reason`` says why.
        level: of the interval.
    """

    value: float
    low: float | None
    high: float | None
    reason: str | None = None
    level: float = LEVEL


def estimate(metric: MetricSpec, seeds: Sequence[Outcome], units: Units, *, level: float = LEVEL) -> Estimate:
    """A metric over distinct draws of training rows, with its interval.

    Args:
        metric: what is measured.
        seeds: the outcome of each draw, its folds pooled. Draws with equal training and test rows count once:
            pass one of them.
        units: (n,) the unit of every row of the data set.
        level: of the interval.

    Raises:
        InputError: the metric is not defined on these rows.

    >>> from tlengine.statistics.metrics import ACCURACY
    >>> right = Outcome.of(np.arange(20), np.zeros(20, int), np.tile([0.9, 0.1], (20, 1)), counts=[1, 1])
    >>> e = estimate(ACCURACY, [right], np.arange(20))
    >>> e.value, round(e.low, 2), e.high
    (1.0, 0.82, 1.0)
    """
    if not metric.interval:
        values = [score(metric, outcome) for outcome in seeds]
        reason = f"{metric.name} has no interval"
        return Estimate(value=float(np.mean(values)), low=None, high=None, reason=reason, level=level)
    cells = cells_of(metric, seeds, units)
    spread, classes = Spread.of(cells), classes_of(metric, seeds, units, cells)
    why = _reason(cells.value, spread, metric.share) or few_of(metric, cells.value, seeds, units, classes)
    if not np.isfinite(cells.each).all():
        why = f"{metric.name} is not defined without some of the test rows"
    if metric.share == "classes":
        spread = replace(spread, unit_df=min(spread.unit_df, class_df(classes)))
    limits = (0.0, 1.0) if metric.share else metric.limits
    return _estimate(cells.value, spread, metric.share, limits, _most(spread, metric, classes), level, why)


def cells_of(metric: MetricSpec, seeds: Sequence[Outcome], units: Units) -> Cells:
    """A metric's value in each draw and what each test row adds to it.

    Raises:
        InputError: the metric is not defined on these rows.
    """
    values = np.array([score(metric, outcome) for outcome in seeds])
    if metric.influence is None:
        units = blocks(units, np.unique(np.concatenate([outcome.rows for outcome in seeds])))
    each = [influence(metric, outcome, units) for outcome in seeds]
    own = [units[outcome.rows] for outcome in seeds]
    if metric.share == "classes":
        each = [e * _class_leverage(o.truth, u) for e, o, u in zip(each, seeds, own, strict=True)]
    return Cells.of(values, each, own)


def _class_leverage(truth: Units, unit: Units) -> FloatArray:
    """(m,) by what to multiply deviations from the mean of a class, which contains the unit itself."""
    _, pair = np.unique(truth * (int(unit.max()) + 1) + unit, return_inverse=True)
    share = np.bincount(pair)[pair] / np.bincount(truth)[truth]
    return np.asarray(1.0 / np.sqrt(np.where(share < 1.0, 1.0 - share, 1.0)))


def interval(
    values: npt.ArrayLike,
    *,
    units: npt.ArrayLike | None = None,
    draws: npt.ArrayLike | None = None,
    level: float = LEVEL,
) -> Estimate:
    """The mean of values that were found on test rows, with an interval over draws and units.

    Args:
        values: (m,) what was found on each test row, with one training set: 1 for right and 0 for wrong, or a
            loss. (J, m) for J training sets that were all tested on the same rows.
        units: (m,) rows of one unit (a patient, a file) are not independent; default: each row is a unit.
        draws: (m,) the training set of each value, where the test rows differ between them; ``units`` must
            then say which values belong to one row.
        level: of the interval.

    Returns:
        The mean over draws. 0 and 1 alone get Wilson's interval, other values Student's from ``LEAST_UNITS``
        units on, mended for skewness. Without an interval ``low`` and ``high`` are None, and ``reason`` says
        why.

    Raises:
        InputError: values that are empty, draws without units, or a level that is not between 0 and 1.
        NonFiniteError: a value that is NaN or infinite.
        ShapeMismatchError: shapes that do not fit together.

    >>> found = interval([1, 1, 1, 0] * 25)
    >>> found.value, round(found.low, 3), round(found.high, 3)
    (0.75, 0.655, 0.826)
    >>> interval([1, 1, 0, 0], units=["a", "a", "a", "a"]).reason
    'all test rows belong to one unit'
    """
    cells, flat = as_draws(values, units=units, draws=draws)
    share: Literal["rows"] | None = "rows" if np.isin(flat, (0.0, 1.0)).all() else None
    limits = (0.0, 1.0) if share else (-np.inf, np.inf)
    spread = Spread.of(cells)
    return _estimate(
        cells.value, spread, share, limits, float(spread.units), level, _reason(cells.value, spread, share)
    )


def _estimate(
    value: float,
    spread: Spread,
    share: str | None,
    limits: tuple[float, float],
    most: float,
    level: float,
    reason: str | None,
) -> Estimate:
    quantile(1.0, level)  # a level that is none is an error, whatever the reason
    if reason is not None:
        return Estimate(value=value, low=None, high=None, reason=reason, level=level)
    low, high = _hall(value, spread, level) if share is None else _proportion(value, spread, most, level)
    return Estimate(value=value, low=max(limits[0], low), high=min(limits[1], high), level=level)


def _reason(value: float, spread: Spread, share: str | None) -> str | None:
    """Why there is no interval, or None."""
    found = few_units(spread, INTERVAL_UNITS, "an interval")
    return found or (no_mean(value, spread, "an interval") if share is None else None)


def _most(spread: Spread, metric: MetricSpec, classes: Sequence[ClassUnits]) -> float:
    """Independent observations where nothing varies: units, harmonically over classes where those weigh."""
    if metric.share != "classes":
        return float(spread.units)
    return len(classes) ** 2 / sum(1.0 / each.units for each in classes)


def _proportion(p: float, spread: Spread, most: float, level: float) -> tuple[float, float]:
    """Wilson's interval, and where units are groups at least that with a part of a group more."""
    low, high = _wilson(p, spread, most, level)
    if not spread.grouped:
        return low, high
    units, more = spread.effective_units, PSEUDO * spread.grouped
    centre = (units * p + more / 2) / (units + more)
    z = quantile(spread.df, level)
    reach = (spread.reach(level) ** 2 + z * z * more * (p - 0.5) ** 2 / (units + 1) ** 2) ** 0.5
    return min(low, centre - reach), max(high, centre + reach)


def _wilson(p: float, spread: Spread, most: float, level: float) -> tuple[float, float]:
    """At n = p (1 - p) / V, with Student's quantile; n is ``most`` where V is none."""
    z = quantile(spread.df, level)
    variance = (spread.reach(level) / z) ** 2
    n = most
    if variance > 0:
        n = min(most * spread.entries / spread.units, p * (1 - p) / variance)
    if spread.grouped and (variance > 0 or p in (0, 1)):
        n = min(_alike(p, spread, most), n if variance > 0 else np.inf)
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    reach = (z * z * (p * (1 - p) / n + z * z / (4 * n * n))) ** 0.5 / (1 + z * z / n)
    return min(p, centre - reach), max(p, centre + reach)


def _alike(p: float, spread: Spread, most: float) -> float:
    """Rows over their design effect, the likeness of the rows of a group drawn towards one half."""
    size = 1.0 / (1.0 - spread.grouped)
    rows, likeness = most * size, 0.0
    errors = min(p, 1 - p) * rows
    if errors > 0:
        likeness = min(1.0, max(0.0, (spread.unit * rows / (p * (1 - p)) - 1.0) / (size - 1.0)))
    likeness = (likeness * errors + PRIOR / 2) / (errors + PRIOR)
    return rows / (1.0 + (size - 1.0) * likeness)


def _hall(value: float, spread: Spread, level: float) -> tuple[float, float]:
    """Values whose t, mended as t + a t^2 / 3 + a^2 t^3 / 27 + a / 6 for a skewness a, is not extreme."""
    se: float = spread.variance**0.5
    reach, a = spread.reach(level) / se, spread.third / se**3
    if abs(a) < 1e-6:
        return value - se * reach, value + se * reach
    low, high = (float(3 / a * (np.cbrt(1 + a * (u - a / 6)) - 1)) for u in (-reach, reach))
    return value - se * high, value - se * low
