"""What to do next: rules over what a run measured, each sentence with the number that it rests on.

A rule whose numbers are not there, or do not show it, says nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tlengine.evaluation.cells import Cell, pooled
from tlengine.evaluation.choice import Choice, choose
from tlengine.evaluation.comparisons import numbers
from tlengine.plugins.contracts import Budget, Rows
from tlengine.statistics import PairedTest, paired_outcomes
from tlengine.statistics.decisions import ALPHA, MARGIN
from tlengine.statistics.intervals import LEVEL

__all__ = ["advise"]

Facts = Mapping[str, Any]
Advice = dict[str, Any]


def advise(
    cells: Sequence[Cell],
    verdict: Facts,
    costs: Sequence[Facts],
    time: Facts,
    units: Rows,
) -> list[Advice]:
    """What to do next, the most urgent first: ``{kind, text}``, and the numbers of the text.

    ``kind`` is ``undecided`` (what would settle it), ``fine-tuning`` (what networks gain over frozen
    features, and for what), ``labels`` (whether the curve still rises), ``under-trained`` (whose training
    goes on) or ``time`` (what a limit cut). Numbers of a difference are as in
    ``comparisons``.

    Args:
        cells: of all budgets.
        verdict: as it is in the document.
        costs: ``costs.strategies`` of the document.
        time: as it is in the document.
        units: (n,) the unit of every row.
    """
    last = [cell for cell in cells if cell.budget == verdict["budget"]]
    found = [
        _fine_tuning(last, costs, units),
        _undecided(verdict),
        _labels(cells, verdict, units),
        *_under_trained(cells),
        _time(time),
    ]
    return [advice for advice in found if advice is not None]


def _undecided(verdict: Facts) -> Advice | None:
    settle = verdict.get("settled_by")
    if verdict["outcome"] != "undecided" or not settle:
        return None
    return {"kind": "undecided", "text": f"To decide whether transfer helps: {settle}."}


def _fine_tuning(cells: Sequence[Cell], costs: Sequence[Facts], units: Rows) -> Advice | None:
    """What is chosen among networks that train, against what is chosen among probes on frozen features."""
    strategies = [cell for cell in cells if cell.role != "control"]
    trained = [cell for cell in strategies if _reads(cell) == "contents"]
    frozen = [cell for cell in strategies if _reads(cell) == "features"]
    if not trained or not frozen:
        return None
    tuned, probed = choose(trained), choose(frozen)
    test = paired_outcomes(tuned.draws, probed.draws, units)
    times = _times(tuned, probed, costs)
    price = "" if times is None else f", for {_factor(times)} the time of a fit"
    names = f"{tuned.kept.strategy} over {probed.kept.strategy} on frozen features"
    measured = f"{names}, {_difference(test)} with {_budget(tuned.kept.budget)}{price}"
    if test.p_value < ALPHA:
        verb, then = ("gains", "") if test.effect > 0 else ("loses", "; keep the frozen features")
    else:
        verb, then = "is not shown to gain", _cheaper(times)
    return {
        "kind": "fine-tuning",
        "text": f"Fine-tuning {verb}: {measured}{then}.",
        "trained": tuned.kept.strategy,
        "frozen": probed.kept.strategy,
        "times": times,
        **numbers(test, LEVEL),
    }


def _reads(cell: Cell) -> str:
    return str(cell.setup.strategies[cell.strategy].strategy.reads)


def _times(tuned: Choice, probed: Choice, costs: Sequence[Facts]) -> float | None:
    """Seconds of a fit, the embedding of its rows included, as a ratio; None where they are not known."""
    both = []
    for cell in (tuned.kept, probed.kept):
        cost = next((c for c in costs if all(c[name] == value for name, value in cell.name.items())), None)
        if cost is None or not cost["seconds"]:
            return None
        both.append(cost["seconds"] + (cost["embedding_seconds"] or 0.0))
    return float(both[0] / both[1])


def _factor(times: float) -> str:
    """As many digits as tell something.

    >>> _factor(41.3), _factor(2.34), _factor(0.04)
    ('41 times', '2.3 times', '0.04 times')
    """
    return f"{times:,.0f} times" if times >= 10 else f"{times:.2g} times"


def _cheaper(times: float | None) -> str:
    return "" if times is None or times <= 1 else "; the frozen features are the cheaper way"


def _labels(cells: Sequence[Cell], verdict: Facts, units: Rows) -> Advice | None:
    """How the accuracy of what is recommended rose from the last budget but one, on the same test rows."""
    own = [c for c in cells if (c.view, c.strategy) == (verdict["backbone"], verdict["strategy"])]
    if len(own) < 2:
        return None
    fewer, more = own[-2:]
    common = (
        fewer.records.keys()
        & more.records.keys()
        & fewer.setup.draws(fewer.budget)
        & more.setup.draws(more.budget)
    )
    if not common or more.labels <= fewer.labels:
        return None
    few, many = (pooled(c.setup, c.budget, {p: c.outcome(p) for p in common}) for c in (fewer, more))
    test = paired_outcomes(many, few, units)
    rise = f"from {fewer.labels:,.0f} to {more.labels:,.0f} labels {more.strategy} gained {_difference(test)}"
    each = test.effect / math.log2(more.labels / fewer.labels)
    if test.p_value < ALPHA and test.effect > 0:
        text = f"Label more: {rise}, {100 * each:.1f} points with each doubling."
    elif more.labels >= 2 * fewer.labels and test.above(-MARGIN) < ALPHA and test.below(MARGIN) < ALPHA:
        text = f"More labels of the same kind will hardly help: {rise}."
    else:
        return None
    return {"kind": "labels", "text": text, "each_doubling": each, **numbers(test, LEVEL)}


def _under_trained(cells: Sequence[Cell]) -> list[Advice]:
    """One for each strategy, control or not, some of whose trainings had not come to an end."""
    found = []
    for name in dict.fromkeys(cell.strategy for cell in cells):
        own = [cell for cell in cells if cell.strategy == name]
        facts = {record.key: record.facts for cell in own for record in cell.records.values()}
        under = [one for one in facts.values() if one.get("under_trained") is True]
        if not under:
            continue
        stretch = own[0].setup.strategies[name].strategy.settings().get("stretch")
        how = ""
        if isinstance(stretch, int | float):
            how = f": --set {name}.stretch={2 * stretch:g} doubles its steps"
        counted = f"in {len(under)} of {len(facts)} fits the loss of {name} was still falling"
        text = f"Train {name} for longer: {counted}{how}."
        found.append(
            {
                "kind": "under-trained",
                "text": text,
                "strategy": name,
                "times": len(under),
                "of": len(facts),
            }
        )
    return found


def _time(time: Facts) -> Advice | None:
    """What a limit of time cut, and how many minutes nothing would be cut in."""
    fits = [f"only {100 * time['steps']:.0f} % of the steps were made"] if time["steps"] < 1 else []
    if bare := time["without_inner_folds"]:
        fits.append(f"{', '.join(bare)} could not be chosen")
    whole = time["whole_seconds"]
    if not fits or whole is None:
        return None
    minutes = math.ceil(whole / 60)
    text = f"Give it more time: {' and '.join(fits)}; all of it takes about {minutes} min."
    return {"kind": "time", "text": text, "minutes": minutes}


def _difference(test: PairedTest) -> str:
    points = f"{100 * test.effect:+.1f} points"
    if test.low is None or test.high is None:
        return f"{points} (no interval: {test.reason})"
    return f"{points} ({100 * test.low:+.1f} to {100 * test.high:+.1f})"


def _budget(budget: Budget) -> str:
    return "all labels" if budget == "all" else f"{budget} labels per class"
