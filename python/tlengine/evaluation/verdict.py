"""From cells to an answer: which backbone and strategy, and does transfer help?

The recommendation looks at cross-validation inside the training parts alone, so the test rows stay a fair
judge of it. Whether transfer helps is a paired test against the control on the same test rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.data.budgets import Budget
from tlengine.evaluation.metrics import METRICS, Outcome, pool
from tlengine.evaluation.statistics import Estimate, PairedTest, estimate, holm, paired_test

__all__ = ["CONTROL", "Cell", "Verdict", "compare_to_control", "decide", "summarise"]

CONTROL = "raw"
ALPHA = 0.05
EQUAL = 0.02
"""Accuracies that differ by less are equal for practice: the margin of the equivalence test."""
CLOSE = 0.01
"""How near to the final accuracy "labels needed" means."""
TEST = "paired difference of accuracies, variance clustered by test unit and seed, Holm-adjusted"


@dataclass(kw_only=True)
class Cell:
    """All fits of one strategy on one backbone with one budget.

    Attributes:
        backbone, strategy, budget: which. outcomes: predictions by (seed, fold). inner: accuracy and
        log-loss inside the training part, one entry for each fit that could be cross-validated. labels:
        labels used, on average over the resamples.
    """

    backbone: str
    strategy: str
    budget: Budget
    outcomes: dict[tuple[int, int], Outcome] = field(default_factory=dict)
    inner: list[tuple[float, float]] = field(default_factory=list)
    labels: float = 0.0

    @property
    def key(self) -> tuple[str, str, Budget]:
        """Backbone, strategy and budget."""
        return self.backbone, self.strategy, self.budget

    @property
    def name(self) -> dict[str, Any]:
        """The same as the beginning of a record."""
        return {"backbone": self.backbone, "strategy": self.strategy, "budget": self.budget}

    def seeds(self) -> list[Outcome]:
        """The outcome of each seed, its folds pooled."""
        numbers = sorted({seed for seed, _ in self.outcomes})
        return [pool([o for (s, _), o in sorted(self.outcomes.items(), key=_key) if s == n]) for n in numbers]

    def inner_score(self) -> tuple[float, float]:
        """Mean accuracy, and minus the mean log-loss, inside the training parts; -inf where there is none."""
        if not self.inner:
            return -np.inf, -np.inf
        accuracy, loss = np.mean(self.inner, axis=0)
        return float(accuracy), -float(loss)


def _key(item: tuple[tuple[int, int], Outcome]) -> tuple[int, int]:
    return item[0]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The answer of a run.

    Attributes:
        outcome: ``"positive"``, ``"none"``, ``"negative"`` or ``"undecided"``: does transfer help? answer:
        the same in one sentence. backbone, strategy, budget: the recommendation, and the largest budget, at
        which it is judged. accuracy, accuracy_low, accuracy_high: on test rows, with the 95 % interval.
        control: what it is compared with, or None where there was nothing raw to compare with. effect, low,
        high: difference in accuracy to the control, with the 95 % interval; None without a control.
        p_value, p_adjusted: two-sided, alone and adjusted for the number of strategies (Holm).
        labels_needed: the smallest budget within one point of the final accuracy. beats_control_with: the
        smallest budget that reaches what the control reaches with the largest, or None. test: how the
        effect was tested. selected_on: what the recommendation was chosen by.
    """

    outcome: str
    answer: str
    backbone: str
    strategy: str
    budget: Budget
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    control: str | None = None
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    labels_needed: Budget = "all"
    beats_control_with: Budget | None = None
    test: str = TEST
    selected_on: str = "cross-validation inside the training parts"

    def as_dict(self) -> dict[str, Any]:
        """The verdict as a JSON-able mapping."""
        return asdict(self)


def summarise(cells: Sequence[Cell], units: npt.NDArray[np.intp]) -> list[dict[str, Any]]:
    """One record per cell and metric: value over all seeds, with its interval."""
    records = []
    for cell in cells:
        seeds = cell.seeds()
        for metric in METRICS:
            found = estimate(metric, seeds, units)
            records.append({**cell.name, "labels": round(cell.labels, 1), "metric": metric, **asdict(found)})
    return records


def compare_to_control(cells: Sequence[Cell], units: npt.NDArray[np.intp]) -> list[dict[str, Any]]:
    """A paired test of every cell against the control with the same budget; Holm within each budget."""
    control = {cell.budget: cell for cell in cells if cell.strategy == CONTROL}
    tested = [
        (cell, paired_test(cell.seeds(), control[cell.budget].seeds(), units))
        for cell in cells
        if cell.strategy != CONTROL and cell.budget in control
    ]
    records = []
    for budget in control:
        family = [(cell, test) for cell, test in tested if cell.budget == budget]
        adjusted = holm([test.p_value for _, test in family])
        for (cell, test), p in zip(family, adjusted, strict=True):
            records.append(
                {
                    **cell.name,
                    "control": CONTROL,
                    **{name: getattr(test, name) for name in ("effect", "low", "high", "p_value")},
                    "p_adjusted": p,
                    "outcome": classify(test, p),
                }
            )
    return records


