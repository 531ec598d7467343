"""The end of a comparison: judge, inspect, refit, and write everything into one document.

The journal has every fit by then, so a step that fails costs an entry in ``failed``, never the run.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import numpy as np

from tlengine.data import Dataset
from tlengine.data.plans import Plan
from tlengine.errors import InputError, TlengineWarning
from tlengine.evaluation import findings
from tlengine.evaluation.advice import advise
from tlengine.evaluation.cells import Cell, cells_of
from tlengine.evaluation.choice import Choice
from tlengine.evaluation.comparisons import against_controls, described_metrics, summarise
from tlengine.evaluation.costs import costs_of
from tlengine.evaluation.foregone import Foregone
from tlengine.evaluation.inner import is_inner
from tlengine.evaluation.ledger import Ledger
from tlengine.evaluation.participants import spoken_names
from tlengine.evaluation.record import RunResult, environment, run_document
from tlengine.evaluation.refit import refit
from tlengine.evaluation.samples import Failed, Samples
from tlengine.evaluation.schedule import Schedule
from tlengine.evaluation.setup import Setup
from tlengine.evaluation.verdict import judge
from tlengine.evaluation.views import RunView
from tlengine.plugins import MetricSpec, plugin_manager
from tlengine.plugins.contracts import Budget, Record, Task
from tlengine.statistics import Outcome, scores

__all__ = ["Parts", "assemble"]

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, eq=False)
class Parts:
    """What a run was made of: the data set, its samples as they were seen, setup, tasks, metrics.

    Attributes:
        dataset, samples, setup, budgets, metrics: of the run.
        tasks: those that were run, of seeds that are whole.
        schedule: what was expected of time, and cut.
        unrun: how many fits were left when time was over.
        refused: strategies that could not be used on a view, and were not fitted.
        foregone: which seeds could not change the outcome.
        co2_intensity: that of the place, in grams a kilowatt-hour; None where unknown.
    """

    dataset: Dataset
    samples: Samples
    setup: Setup
    tasks: Sequence[Task]
    budgets: Sequence[Budget]
    metrics: Mapping[str, MetricSpec]
    schedule: Schedule
    foregone: Foregone
    unrun: int = 0
    refused: Sequence[Failed] = ()
    co2_intensity: float | None = None

    @property
    def notes(self) -> list[str]:
        """A sentence for each way in which the run was cut."""
        found = self.schedule.notes
        if self.unrun:
            rest = f"Time was over before {self.unrun} fits were run"
            found.append(f"{rest}: only seeds that are whole are tested")
        return found if self.foregone.after is None else [*found, self.foregone.note]


def assemble(
    parts: Parts, records: Mapping[str, Record], ledger: Ledger, extraction: Mapping[str, Any], taken_up: int
) -> RunResult:
    """The verdict, what was noticed, the model to keep, and all of it as one document.

    Raises:
        InputError: every strategy failed; the error of the first.
    """
    setup, plan = parts.setup, parts.setup.plan
    with ledger.stage("judge"):
        failed = [*_broken_plugins(), *parts.samples.failed, *parts.refused, *_failures(parts, records)]
        cells = cells_of(setup, parts.tasks, records)
        if not cells:
            first = next(f for f in failed if f.step == "fit")
            raise InputError(f"{first.strategy} on {first.backbone}: {first.error}", hint=first.hint)
        _warn_uncertified(parts, records)
        attempt = _Attempts(failed)
        spoken = spoken_names(setup.strategies)
        verdict, choice = judge(cells, parts.budgets, plan.units, spoken, parts.notes)
        summary = summarise(cells, parts.metrics, plan.units)
        comparisons = against_controls(cells, plan.units)
    with ledger.stage("inspect"):
        noticed = attempt(choice.kept, "inspect", lambda: _inspect(parts, choice)) or _nothing(parts, choice)
    with ledger.stage("refit"):
        model = attempt(choice.kept, "refit", lambda: refit(choice.kept, parts.dataset.modality))
    with ledger.stage("document"):
        described = _described(parts, cells, extraction, taken_up)
    time = _time(parts)
    keys = dict.fromkeys(setup.key(task) for task in parts.tasks)
    fits = [records[key] for key in keys if key in records]
    costs = costs_of(setup, cells, summary, fits, ledger, co2_intensity=parts.co2_intensity)
    told = verdict.as_dict()
    advice = attempt(
        choice.kept, "advise", lambda: advise(cells, told, costs["strategies"], time, plan.units)
    )
    document = run_document(
        answer=verdict.answer,
        verdict=told,
        advice=advice or [],
        **described,
        failed=[asdict(f) for f in failed],
        summary=summary,
        comparisons=comparisons,
        time=time,
        **noticed,
        costs=costs,
    )
    return RunResult(document=document, model=model)


def _described(
    parts: Parts, cells: Sequence[Cell], extraction: Mapping[str, Any], taken_up: int
) -> dict[str, Any]:
    """The parts of the document that say what was compared, and on what."""
    setup, plan = parts.setup, parts.setup.plan
    return {
        "dataset": _describe(parts),
        "resamples": _describe_plan(plan),
        "configuration": _configuration(parts, extraction),
        "backbones": [_describe_view(view, setup) for view in setup.views.values()],
        "excluded": [asdict(e) for e in plan.excluded],
        "unreadable": parts.samples.unreadable,
        "results": [record for cell in cells for record in _results(cell, parts.metrics)],
        "metrics": described_metrics(parts.metrics),
        "fits": [fit for cell in cells for fit in _fits(cell)],
        "journal": {"fits": len({setup.key(task) for task in parts.tasks}), "taken_up": taken_up},
        "environment": environment(),
    }


class _Attempts:
    """Runs a step that may fail: what it raises is an entry in ``failed``."""

    def __init__(self, failed: list[Failed]) -> None:
        self.failed = failed

    def __call__(self, cell: Cell, step: str, work: Callable[[], T]) -> T | None:
        try:
            return work()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a plugin may even exit
            asked = cell.setup.strategies[cell.strategy].asked
            self.failed.append(Failed.of(cell.view, cell.strategy, error, step=step, asked=asked))
            return None


def _broken_plugins() -> list[Failed]:
    """One entry for each plugin of which nothing is used."""
    return [
        Failed(
            backbone=None,
            strategy=None,
            error=f"plugin {info} is skipped: {info.error}",
            hint="tlengine plugins list shows what is used",
            step="plugin",
        )
        for info in plugin_manager().infos
        if info.status == "failed"
    ]


def _failures(parts: Parts, records: Mapping[str, Record]) -> list[Failed]:
    """One entry for each strategy on a view that failed, with the budgets at which it did.

    Inner folds have one of their own: the fit is there without them.
    """
    found: dict[tuple[str, str, str], list[Record]] = {}
    for task in parts.tasks:
        record = records.get(parts.setup.key(task))
        if record is not None and record.failed:
            step = "inner" if is_inner(task) else "fit"
            found.setdefault((task.view, task.strategy, step), []).append(record)
    failures = []
    for (view, strategy, step), missed in found.items():
        first = missed[0]
        budgets = tuple(dict.fromkeys(r.task.budget for r in missed))
        failures.append(
            Failed(
                backbone=view,
                strategy=strategy,
                error=str(first.error),
                hint=first.hint,
                asked=parts.setup.strategies[strategy].asked,
                step=step,
                budgets=() if len(budgets) == len(parts.budgets) else budgets,
            )
        )
    return failures


def _warn_uncertified(parts: Parts, records: Mapping[str, Record]) -> None:
    found = [records[key] for key in {parts.setup.key(task) for task in parts.tasks} if key in records]
    missed = sum(not record.converged for record in found if not record.failed)
    if missed:
        note = f"{missed} of {len(found)} fits are not certified to their tolerance"
        warnings.warn(note, TlengineWarning, stacklevel=4)


def _results(cell: Cell, metrics: Mapping[str, MetricSpec]) -> list[dict[str, Any]]:
    named = {name: value for name, value in cell.name.items() if name != "role"}
    found = []
    for (seed, fold), _ in sorted(cell.records.items()):
        outcome: Outcome = cell.outcome((seed, fold))
        for metric in metrics.values():
            try:
                value: float | None = scores(outcome, {metric.name: metric})[metric.name]
            except KeyboardInterrupt:
                raise
            except BaseException:  # a metric that is not defined on these rows, or a plugin that exits
                value = None
            found.append({**named, "seed": seed, "fold": fold, "metric": metric.name, "value": value})
    return found


def _fits(cell: Cell) -> list[dict[str, Any]]:
    return [
        {
            **cell.name,
            "seed": seed,
            "fold": fold,
            "labels": record.labels,
            "chosen": dict(record.chosen),
            "calibration": {"kind": record.kind, "value": record.calibration},
            "converged": record.converged,
            "train_accuracy": record.train_accuracy,
            "seconds": round(record.seconds, 5),
            "cpu_seconds": round(record.cpu_seconds, 5),
            "predict_ms": _milliseconds(record),
            "nbytes": record.nbytes,
            "facts": dict(record.facts),
            "key": record.key,
        }
        for (seed, fold), record in sorted(cell.records.items())
    ]


def _milliseconds(record: Record) -> float:
    """For each test row."""
    rows = 0 if record.scores is None else len(record.scores)
    return round(1e3 * record.predict_seconds / max(1, rows), 5)


def _inspect(parts: Parts, choice: Choice) -> dict[str, Any]:
    """Of what is chosen: confusions, mistakes, duplicates and contradictions."""
    samples, dataset, cell = parts.samples, parts.dataset, choice.kept
    labels = np.array([str(label) for label in parts.setup.ground.classes])
    outcomes = [picked.outcome(place) for place, picked in sorted(choice.picks.items())]
    mistakes = []
    for record in findings.hardest_mistakes(outcomes):
        row = record.pop("row")
        shown = _preview(dataset, int(samples.rows[row]))
        named = {"truth": str(labels[record["truth"]]), "predicted": str(labels[record["predicted"]])}
        mistakes.append({"id": str(samples.ids[row]), **record, **named, "preview": shown})
    view = parts.setup.views[cell.view]
    return {
        "confusion": {
            **cell.name,
            "classes": labels.tolist(),
            "counts": findings.confusion(outcomes, len(labels)),
        },
        "mistakes": mistakes,
        "duplicates": findings.duplicates(view.X, samples.ids, samples.y, parts.setup.plan),
        "conflicts": findings.label_conflicts(samples.keys, samples.y, samples.ids),
    }


def _nothing(parts: Parts, choice: Choice) -> dict[str, Any]:
    """The same of what could not be inspected."""
    classes = [str(label) for label in parts.setup.ground.classes]
    counts = [[0] * len(classes) for _ in classes]
    none = {"threshold": 1.0, "count": 0, "tested": 0, "straddling": 0, "pairs": []}
    return {
        "confusion": {**choice.kept.name, "classes": classes, "counts": counts},
        "mistakes": [],
        "duplicates": none,
        "conflicts": [],
    }


def _preview(dataset: Dataset, row: int) -> dict[str, str] | None:
    """The sample, small; None where there is none, or it cannot be had any more."""
    if dataset.contents is None:
        return None
    try:
        return findings.preview(dataset.contents[row])
    except Exception:  # a file that is gone, or a data set that fails: what is shown beside a mistake
        return None


def _configuration(parts: Parts, extraction: Mapping[str, Any]) -> dict[str, Any]:
    strategies = parts.setup.strategies
    return {
        "strategies": list(strategies),
        "controls": [name for name, chosen in strategies.items() if chosen.role == "control"],
        "budgets": list(parts.budgets),
        "seeds": len({r.seed for r in parts.setup.plan.resamples}),
        "metrics": list(parts.metrics),
        "extraction": dict(extraction),
    }


def _describe(parts: Parts) -> dict[str, Any]:
    ground = parts.setup.ground
    counts = np.bincount(ground.codes[ground.codes >= 0], minlength=len(ground.classes))
    return {
        "name": parts.dataset.name,
        "modality": parts.dataset.modality,
        "rows": len(parts.dataset),
        "used": int((ground.codes >= 0).sum()),
        "classes": [str(label) for label in ground.classes],
        "counts": counts.tolist(),
        "grouped": ground.groups is not None,
    }


def _describe_plan(plan: Plan) -> dict[str, Any]:
    return {
        "kind": plan.kind,
        "seeds": len({r.seed for r in plan.resamples}),
        "count": len(plan.resamples),
        "train": float(np.mean([len(r.train) for r in plan.resamples])),
        "test": float(np.mean([len(r.test) for r in plan.resamples])),
        "select": float(np.mean([0 if r.select is None else len(r.select) for r in plan.resamples])),
        "notes": list(plan.notes),
    }


def _describe_view(view: RunView, setup: Setup) -> dict[str, Any]:
    read_by = [name for name, chosen in setup.strategies.items() if chosen.view == view.name]
    return {
        "name": view.name,
        "dim": int(view.X.shape[1]),
        "fingerprint": view.fingerprint,
        "recipe": dict(view.recipe),
        "control": view.backbone != view.name and bool(read_by or view.backbone),
    }


def _time(parts: Parts) -> dict[str, Any]:
    """What was expected of time, what was given, and what was cut."""
    schedule = parts.schedule
    return {
        "max_minutes": schedule.limit,
        "estimated_seconds": schedule.seconds,
        "whole_seconds": schedule.whole_seconds,
        "estimated": list(schedule.asked),
        "at_once": schedule.at_once,
        "steps": schedule.fraction,
        "without_inner_folds": list(schedule.bare),
        "unrun": parts.unrun,
        "seeds_enough": parts.foregone.after,
        "notes": parts.notes,
    }
