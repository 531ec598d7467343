"""The strategy to keep, fitted on all labelled rows, test rows included: they have done their duty."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tlengine.documents import plain
from tlengine.evaluation.cells import Cell
from tlengine.evaluation.held import calibrated
from tlengine.evaluation.model import Model
from tlengine.evaluation.views import TaskView
from tlengine.evaluation.worker import CHECKPOINTS, one_blas_thread
from tlengine.plugins.contracts import Kind, Task

if TYPE_CHECKING:
    from tlengine.finetuning import NetworkModel

__all__ = ["refit"]


def refit(cell: Cell, modality: str) -> Model | NetworkModel:
    """The model of what was picked most often.

    Raises:
        InputError: it cannot be kept.
    """
    setup = cell.setup
    task = Task(view=cell.view, strategy=cell.strategy, budget="all", seed=0, fold=0, part="refit")
    roles, view = setup.plan.roles(task), setup.views[cell.view]
    seen = TaskView(view, setup.ground, roles, setup.site)
    folder = setup.folder and setup.folder / CHECKPOINTS / setup.key(task)
    with one_blas_thread():
        fitted = setup.strategies[cell.strategy].strategy.fit(seen, roles, seed=0, folder=folder)
        estimator = fitted.estimator(seen, roles.train, setup.ground.classes[setup.ground.codes[roles.train]])
    codes, classes = setup.ground.codes[roles.held], len(setup.ground.classes)
    value, _ = calibrated(fitted.kind, fitted.held_out, codes, labels=len(roles.train), classes=classes)
    if fitted.held_out is None:
        value = _usual(cell, fitted.kind, value)
    metadata: dict[str, Any] = {
        "backbone": view.name,
        "fingerprint": view.fingerprint,
        "modality": modality,
        "recipe": dict(view.recipe),
        "image_size": view.image_size,
        "strategy": cell.strategy,
        "chosen": plain(fitted.chosen),
        "classes": [str(label) for label in np.asarray(estimator.classes_)],
        "rows": len(roles.train),
    }
    if getattr(estimator, "reads", "features") == "contents":
        network: NetworkModel = estimator.described({"kind": fitted.kind, "value": value}, metadata)
        return network
    calibration = {"kind": fitted.kind, "value": value, "reading": getattr(fitted, "reading", "offered")}
    return Model(estimator=estimator, calibration=calibration, metadata=metadata, check_rows=view.check_rows)


def _usual(cell: Cell, kind: Kind, value: float) -> float:
    """The geometric mean of the fits' own calibrations, where it is inner folds that calibrated them."""
    found = [record.calibration for record in cell.records.values() if record.held and record.kind == kind]
    return float(np.exp(np.mean(np.log(found)))) if found else value
