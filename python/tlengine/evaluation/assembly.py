"""The end of a comparison: judge, inspect, refit, and write everything into one document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.data import Dataset
from tlengine.data.budgets import Budget
from tlengine.data.resamples import Plan
from tlengine.evaluation import findings
from tlengine.evaluation.embedding import Failed, Samples, View
from tlengine.evaluation.ledger import Ledger
from tlengine.evaluation.model import refit
from tlengine.evaluation.record import RunResult, environment, run_document
from tlengine.evaluation.verdict import CONTROL, Cell, compare_to_control, decide, summarise

__all__ = ["Evaluation", "assemble"]


@dataclass(kw_only=True)
class Evaluation:
    """What the fits of a run leave behind."""

    cells: list[Cell] = field(default_factory=list)
    results: list[dict[str, Any]] = field(default_factory=list)
    fits: list[dict[str, Any]] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)


def assemble(
    dataset: Dataset,
    samples: Samples,
    codes: npt.NDArray[np.intp],
    plan: Plan,
    found: Evaluation,
    budgets: Sequence[Budget],
    ledger: Ledger,
    settings: Mapping[str, Any],
) -> RunResult:
    """The verdict, what was noticed, the model to keep, and all of it as one document."""
    with ledger.stage("judge"):
        cells = sorted(found.cells, key=lambda cell: budgets.index(cell.budget))
        summary = summarise(cells, plan.units)
        comparisons = compare_to_control(cells, plan.units)
        verdict = decide(cells, comparisons, plan.units)
    best = next(c for c in cells if c.key == (verdict.backbone, verdict.strategy, verdict.budget))
    view = next(v for v in samples.views if v.name == best.backbone)
    labels = np.array([str(label) for label in np.unique(samples.y[codes >= 0])])
    with ledger.stage("inspect"):
        noticed = _inspect(dataset, samples, codes, plan, view, best, labels)
    with ledger.stage("refit"):
        model = refit(best.strategy, view, samples, codes >= 0, plan.units, dataset.modality)
    document = run_document(
        answer=verdict.answer,
        verdict=verdict.as_dict(),
        dataset=_describe(dataset, samples, codes, labels),
        resamples=_describe_plan(plan),
        configuration={
            "strategies": list(dict.fromkeys(c.strategy for c in cells)),
            "budgets": list(budgets),
            "seeds": len({r.seed for r in plan.resamples}),
            "extraction": dict(settings),
        },
        backbones=[_describe_view(v) for v in samples.views],
        excluded=[asdict(e) for e in plan.excluded],
        failed=[asdict(f) for f in found.failed],
        unreadable=samples.unreadable,
        results=found.results,
        summary=summary,
        comparisons=comparisons,
        fits=found.fits,
        **noticed,
        costs=_costs(samples, ledger),
        environment=environment(),
    )
    return RunResult(document=document, model=model)


def _inspect(
    dataset: Dataset,
    samples: Samples,
    codes: npt.NDArray[np.intp],
    plan: Plan,
    view: View,
    best: Cell,
    labels: npt.NDArray[np.str_],
) -> dict[str, Any]:
    outcomes = list(best.outcomes.values())
    mistakes = []
    for record in findings.hardest_mistakes(outcomes):
        row = record.pop("row")
        shown = None
        if dataset.contents is not None:
            shown = findings.preview(dataset.contents[int(samples.rows[row])])
        named = {"truth": str(labels[record["truth"]]), "predicted": str(labels[record["predicted"]])}
        mistakes.append({"id": str(samples.ids[row]), **record, **named, "preview": shown})
    return {
        "confusion": {
            **best.name,
            "classes": labels.tolist(),
            "counts": findings.confusion(outcomes, len(labels)),
        },
        "mistakes": mistakes,
        "duplicates": findings.duplicates(view.X, samples.ids, samples.y, plan),
        "conflicts": findings.label_conflicts(samples.keys, samples.y, samples.ids),
    }


def _describe(
    dataset: Dataset, samples: Samples, codes: npt.NDArray[np.intp], labels: npt.NDArray[np.str_]
) -> dict[str, Any]:
    counts = np.bincount(codes[codes >= 0], minlength=len(labels))
    return {
        "name": dataset.name,
        "modality": dataset.modality,
        "rows": len(dataset),
        "used": int((codes >= 0).sum()),
        "classes": labels.tolist(),
        "counts": counts.tolist(),
        "grouped": samples.groups is not None,
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


def _describe_view(view: View) -> dict[str, Any]:
    return {
        "name": view.name,
        "dim": int(view.X.shape[1]),
        "fingerprint": view.fingerprint,
        "recipe": dict(view.recipe),
        "control": view.name == CONTROL,
    }


def _costs(samples: Samples, ledger: Ledger) -> dict[str, Any]:
    return {
        "stages": ledger.entries(),
        "extraction": [{"backbone": v.name, **v.cost} for v in samples.views if v.cost],
        "total_seconds": round(ledger.total(), 3),
    }
