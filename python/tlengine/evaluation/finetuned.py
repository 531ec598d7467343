"""``finetune``: one network trained on all labels and kept; the same call goes on where it stopped."""

from __future__ import annotations

import json
import os
import shutil
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tlengine.data import Dataset, load_dataset
from tlengine.data.plans import Plan
from tlengine.data.resamples import is_split, make_resamples
from tlengine.data.units import unit_index
from tlengine.documents import lock_file, plain, replace_text
from tlengine.errors import InputError, SingleClassError, TlengineError, TlengineWarning
from tlengine.evaluation.card import card_of_training
from tlengine.evaluation.given import distinct_backbones
from tlengine.evaluation.held import calibrated
from tlengine.evaluation.ledger import Ledger
from tlengine.evaluation.model import from_pretrained
from tlengine.evaluation.participants import participants
from tlengine.evaluation.record import environment
from tlengine.evaluation.samples import Samples, Wanted, see_samples
from tlengine.evaluation.setup import Chosen, Setup
from tlengine.evaluation.sizes import sized
from tlengine.evaluation.views import Ground, Site, TaskView
from tlengine.evaluation.worker import CHECKPOINTS, one_blas_thread
from tlengine.options import refuse_unknown
from tlengine.plugins.contracts import Fitted, Roles, Rows, Task
from tlengine.settings import bars
from tlengine.statistics import METRICS, Outcome, estimate, probabilities

if TYPE_CHECKING:
    from tlengine.features import Backbone
    from tlengine.features.cache import CacheLike
    from tlengine.finetuning import NetworkModel

__all__ = ["FineTuneResult", "finetune"]

FORMAT, VERSION = "tlengine-finetune", 1
DEFAULT = "lp-ft"
EXTRACTION = ("device", "batch_size", "workers", "precision", "max_pixels", "strict")
OPTIONS = (
    "dataset", "backbone", "strategy", "settings", "seed", "image_size", "out", "fresh", "cache", "progress",
)  # fmt: skip
_JUDGED = ("accuracy", "balanced_accuracy", "log_loss", "ece")
_DOCUMENT, _METRICS = "finetune.json", "metrics.jsonl"


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
    with _place(out) as folder, bars(progress):
        samples = _see(dataset, named, size, cache, progress, extraction, ledger)
        setup, task = _setup(dataset, samples, chosen, folder, cache, extraction)
        key = f"{setup.key(task)}-{_seed(seed)}"
        if folder is not None and not fresh and (done := _taken_up(folder, key, named)):
            return done
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


def _seed(seed: Any) -> int:
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or not 0 <= seed < 2**31:
        raise InputError(f"seed {seed!r:.40}", hint="a whole number from 0 on")
    return int(seed)


@contextmanager
def _place(out: Any) -> Iterator[Path | None]:
    """The folder, this process's alone; None where nothing is kept."""
    if out is None:
        yield None
        return
    if not isinstance(out, str | os.PathLike):
        raise InputError(f"out is a {type(out).__name__}, no path", hint="pass the path of a folder")
    folder = Path(out).absolute()
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file, not a directory", hint="choose another --out")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("ab") as file:
        lock_file(file, str(folder), "--out")
        yield folder


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
    from tlengine.features import extract, load_backbone, opened

    name = str(getattr(backbone, "name", backbone))
    wanted = Wanted(name=name, backbone=name, source=backbone, image_size=size, asked=True)
    with opened(cache) as kept:

        def embed(view: Wanted) -> Any:
            loaded = load_backbone(backbone, image_size=size) if isinstance(backbone, str) else backbone
            return extract(dataset, loaded, cache=kept, progress=progress, **extraction)

        return see_samples(dataset, [wanted], embed, ledger)