def classify(test: PairedTest, p_adjusted: float) -> str:
    """Positive or negative when significant; none when the effect is surely below two points; else undecided.

    >>> test = PairedTest(effect=0.001, low=-0.01, high=0.012, p_value=0.9, se=0.005, df=100)
    >>> classify(test, 0.9)
    'none'
    """
    from scipy.stats import t

    if p_adjusted < ALPHA:
        return "positive" if test.effect > 0 else "negative"
    reach = float(t.ppf(1 - ALPHA, test.df)) * test.se
    return "none" if abs(test.effect) + reach < EQUAL else "undecided"


def decide(
    cells: Sequence[Cell], comparisons: Sequence[Mapping[str, Any]], units: npt.NDArray[np.intp]
) -> Verdict:
    """The recommendation and the verdict on it.

    Of the strategies whose cross-validated accuracy at the largest budget is within a standard error of the
    best, the one with the least cross-validated log-loss wins. If it is worse than the control, the
    control is recommended.
    """
    largest = cells[-1].budget
    final = [cell for cell in cells if cell.budget == largest]
    candidates = [cell for cell in final if cell.strategy != CONTROL] or final
    chosen = _choose(candidates)
    found = {(c["backbone"], c["strategy"], c["budget"]): c for c in comparisons}
    effect = found.get(chosen.key)
    recommended = chosen
    if effect is not None and effect["outcome"] == "negative":
        recommended = next(cell for cell in final if cell.strategy == CONTROL)
    accuracy = estimate("accuracy", recommended.seeds(), units)
    facts: dict[str, Any] = {
        "outcome": effect["outcome"] if effect else "undecided",
        "labels_needed": _labels_needed(cells, recommended, accuracy.value - CLOSE),
        "beats_control_with": _beats_control(cells, chosen, largest) if effect else None,
        **{n: effect[n] for n in ("control", "effect", "low", "high", "p_value", "p_adjusted") if effect},
    }
    return Verdict(
        answer=_sentence(chosen, recommended, accuracy, facts),
        backbone=recommended.backbone,
        strategy=recommended.strategy,
        budget=largest,
        accuracy=accuracy.value,
        accuracy_low=accuracy.low,
        accuracy_high=accuracy.high,
        **facts,
    )


def _choose(candidates: Sequence[Cell]) -> Cell:
    """By cross-validation; the first where nothing could be held out."""
    best, _ = max(cell.inner_score() for cell in candidates)
    if not np.isfinite(best):
        return candidates[0]
    error = (best * (1 - best) / max(1.0, candidates[0].labels)) ** 0.5
    close = [cell for cell in candidates if cell.inner_score()[0] >= best - error]
    return max(close, key=lambda cell: cell.inner_score()[1])


def _curve(cells: Sequence[Cell], like: Cell) -> list[tuple[Budget, float]]:
    """Budgets, smallest first, with the accuracy of the strategy."""
    return [
        (cell.budget, float(np.mean([o.correct.mean() for o in cell.seeds()])))
        for cell in cells
        if (cell.backbone, cell.strategy) == (like.backbone, like.strategy)
    ]


def _labels_needed(cells: Sequence[Cell], cell: Cell, accuracy: float) -> Budget:
    return next(budget for budget, value in _curve(cells, cell) if value >= accuracy - 1e-12)


def _beats_control(cells: Sequence[Cell], cell: Cell, largest: Budget) -> Budget | None:
    control = next(c for c in cells if c.strategy == CONTROL and c.budget == largest)
    reached = _curve([control], control)[0][1]
    return next((budget for budget, value in _curve(cells, cell) if value > reached), None)


_SPOKEN = {
    "knn": "nearest neighbours",
    "probe": "a linear probe",
    "ridge": "a ridge probe",
    "centroid": "nearest centroids",
}


def _sentence(chosen: Cell, recommended: Cell, accuracy: Estimate, facts: Mapping[str, Any]) -> str:
    low, high = 100 * accuracy.low, 100 * accuracy.high
    score = f"{100 * accuracy.value:.1f} % test accuracy (95 % interval {low:.1f} to {high:.1f})"
    way = f"{chosen.backbone} with {_SPOKEN.get(chosen.strategy, chosen.strategy)}"
    if recommended is not chosen:
        worse = f"{-100 * facts['effect']:.1f} points worse"
        return f"Use no pretrained network: the {CONTROL} control reaches {score}, and {way} is {worse}."
    return f"Use {way}: {score}{_gain(facts)}{_labels(chosen, facts)}."


def _gain(facts: Mapping[str, Any]) -> str:
    if facts.get("effect") is None:
        return ""
    points = f"{100 * abs(facts['effect']):.1f} points"
    interval = f"({100 * facts['low']:+.1f} to {100 * facts['high']:+.1f})"
    return {
        "positive": f", {points} more than the {CONTROL} control {interval}",
        "none": f", no different from the {CONTROL} control {interval}",
    }.get(facts["outcome"], f"; whether that beats the {CONTROL} control is open {interval}")


def _labels(chosen: Cell, facts: Mapping[str, Any]) -> str:
    needed = facts["labels_needed"]
    if needed == chosen.budget:
        return ""
    return f", and {needed} labels per class come within one point of that"
