"""``finetune``: one network trained on all labels and kept; the same call goes on where it stopped."""

from __future__ import annotations

import os
import shutil
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tlengine.data import Dataset, load_dataset
from tlengine.data.plans import Plan
from tlengine.data.resamples import is_split, make_resamples
from tlengine.data.units import unit_index
from tlengine.documents import plain
from tlengine.errors import InputError, SingleClassError, TlengineWarning
from tlengine.evaluation.arguments import EXTRACTION, seed_of
from tlengine.evaluation.given import distinct_backbones
from tlengine.evaluation.groundwork import embed_samples, setup_on, site_of, warn_of
from tlengine.evaluation.held import calibrated
from tlengine.evaluation.ledger import Ledger
from tlengine.evaluation.participants import participants
from tlengine.evaluation.record import environment
from tlengine.evaluation.running import warn_untold
from tlengine.evaluation.samples import Samples, Wanted
from tlengine.evaluation.setup import Chosen, Setup
from tlengine.evaluation.sizes import sized
from tlengine.evaluation.training_folder import found_in, held_folder, keep
from tlengine.evaluation.views import Ground, TaskView
from tlengine.evaluation.worker import CHECKPOINTS, one_blas_thread
from tlengine.options import refuse_unknown
from tlengine.plugins.contracts import Fitted, Roles, Rows, Task
from tlengine.settings import bars
from tlengine.statistics import METRICS, Outcome, estimate, probabilities

if TYPE_CHECKING:
    from tlengine.features.cache import CacheLike
    from tlengine.finetuning import NetworkModel

__all__ = ["FineTuneResult", "finetune"]

FORMAT, VERSION = "tlengine-finetune", 1
DEFAULT = "lp-ft"
OPTIONS = (
    "dataset", "backbone", "strategy", "settings", "seed", "image_size", "out", "fresh", "cache", "progress",
)  # fmt: skip
_JUDGED = ("accuracy", "balanced_accuracy", "log_loss", "ece")


@dataclass(frozen=True, kw_only=True, eq=False)
class FineTuneResult:
    """A network that was trained.

    Attributes:
        document: what ``finetune.json`` holds: ``dataset backbone strategy settings seed rows chosen facts
            test calibration costs …``, plain JSON.
        model: the network.
        taken_up: whether it was there already.
    """

    document: Mapping[str, Any]
    model: NetworkModel
    taken_up: bool = False


def finetune(
    dataset: Any,
    backbone: Any = None,
    *,
    strategy: str = DEFAULT,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    image_size: int | None = None,
    out: str | os.PathLike[str] | None = None,
    fresh: bool = False,
    cache: CacheLike = True,
    progress: bool = True,
    **extraction: Any,
) -> FineTuneResult:
    """Train one network on all training labels, and keep it.

    Without a split of your own every label is trained on, and nothing is left to judge the model by:
    :func:`tlengine.compare` says what to expect of it. Of your own split the ``train`` rows are trained on,
    the ``calibrate`` (else ``select``) rows calibrate, and the ``test`` rows judge.

    Args:
        dataset: labelled images or texts, or anything that :func:`tlengine.load_dataset` takes.
        backbone: a backbone or its name; None for the installed default of the modality.
        strategy: any registered one that trains a network: ``lp-ft finetune last-block gradual bitfit l2-sp
            surgical wise lora scratch`` and those of plugins.
        settings: of the strategy; see :class:`tlengine.finetuning.TrainSettings`.
        seed: of the order of the rows, augmentation, dropout and new weights.
        image_size: side of the pictures in pixels, in place of the backbone's own.
        out: a folder for ``model/`` with its card ``README.md``, ``metrics.jsonl`` and ``finetune.json``.
            Checkpoints are kept there while it trains: the same call goes on from the last one, and takes up
            a model that is done.
        fresh: train anew, whatever ``out`` has.
        cache: of embeddings, as for :func:`tlengine.extract`.
        progress: bars on stderr.
        **extraction: ``device batch_size workers precision max_pixels strict`` of :func:`tlengine.extract`.

    Returns:
        The model and what is known of it.

    Raises:
        InputError: features, a strategy that trains no network, settings that it does not take, a backbone
            that it cannot be used on; ``out`` is a file, or another run writes to it.
        LabelError: no labels. SingleClassError: fewer than two classes.
        UnknownNameError: an unknown strategy or backbone.

    >>> texts = ["good film", "bad film", "good book", "bad book"] * 3
    >>> found = finetune((texts, ["yes", "no"] * 6), "raw", settings={"steps": 2}, progress=False)
    >>> found.document["rows"], found.document["test"], found.model.classes.tolist()
    (12, None, ['no', 'yes'])
    """
    refuse_unknown("finetune", extraction, EXTRACTION, OPTIONS)
    ledger = Ledger()
    dataset = dataset if isinstance(dataset, Dataset) else load_dataset(dataset)
    dataset.labels()
    if dataset.modality == "features":
        raise InputError(
            f"{dataset.name} holds features, a network is trained on samples",
            hint="pass the images or texts; tlengine probe fits features",
        )
    chosen = _chosen(strategy, dataset.modality, settings)
    named, size = _backbone(backbone, dataset.modality, image_size)
    with held_folder(out) as folder, bars(progress):
        samples = _see(dataset, named, size, cache, progress, extraction, ledger)
        plan, site = _plan(samples), site_of(cache, extraction)
        setup = setup_on(dataset, samples, plan, {chosen.name: chosen}, folder, site)
        (view,), part = samples.views, "fit" if plan.resamples else "refit"
        task = Task(view=view, strategy=chosen.name, budget="all", seed=0, fold=0, part=part)
        key = _key(setup, task, seed, folder)
        if folder is not None and not fresh and (done := found_in(folder, key, named)):
            return FineTuneResult(document=done[0], model=done[1], taken_up=True)
        return _train(dataset, samples, setup, task, folder, key, seed, ledger, fresh)


