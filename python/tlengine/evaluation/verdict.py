"""From cells to an answer: what to use, does transfer help, up to how many labels, and how sure is that.

The recommendation looks at cross-validation inside the training parts alone, resample by resample, and its
accuracy is that of the way of choosing: no test row judges a choice that it took part in. Whether transfer
helps is asked of what is chosen among the strategies that borrow from pretraining, by paired tests against
every control.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from tlengine.evaluation.cells import Cell
from tlengine.evaluation.choice import Choice, choose
from tlengine.evaluation.comparisons import controls_for, missing_controls, numbers
from tlengine.evaluation.sentences import FIRST, SELECTED, answer
from tlengine.plugins.contracts import Budget, Rows
from tlengine.statistics import (
    Decision,
    Estimate,
    Outcome,
    PairedTest,
    decide,
    estimate,
    helps_up_to,
    holm_levels,
    paired_outcomes,
)
from tlengine.statistics.decisions import ALPHA, Answer
from tlengine.statistics.metrics import ACCURACY, BALANCED_ACCURACY

__all__ = ["Judged", "Verdict", "judge"]

CLOSE = 0.01
"""How near to the final balanced accuracy "labels needed" means."""
CONTESTED = 1.3
"""How much longer the interval of a contested choice over folds is than that of one strategy, so that it
holds in 95 %. Simulated: docs/validation.md."""
TEST = "paired difference of accuracies, variance over test units and over draws of training rows"


@dataclass(frozen=True, kw_only=True, repr=False)
class Verdict:
    """The answer of a run.

    Attributes:
        outcome: does transfer help? ``"positive"``: it beats every control. ``"negative"``: it loses to one.
            ``"none"``: it loses to none and gains next to nothing. Else ``"undecided"``; also without a
            control. Controls that were not trained to the end count only where they are lost to: beating one
            shows nothing. answer: the same and the recommendation, in one sentence.
        backbone, strategy, role, budget: the recommendation, and the largest budget, at which it is judged.
        picked: how often each was chosen, ``{backbone, strategy, role, times, of}``.
        judged_only: ``{backbone, strategy}`` of what had no held-out predictions, and could not be chosen.
        accuracy, accuracy_low, accuracy_high: of the way of choosing, on test rows, with the 95 % interval;
            None where none can be had, and ``accuracy_reason`` says why.
        missing: the controls of the run that have no result at the largest budget on a backbone that is
            picked: ``name``, or ``name on backbone`` for one that has results on others. While one is
            missing, the outcome is neither "positive" nor "none".
        under_trained: the controls whose training had not come to its end, and that do not win: the outcome
            is against the others, "undecided" where there is none.
        controls: one record for each control: ``control, control_backbone, effect, low, high, level, p_value,
            p_adjusted, under_trained``; differences of accuracy, what is chosen among the strategies minus
            the control. ``p_adjusted`` is Holm's over the controls for a loss; a gain has to be shown against
            each of them, which needs no adjustment.
        control, effect, low, high, p_value, p_adjusted: of the control that the outcome hangs on: of those
            that are lost to, else of those that are not beaten, the hardest to beat; for "none" the one over
            which least can be gained; None without.
        transfer: what is chosen among the strategies, ``{backbone, strategy}``; None where there is none.
        margin: the smallest margin at which the outcome would be "none": no loss to any control is above it;
            against a single control, any difference is below it.
        settled_by: for "undecided", what would settle it, in words.
        by_budget: ``{budget, labels, outcome, effect, control, controls, accuracy, chance}``, the smallest
            first; ``controls`` as above, of that budget; chance is that of balanced accuracy, one over the
            classes tested.
        helps_up_to: the largest budget up to which the outcome is positive at every one; None at none.
        labels_needed: the smallest budget within one point of the final balanced accuracy; None where that
            is not surely above chance.
        notes: sentences on what was cut to fit into the time that was given; they end the answer.
        scope, test, selected_on: what the tests speak of, how they are made, what the choice looked at.
    """

    outcome: str
    answer: str
    backbone: str
    strategy: str
    budget: Budget
    accuracy: float
    role: str = "strategy"
    accuracy_low: float | None = None
    accuracy_high: float | None = None
    accuracy_reason: str | None = None
    picked: Sequence[Mapping[str, Any]] = ()
    judged_only: Sequence[Mapping[str, Any]] = ()
    missing: Sequence[str] = ()
    under_trained: Sequence[str] = ()
    controls: Sequence[Mapping[str, Any]] = ()
    control: str | None = None
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    transfer: Mapping[str, Any] | None = None
    margin: float | None = None
    settled_by: str | None = None
    by_budget: Sequence[Mapping[str, Any]] = ()
    helps_up_to: Budget | None = None
    labels_needed: Budget | None = None
    notes: Sequence[str] = ()
    scope: str = ""
    test: str = TEST
    selected_on: str = SELECTED

    def __repr__(self) -> str:
        return f"<Verdict {self.outcome}: {self.answer}>"

    def as_dict(self) -> dict[str, Any]:
        """The verdict as a JSON-able mapping."""
        return asdict(self)


def _set_aside(control: Cell, test: PairedTest) -> bool:
    return control.under_trained and test.effect > 0 and test.p_value < ALPHA


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """The judgement at one budget: what is chosen, and what its tests against the controls say.

    Attributes:
        budget: labels per class.
        choice: among all; transfer: among the strategies.
        tests: one for each control.
        decision: of all tests; it alone can find a loss.
        missing: the controls of the run that should have been met, and have no result here.
    """

    budget: Budget
    choice: Choice
    transfer: Choice | None
    tests: tuple[tuple[Cell, PairedTest], ...] = ()
    decision: Decision | None = None
    missing: Sequence[str] = ()

    @property
    def under_trained(self) -> list[str]:
        """The controls that are set aside, since beating what was not trained to the end shows nothing.

        One that is not beaten, although it was not trained to the end, counts as any other.
        """
        if self.decision is None or self.decision.outcome == "negative":
            return []
        return list(dict.fromkeys(one[0].strategy for one in self.tests if _set_aside(*one)))

    @cached_property
    def counted(self) -> list[int]:
        """The controls that the outcome is about: all that are not set aside."""
        if not self.under_trained:
            return list(range(len(self.tests)))
        return [place for place, one in enumerate(self.tests) if not _set_aside(*one)]

    @cached_property
    def ruling(self) -> Decision | None:
        """The decision on the controls that count; None where none does."""
        if len(self.counted) == len(self.tests):
            return self.decision
        return decide([self.tests[place][1] for place in self.counted]) if self.counted else None

    @property
    def outcome(self) -> Answer:
        """Does transfer help? A control that is missing could turn a gain, and "none", into a loss.

        A loss is one among all controls, with their adjustment.
        """
        if self.decision is None or self.ruling is None:
            return "undecided"
        if self.decision.outcome == "negative":
            return "negative"
        return "undecided" if self.missing or self.ruling.outcome == "negative" else self.ruling.outcome

    @property
    def hardest(self) -> int:
        """The control that the outcome hangs on: of those lost to, else of those not beaten, the hardest.

        "None" hangs on the one over which least can be gained.
        """
        places, ruling = self.counted or list(range(len(self.tests))), self.ruling or self.decision
        if ruling is not None and ruling.outcome == "none":
            upper = [np.inf if limit is None else limit for limit in ruling.upper]
            return places[int(np.argmin(upper))]
        adjusted = ruling.p_adjusted if ruling else ()
        found = list(zip(adjusted, (self.tests[place][1] for place in places), strict=True))
        lost = [i for i, (p, test) in enumerate(found) if p < ALPHA and test.effect < 0]
        level = [i for i, (_, test) in enumerate(found) if not (test.p_value < ALPHA and test.effect > 0)]
        return places[min(lost or level or range(len(found)), key=lambda i: found[i][1].effect)]

    @property
    def shown(self) -> list[dict[str, Any]]:
        """The test against each control in plain numbers, its interval at the level of its decision.

        A gain has to be shown against each control, which needs no adjustment (intersection-union); a loss
        to any is held against Holm's step.
        """
        if self.decision is None:
            return []
        levels = holm_levels([test.p_value for _, test in self.tests], ALPHA)
        found = []
        for (control, test), p, level in zip(self.tests, self.decision.p_adjusted, levels, strict=True):
            named = {
                "control": control.strategy,
                "control_backbone": control.view,
                "under_trained": control.under_trained,
            }
            gain = test.effect > 0
            decided = numbers(test, 1 - ALPHA if gain else level)
            found.append({**named, **decided, "p_adjusted": test.p_value if gain else p})
        return found


def judge(
    cells: Sequence[Cell],
    budgets: Sequence[Budget],
    units: Rows,
    spoken: Mapping[str, str],
    notes: Sequence[str] = (),
) -> tuple[Verdict, Choice]:
    """The verdict on all cells, and the choice at the largest budget.

    Args:
        cells: of all budgets.
        budgets: ascending.
        units: (n,) the unit of every row.
        spoken: what to call each strategy in a sentence.
        notes: sentences on what was cut, for the end of the answer.
    """
    by_budget = {b: [c for c in cells if c.budget == b] for b in budgets}
    judged = [_judge_one(found, b, units) for b, found in by_budget.items() if found]
    final = judged[-1]
    kept = final.choice.kept
    accuracy = _of_choice(final.choice, units)
    facts: dict[str, Any] = {
        "outcome": final.outcome,
        "backbone": kept.view,
        "strategy": kept.strategy,
        "role": kept.role,
        "budget": final.budget,
        "accuracy": accuracy.value,
        "accuracy_low": accuracy.low,
        "accuracy_high": accuracy.high,
        "accuracy_reason": accuracy.reason,
        "picked": _picked(final.choice),
        "judged_only": [_named(cell) for cell in final.choice.judged_only],
        "transfer": None if final.transfer is None else _named(final.transfer.kept),
        "by_budget": [_by_budget(each, units) for each in judged],
        "helps_up_to": helps_up_to([(each.budget, each.outcome) for each in judged]),
        "labels_needed": _labels_needed(cells, kept, budgets, units),
        "notes": list(notes),
        "selected_on": SELECTED if final.choice.looked else FIRST,
        **_tested(final),
    }
    return Verdict(answer=answer(facts, spoken), **facts), final.choice


def _of_choice(choice: Choice, units: Rows) -> Estimate:
    """The accuracy of a way of choosing, with its interval.

    Rows that make one cell look better in a fold are test rows of the other folds. So where cells are close,
    the accuracies of what is picked hang together over the folds of a draw.
    """
    found = estimate(ACCURACY, choice.draws, units)
    if (
        not choice.contested
        or choice.kept.setup.plan.kind != "folds"
        or found.low is None
        or found.high is None
    ):
        return found
    low, high = (found.value + CONTESTED * (limit - found.value) for limit in (found.low, found.high))
    return replace(found, low=max(0.0, low), high=min(1.0, high))


def _judge_one(cells: Sequence[Cell], budget: Budget, units: Rows) -> Judged:
    strategies = [cell for cell in cells if cell.role != "control"]
    choice, transfer = choose(cells), choose(strategies) if strategies else None
    if transfer is None:
        missing = missing_controls(choice.kept.setup, (), cells)
        return Judged(budget=budget, choice=choice, transfer=None, missing=missing)
    missing = missing_controls(transfer.kept.setup, [cell.view for cell in transfer.picks.values()], cells)
    met = {id(c): c for cell in transfer.picks.values() for c in controls_for(cell, cells)}
    tests = tuple((c, paired_outcomes(transfer.draws, c.draws, units)) for c in met.values())
    decision = decide([test for _, test in tests]) if tests else None
    return Judged(
        budget=budget, choice=choice, transfer=transfer, tests=tests, decision=decision, missing=missing
    )


def _tested(judged: Judged) -> dict[str, Any]:
    """What the tests at the largest budget say, and the words for it."""
    if not judged.tests or judged.decision is None:
        return {"scope": "", "controls": [], "missing": judged.missing, "under_trained": []}
    found = judged.shown
    hardest = found[judged.hardest]
    return {
        "controls": found,
        "missing": judged.missing,
        "under_trained": judged.under_trained,
        **{name: hardest[name] for name in ("control", "effect", "low", "high", "p_value", "p_adjusted")},
        "margin": _margin(judged),
        "settled_by": _settled(judged),
        "scope": _scope(judged),
    }


def _scope(judged: Judged) -> str:
    """What the tests speak of; seeds of a strategy on the same rows are no other rows."""
    test, plan = judged.tests[judged.hardest][1], judged.choice.kept.setup.plan
    if test.draws > 1 and len({seed for seed, _ in plan.distinct(judged.budget)}) == 1:
        return f"for these training rows, fitted with {test.draws} seeds"
    return test.scope


def _margin(judged: Judged) -> float | None:
    """Of the controls that count; None while one is missing."""
    return None if judged.ruling is None or judged.missing else judged.ruling.margin


def _settled(judged: Judged) -> str | None:
    if judged.missing:
        return f"a result of {' and '.join(judged.missing)}"
    if judged.ruling is None:
        return f"{' and '.join(judged.under_trained)} trained for longer"
    found = judged.ruling.settled_by
    if found is None:
        return None
    grouped = judged.choice.kept.setup.ground.groups is not None
    ways = []
    if found.test_units is not None:
        ways.append(f"some {found.test_units:,} test {'groups' if grouped else 'samples'}")
    if found.draws is not None:
        ways.append(f"{found.draws} seeds")
    if not ways:
        ways = [f"more test {'groups' if grouped else 'samples'} and more seeds"]
    return f"{' or '.join(ways)} would show a difference of {100 * found.difference:.1f} points"


def _picked(choice: Choice) -> list[dict[str, Any]]:
    of = len(choice.picks)
    return [{**_named(cell), "role": cell.role, "times": times, "of": of} for cell, times in choice.counts]


def _named(cell: Cell) -> dict[str, Any]:
    return {"backbone": cell.view, "strategy": cell.strategy}


def _by_budget(judged: Judged, units: Rows) -> dict[str, Any]:
    kept, draws = judged.choice.kept, judged.choice.draws
    accuracy, balanced = estimate(ACCURACY, draws, units), estimate(BALANCED_ACCURACY, draws, units)
    tested = judged.shown[judged.hardest] if judged.tests else dict[str, Any]()
    return {
        "budget": judged.budget,
        "labels": round(kept.labels, 1),
        "outcome": judged.outcome,
        **{name: tested.get(name) for name in ("control", "effect", "low", "high")},
        "controls": judged.shown if judged.tests else [],
        "margin": _margin(judged),
        "under_trained": judged.under_trained,
        "accuracy": accuracy.value,
        "balanced_accuracy": balanced.value,
        "chance": _chance(draws),
        **_named(kept),
    }


def _labels_needed(
    cells: Sequence[Cell], kept: Cell, budgets: Sequence[Budget], units: Rows
) -> Budget | None:
    """By balanced accuracy, whose decisions do not follow how the budget's classes are shared out."""
    own = {cell.budget: cell for cell in cells if cell.pair == kept.pair}
    curve = [(b, estimate(BALANCED_ACCURACY, own[b].draws, units)) for b in budgets if b in own]
    final = curve[-1][1]
    if final.low is None or final.low <= _chance(kept.draws):
        return None
    return next(budget for budget, each in curve if each.value >= final.value - CLOSE - 1e-12)


def _chance(draws: Sequence[Outcome]) -> float:
    """The balanced accuracy of whoever knows nothing: it is a mean over the classes that are tested."""
    return 1 / len(np.unique(np.concatenate([outcome.truth for outcome in draws])))
