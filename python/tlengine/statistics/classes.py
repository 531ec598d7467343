"""The classes among test rows: whether each has enough of them, and how sure a mean over classes is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tlengine.plugins.records import MetricSpec
from tlengine.statistics.clustering import Cells
from tlengine.statistics.limits import LEAST_EVENTS, LEAST_IN_CLASS, LEAST_MISPLACED, RARE
from tlengine.statistics.outcomes import Outcome

__all__ = ["ClassUnits", "class_df", "classes_of", "few_of"]

Units = npt.NDArray[np.intp]


@dataclass(frozen=True, kw_only=True)
class ClassUnits:
    """The test units of one class.

    Attributes:
        number: of the class. units: how many. effective: as good as so many of equal size.
        right: units with a row that is predicted right.
        variance: of a proportion's rows in this class.
    """

    number: int
    units: int
    effective: float
    right: int
    variance: float


def classes_of(metric: MetricSpec, seeds: Sequence[Outcome], units: Units, cells: Cells) -> list[ClassUnits]:
    """The classes among the test rows of all draws, where a metric is made of classes."""
    if metric.made_of == "rows":
        return []
    truth = np.concatenate([o.truth for o in seeds])
    unit = units[np.concatenate([o.rows for o in seeds])]
    right = np.concatenate([o.correct for o in seeds]) > 0
    variances = _variances(truth, cells)
    found = []
    for c in np.unique(truth).tolist():
        own = truth == c
        weight = np.bincount(unit[own]).astype(np.float64)
        found.append(
            ClassUnits(
                number=c,
                units=int(np.count_nonzero(weight)),
                effective=float(weight.sum() ** 2 / (weight**2).sum()),
                right=len(np.unique(unit[own & right])),
                variance=float(variances[c]),
            )
        )
    return found


def _variances(truth: Units, cells: Cells) -> npt.NDArray[np.float64]:
    """(K,) r (1 - r) of each class, averaged over draws; a row adds (right - r) / (rows K) to the mean r."""
    n_draws = len(cells.values)
    pair = truth * n_draws + cells.draw
    rows = np.bincount(pair, minlength=(int(truth.max()) + 1) * n_draws).reshape(-1, n_draws)
    squares = np.bincount(pair, weights=cells.each**2, minlength=rows.size).reshape(rows.shape)
    each = squares * rows * (rows > 0).sum(axis=0) ** 2
    return np.asarray(np.minimum(0.25, each.sum(axis=1) / np.maximum(1, (rows > 0).sum(axis=1))))


def few_of(
    metric: MetricSpec, value: float, seeds: Sequence[Outcome], units: Units, classes: Sequence[ClassUnits]
) -> str | None:
    """Why errors, or units of a class, are not enough for an interval, or None."""
    needs = f"an interval of {metric.name} needs"
    least = LEAST_IN_CLASS if metric.share else RARE
    for each in classes:
        if each.effective < least - 1e-9:
            units_of = f"the {each.units} test units of class number {each.number}"
            return f"{units_of} are as good as {each.effective:.3g} of equal size; {needs} {least}"
        if metric.share is None and metric.made_of == "classes" and each.right < LEAST_EVENTS:
            return f"{each.right} test units of class number {each.number} are right; {needs} {LEAST_EVENTS}"
    if metric.share is not None:
        return None
    if metric.made_of == "ranks":
        n = np.array([each.effective for each in classes])
        lacking = (1.0 - value) * float(np.minimum(n, n.sum() - n).sum())
        few = f"the ranking lacks {lacking:.1f} test units of a perfect one"
        return f"{few}; {needs} {LEAST_MISPLACED:g}" if lacking < LEAST_MISPLACED else None
    wrong = len(np.unique(units[np.concatenate([o.rows[o.correct == 0] for o in seeds])]))
    return f"{wrong} test units with an error; {needs} {LEAST_EVENTS}" if wrong < LEAST_EVENTS else None


def class_df(classes: Sequence[ClassUnits]) -> float:
    """Satterthwaite's degrees of freedom of a mean over classes, each with half a unit more of both kinds."""
    n = np.array([each.effective for each in classes])
    within = np.array([each.variance for each in classes])
    variances = (n**2 * within + 0.5 * n + 0.25) / (n + 1) ** 2 / n
    return max(1.0, float(variances.sum() ** 2 / (variances**2 / np.maximum(1.0, n - 1)).sum()))