def _chosen(strategy: Any, modality: str, settings: Mapping[str, Any] | None) -> Chosen:
    if not isinstance(strategy, str):
        raise InputError(
            f"strategy is a {type(strategy).__name__}, no name", hint=f"{DEFAULT} is the default"
        )
    (chosen,) = participants([strategy], (), modality, {strategy: settings} if settings else None).values()
    if chosen.strategy.reads != "contents" or chosen.view != "backbone":
        raise InputError(
            f"{strategy!r} trains no network",
            hint=f"for instance {DEFAULT}; tlengine probe and knn fit frozen features",
        )
    return chosen


def _backbone(backbone: Any, modality: str, image_size: int | None) -> tuple[Any, int | None]:
    from tlengine.features import default_backbone

    (one,) = distinct_backbones([default_backbone(modality) if backbone is None else backbone])
    ((found, size),) = sized([one], image_size, modality)
    return found, size


def _see(
    dataset: Dataset,
    backbone: Any,
    size: int | None,
    cache: CacheLike,
    progress: bool,
    extraction: Mapping[str, Any],
    ledger: Ledger,
) -> Samples:
    """The rows that can be read, with their frozen features: a start from a probe and the drift need them."""
    name = str(getattr(backbone, "name", backbone))
    wanted = Wanted(name=name, backbone=name, source=backbone, image_size=size, asked=True)
    return embed_samples(dataset, [wanted], cache, progress, extraction, ledger)


def _plan(samples: Samples) -> Plan:
    """The user's own split where there is one; else every row trains."""
    if samples.splits is None or not is_split(np.asarray(samples.splits)):
        return _whole(samples)
    plan = make_resamples(samples.y, seeds=1, groups=samples.groups, keys=samples.keys, splits=samples.splits)
    warn_of(plan)
    return plan


def _whole(samples: Samples) -> Plan:
    """Every row trains."""
    classes, codes = np.unique(np.asarray(samples.y), return_inverse=True)
    if len(classes) < 2:
        shown = ", ".join(repr(str(label)) for label in classes)
        raise SingleClassError(f"one class: {shown}", hint="two or more are needed")
    units = unit_index(len(codes), groups=samples.groups, keys=samples.keys)
    return Plan(
        kind="all", resamples=(), excluded=(), units=units, codes=codes.astype(np.intp), classes=classes
    )


def _key(setup: Setup, task: Task, seed: Any, folder: Path | None) -> str:
    """Of the training; what keeps a later call from finding it again is said where it is kept."""
    if folder is not None:
        warn_untold(setup, [task])
    return f"{setup.key(task)}-{seed_of(seed)}"