def _setup(
    dataset: Dataset,
    samples: Samples,
    chosen: Chosen,
    folder: Path | None,
    cache: CacheLike,
    extraction: Mapping[str, Any],
) -> tuple[Setup, Task]:
    from tlengine.features import opened

    split = samples.splits is not None and is_split(np.asarray(samples.splits))
    plan = _given(samples) if split else _whole(samples)
    ground = Ground(
        codes=plan.codes, classes=np.asarray(plan.classes), units=plan.units, digests=samples.keys,
        groups=samples.groups, domains=samples.domains, contents=dataset.contents, rows=samples.rows,
    )  # fmt: skip
    given = {name: extraction[name] for name in ("device", "max_pixels") if extraction.get(name) is not None}
    with opened(cache) as kept:
        site = Site(cache=None if kept is None else kept.path.absolute(), **given)
    (view,) = samples.views
    setup = Setup(
        ground=ground, views=samples.views, plan=plan, strategies={chosen.name: chosen}, folder=folder,
        site=site,
    )  # fmt: skip
    part = "fit" if split else "refit"
    return setup, Task(view=view, strategy=chosen.name, budget="all", seed=0, fold=0, part=part)


def _given(samples: Samples) -> Plan:
    """The user's own split."""
    plan = make_resamples(samples.y, seeds=1, groups=samples.groups, keys=samples.keys, splits=samples.splits)
    for note in plan.notes:
        warnings.warn(note, TlengineWarning, stacklevel=4)
    if plan.excluded:
        shown = ", ".join(f"{e.label!r} ({e.count})" for e in plan.excluded)
        warnings.warn(
            f"classes too small to train and test are left out: {shown}", TlengineWarning, stacklevel=4
        )
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


def _taken_up(folder: Path, key: str, backbone: Any) -> FineTuneResult | None:
    """What an earlier call finished; None where there is nothing, or nothing whole."""
    try:
        document = json.loads((folder / _DOCUMENT).read_text(encoding="utf-8"))
        if document["key"] != key:
            return None
        own: Backbone | None = None if isinstance(backbone, str) else backbone
        model = from_pretrained(folder / "model", backbone=own)
    except (OSError, ValueError, KeyError, TypeError, TlengineError):
        return None
    return FineTuneResult(document=document, model=model, taken_up=True)


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
    roles, run_view, ground = setup.plan.roles(task), setup.views[task.view], setup.ground
    view = TaskView(run_view, ground, roles, setup.site)
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
    counts = np.bincount(ground.codes[roles.train], minlength=len(ground.classes))
    classes = [str(label) for label in ground.classes]
    document = {
        "format": FORMAT,
        "version": VERSION,
        "key": key,
        "dataset": {"name": dataset.name, "modality": dataset.modality, "rows": len(dataset)},
        "backbone": {
            "name": run_view.name,
            "fingerprint": run_view.fingerprint,
            "recipe": dict(run_view.recipe),
            "image_size": run_view.image_size,
        },
        "strategy": task.strategy,
        "settings": plain(dict(strategy.settings())),
        "seed": int(seed),
        "rows": len(roles.train),
        "classes": classes,
        "counts": counts.tolist(),
        "excluded": [{"label": str(e.label), "count": e.count} for e in setup.plan.excluded],
        "unreadable": samples.unreadable,
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
        _keep(result, folder, place)
    return result


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


def _keep(result: FineTuneResult, folder: Path, place: Path | None) -> None:
    """The model, its card and the document, the document last: where it is, all of it is."""
    (folder / _DOCUMENT).unlink(missing_ok=True)
    result.model.save(folder / "model")
    replace_text(folder / "model" / "README.md", card_of_training(result.document))
    if place is not None and (metrics := _metrics_of(place, result.document["chosen"].get("rate"))):
        replace_text(folder / _METRICS, metrics.read_text(encoding="utf-8"))
    replace_text(folder / _DOCUMENT, json.dumps(result.document, indent=1, ensure_ascii=False) + "\n")
    if place is not None:
        shutil.rmtree(place.parent, ignore_errors=True)


def _metrics_of(place: Path, rate: Any) -> Path | None:
    """Those of the training at ``rate``, or the only ones."""
    found = {path.parent.name: path for path in sorted(place.glob(f"*/{_METRICS}"))}
    if isinstance(rate, float) and f"rate-{rate:g}" in found:
        return found[f"rate-{rate:g}"]
    return next(iter(found.values())) if len(found) == 1 else None
