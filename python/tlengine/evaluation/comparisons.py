"""Every strategy against every control that it meets, and the table of all metrics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tlengine.documents import plain
from tlengine.evaluation.cells import Cell
from tlengine.evaluation.running import views_read
from tlengine.evaluation.setup import Setup
from tlengine.plugins import MetricSpec
from tlengine.plugins.containment import reason
from tlengine.plugins.contracts import Rows
from tlengine.statistics import (
    Outcome,
    PairedTest,
    estimate,
    holm,
    holm_levels,
    interval_at,
    paired_outcomes,
)
from tlengine.statistics.decisions import ALPHA, MARGIN
from tlengine.statistics.intervals import LEVEL

__all__ = [
    "against_controls",
    "controls_for",
    "described_metrics",
    "missing_controls",
    "numbers",
    "summarise",
]


def controls_for(cell: Cell, cells: Sequence[Cell]) -> list[Cell]:
    """The controls of the same budget that a cell meets: those of no backbone, and of its own."""
    return [
        other
        for other in cells
        if other.role == "control" and other.budget == cell.budget and other.backbone in ("", cell.backbone)
    ]


def missing_controls(setup: Setup, met: Iterable[str], cells: Sequence[Cell]) -> list[str]:
    """The controls that have no result where a strategy would meet them.

    One that has results on other backbones is named with the one on which it has none: ``scratch on net``.

    Args:
        setup: of the run.
        met: the backbones whose strategies are to be tested, by view.
        cells: of one budget.
    """
    there = {cell.pair for cell in cells if cell.role == "control"}
    known, found = {name for _, name in there}, dict[str, None]()
    for backbone in met:
        for name, chosen in setup.strategies.items():
            wanted = views_read(chosen, [backbone]) if chosen.role == "control" else []
            if any((view, name) not in there for view in wanted):
                found[f"{name} on {backbone}" if name in known else name] = None
    return list(found)


def summarise(cells: Sequence[Cell], metrics: Mapping[str, MetricSpec], units: Rows) -> list[dict[str, Any]]:
    """One record for each cell and metric: the value over all draws, and its interval where there is one."""
    found = []
    for cell in cells:
        draws = cell.draws
        for metric in metrics.values():
            try:
                record = asdict(estimate(metric, draws, units)) | _null(metric, draws, units)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # not defined here, or a plugin that exits: it costs itself
                record = {"value": None, "low": None, "high": None, "reason": reason(error), "level": LEVEL}
            found.append({**cell.name, "labels": round(cell.labels, 1), "metric": metric.name, **record})
    return found


def _null(metric: MetricSpec, draws: Sequence[Outcome], units: Rows) -> dict[str, Any]:
    """What a perfectly calibrated model would show on these rows, of a metric that can say it."""
    if metric.null is None:
        return {}
    shown = [outcome.seen_as(metric.decisions) for outcome in draws]
    found = metric.null([o.truth for o in draws], shown, [o.rows for o in draws], units)
    return {"null": plain(dict(found))}


def described_metrics(metrics: Mapping[str, MetricSpec]) -> list[dict[str, Any]]:
    """What a table has to know of each metric."""
    return [
        {
            "name": metric.name,
            "label": metric.label or metric.name,
            "percent": metric.percent,
            "greater_is_better": metric.greater_is_better,
        }
        for metric in metrics.values()
    ]


def against_controls(cells: Sequence[Cell], units: Rows) -> list[dict[str, Any]]:
    """A paired test of every strategy against every control; Holm over the strategies of a budget."""
    found = []
    for tests in _families(cells, units):
        adjusted, levels = (
            holm([t.p_value for _, _, t in tests]),
            holm_levels([t.p_value for _, _, t in tests]),
        )
        for (cell, control, test), p, level in zip(tests, adjusted, levels, strict=True):
            found.append(
                {
                    **cell.name,
                    "control": control.strategy,
                    "control_backbone": control.view,
                    "under_trained": control.under_trained,
                    **numbers(test, level),
                    "p_adjusted": p,
                    "outcome": _outcome(test, p),
                }
            )
    return found


def _families(cells: Sequence[Cell], units: Rows) -> Iterator[list[tuple[Cell, Cell, PairedTest]]]:
    """The tests of one budget against one control."""
    for control in cells:
        if control.role == "control":
            met = [c for c in cells if c.role != "control" and control in controls_for(c, cells)]
            yield [(cell, control, paired_outcomes(cell.draws, control.draws, units)) for cell in met]


def numbers(test: PairedTest, level: float) -> dict[str, Any]:
    """A test in plain numbers, its interval at the level at which it was decided."""
    low, high = interval_at(test, level) or (None, None)
    return {
        "effect": test.effect,
        "low": low,
        "high": high,
        "level": level,
        "p_value": test.p_value,
        "draws": test.draws,
        "draw_sd": test.draw_sd,
        "reason": test.reason,
    }


def _outcome(test: PairedTest, p_adjusted: float) -> str:
    """Of one comparison: positive, negative, none (surely below the margin) or undecided."""
    if p_adjusted < ALPHA:
        return "positive" if test.effect > 0 else "negative"
    equal = test.above(-MARGIN) < ALPHA and test.below(MARGIN) < ALPHA
    return "none" if equal else "undecided"