def _train(
    dataset: Dataset,
    samples: Samples,
    setup: Setup,
    task: Task,
    folder: Path | None,
    key: str,
    seed: int,
    ledger: Ledger,
    fresh: bool,
) -> FineTuneResult:
    roles, ground = setup.plan.roles(task), setup.ground
    view = TaskView(setup.views[task.view], ground, roles, setup.site)
    strategy = setup.strategies[task.strategy].strategy
    place = None if folder is None else folder / CHECKPOINTS / key
    if place is not None and fresh:
        shutil.rmtree(place, ignore_errors=True)
    start, cpu = time.perf_counter(), time.process_time()
    with one_blas_thread():
        fitted = strategy.fit(view, roles, seed=seed, folder=place)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        value, outcome = _judged(fitted, view, roles, ground)
        estimator = fitted.estimator(view, roles.train, ground.classes[ground.codes[roles.train]])
    facts = plain(dict(getattr(fitted, "facts", {})))
    for note in facts.get("notes", ()):
        warnings.warn(note, TlengineWarning, stacklevel=4)
    document = {
        **_described(dataset, samples, setup, task, key, seed),
        "chosen": plain(dict(fitted.chosen)),
        "converged": bool(fitted.converged),
        "facts": facts,
        "test": None if outcome is None else _measured(outcome, ground.units),
        "calibration": {"kind": fitted.kind, "value": value},
        "costs": {
            "total_seconds": round(ledger.total().seconds, 3),
            "seconds": round(seconds, 3),
            "cpu_seconds": round(cpu, 3),
        },
        "environment": environment(),
    }
    model = estimator.described(document["calibration"], _metadata(document))
    result = FineTuneResult(document=document, model=model)
    if folder is not None:
        keep(document, model, folder, place)
    return result


def _described(
    dataset: Dataset, samples: Samples, setup: Setup, task: Task, key: str, seed: int
) -> dict[str, Any]:
    """What was trained on, and how: the first part of the document."""
    roles, view, ground = setup.plan.roles(task), setup.views[task.view], setup.ground
    counts = np.bincount(ground.codes[roles.train], minlength=len(ground.classes))
    return {
        "format": FORMAT,
        "version": VERSION,
        "key": key,
        "dataset": {"name": dataset.name, "modality": dataset.modality, "rows": len(dataset)},
        "backbone": {
            "name": view.name,
            "fingerprint": view.fingerprint,
            "recipe": dict(view.recipe),
            "image_size": view.image_size,
        },
        "strategy": task.strategy,
        "settings": plain(dict(setup.settings(task.strategy))),
        "seed": int(seed),
        "rows": len(roles.train),
        "classes": [str(label) for label in ground.classes],
        "counts": counts.tolist(),
        "excluded": [{"label": str(e.label), "count": e.count} for e in setup.plan.excluded],
        "unreadable": samples.unreadable,
    }


def _judged(fitted: Fitted, view: TaskView, roles: Roles, ground: Ground) -> tuple[float, Outcome | None]:
    """The temperature, and what the test rows say with it; None where there are none."""
    classes = len(ground.classes)
    beside = None
    rows: Rows | None = roles.calibrate if roles.calibrate is not None else roles.select
    if rows is not None and len(rows):
        beside = fitted.scores(view, rows), ground.codes[rows]
    value, _ = calibrated(
        fitted.kind, fitted.held_out, ground.codes[roles.held], labels=len(roles.train), classes=classes,
        beside=beside,
    )  # fmt: skip
    if not len(roles.test):
        return value, None
    proba = probabilities(fitted.kind, fitted.scores(view, roles.test), value)
    counts = np.bincount(ground.codes[roles.train], minlength=classes)
    return value, Outcome.of(roles.test, ground.codes[roles.test], proba, counts=counts)


def _measured(outcome: Outcome, units: Rows) -> dict[str, Any]:
    found: dict[str, Any] = {"rows": len(outcome.rows)}
    for name in _JUDGED:
        value = estimate(METRICS[name], [outcome], units)
        found[name] = {
            "value": value.value,
            "low": value.low,
            "high": value.high,
            "reason": value.reason,
            "level": value.level,
        }
    return found


def _metadata(document: Mapping[str, Any]) -> dict[str, Any]:
    backbone = document["backbone"]
    return {
        "backbone": backbone["name"],
        "fingerprint": backbone["fingerprint"],
        "image_size": backbone["image_size"],
        "modality": document["dataset"]["modality"],
        "recipe": backbone["recipe"],
        "strategy": document["strategy"],
        "chosen": document["chosen"],
        "classes": document["classes"],
        "rows": document["rows"],
    }
