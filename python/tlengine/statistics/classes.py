"""The classes among test rows: whether each has enough of them, and how sure a mean over classes is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tlengine.plugins.records import MetricSpec
from tlengine.statistics.limits import LEAST_EVENTS, LEAST_IN_CLASS, LEAST_MISPLACED, RARE
from tlengine.statistics.metrics import score
from tlengine.statistics.outcomes import Outcome

__all__ = ["ClassUnits", "class_df", "classes_of", "few_of"]

Units = npt.NDArray[np.intp]


@dataclass(frozen=True, kw_only=True)
class ClassUnits:
    """The test units of one class: their number, as how many of equal size they are good, and their value."""

    number: int
    units: int
    effective: float
    right: int
    value: float


def classes_of(metric: MetricSpec, seeds: Sequence[Outcome], units: Units) -> list[ClassUnits]:
    """The classes among the test rows of all draws, where a metric is made of classes."""
    if metric.made_of == "rows":
        return []
    truth = np.concatenate([o.truth for o in seeds])
    unit = units[np.concatenate([o.rows for o in seeds])]
    right = np.concatenate([o.correct for o in seeds]) > 0
    found = []
    for c in np.unique(truth):
        own = truth == c
        weight = np.bincount(unit[own]).astype(np.float64)
        parts = [o.only(o.truth == c) for o in seeds if (o.truth == c).any()]
        found.append(
            ClassUnits(
                number=int(c),
                units=int(np.count_nonzero(weight)),
                effective=float(weight.sum() ** 2 / (weight**2).sum()),
                right=len(np.unique(unit[own & right])),
                value=float(np.mean([score(metric, o) for o in parts])) if metric.share else float("nan"),
            )
        )
    return found


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
        lacking = (1.0 - value) * min(each.effective for each in classes)
        few = f"the ranking of the rarest class lacks {lacking:.1f} units of a perfect one"
        return f"{few}; {needs} {LEAST_MISPLACED:g}" if lacking < LEAST_MISPLACED else None
    wrong = len(np.unique(units[np.concatenate([o.rows[o.correct == 0] for o in seeds])]))
    return f"{wrong} test units with an error; {needs} {LEAST_EVENTS}" if wrong < LEAST_EVENTS else None


def class_df(classes: Sequence[ClassUnits]) -> float:
    """Satterthwaite's degrees of freedom of a mean over classes, each with half a unit more that is right."""
    n = np.array([each.effective for each in classes])
    p = (np.array([each.value for each in classes]) * n + 0.5) / (n + 1)
    variances = p * (1 - p) / n
    return max(1.0, float(variances.sum() ** 2 / (variances**2 / np.maximum(1.0, n - 1)).sum()))
