"""The samples of a run, and what each backbone and each control sees of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.data import Dataset
from tlengine.data.units import content_digests
from tlengine.errors import DecodeError, InputError, TlengineError
from tlengine.evaluation.ledger import Ledger
from tlengine.evaluation.sizes import told_size
from tlengine.evaluation.views import RunView
from tlengine.plugins.containment import reason
from tlengine.types import Features

__all__ = ["Failed", "Samples", "Wanted", "samples_of_features", "see_samples"]

_COSTS = (
    "rows", "embedded", "cached", "failed", "seconds", "seconds_saved", "device", "precision",
    "flops_per_row",
)  # fmt: skip
_TEXTS = 8
"""Texts whose mean stands for a data set where operations are counted."""


@dataclass(frozen=True, kw_only=True)
class Failed:
    """What failed while the rest of the run went on.

    Attributes:
        backbone, strategy: which; None where it is neither.
        error, hint: the message, and the way out.
        asked: whether the user named it.
        step: ``"plugin"``, ``"extract"``, ``"fit"``, ``"inner"`` for an inner fold (its strategy is judged,
            and cannot be chosen), or what came after: ``"inspect"``, ``"refit"``, ``"report"``, or ``"save"``
            of the model.
        budgets: the budgets at which it failed, where some went well.
    """

    backbone: str | None
    strategy: str | None
    error: str
    hint: str | None = None
    asked: bool = False
    step: str = "fit"
    budgets: tuple[Any, ...] = ()

    @classmethod
    def of(cls, backbone: str | None, strategy: str | None, error: BaseException, **facts: Any) -> Failed:
        """The record of an exception."""
        message = error.message if isinstance(error, TlengineError) else reason(error)
        return cls(
            backbone=backbone, strategy=strategy, error=message, hint=getattr(error, "hint", None), **facts
        )


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A view that a run needs.

    Attributes:
        name, backbone: its own, and of the backbone it belongs to ("" for none).
        source: what to embed with.
        image_size: side of its pictures, where the source is a name; None for its own.
        asked: whether it is one of the backbones that strategies are used on.
        named: whether the user named it, or a control that reads it.
    """

    name: str
    backbone: str
    source: Any
    image_size: int | None = None
    asked: bool = False
    named: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """The rows that every view could read, in the order of the dataset.

    Attributes:
        rows: (n,) their row numbers in the dataset.
        y, ids: (n,) labels and names.
        keys: (n, 32) content digests.
        groups, domains, splits: (n,) or None.
        unreadable: id and reason of the rows left out.
        views: by name.
        failed: those that did not work.
    """

    rows: npt.NDArray[np.intp]
    y: npt.NDArray[Any]
    ids: npt.NDArray[np.str_]
    keys: npt.NDArray[np.uint8]
    groups: npt.NDArray[np.str_] | None
    domains: npt.NDArray[np.str_] | None
    splits: npt.NDArray[np.str_] | None
    unreadable: list[dict[str, str]]
    views: dict[str, RunView]
    failed: list[Failed]


def see_samples(
    dataset: Dataset, wanted: Sequence[Wanted], embed: Callable[[Wanted], Features], ledger: Ledger
) -> Samples:
    """Embed the samples for every view, and keep the rows that all of them could read.

    Raises:
        DecodeError: no sample can be read, or with ``strict`` any cannot.
        TlengineError: every backbone that was asked for failed; the error of the first.
    """
    seen: list[tuple[Wanted, Features]] = []
    failed: list[Failed] = []
    errors: list[Exception] = []
    for view in wanted:
        try:
            with ledger.stage("extract", view.name) as stage:
                features = embed(view)
                seen.append((view, features))
                if (stats := features.stats) is not None:
                    stage.gpu = stats.device != "cpu"
                    stage.flops = stats.flops_per_row and stats.flops_per_row * stats.embedded
        except DecodeError:
            raise
        except Exception as error:  # the others go on
            failed.append(Failed.of(view.name, None, error, asked=view.asked or view.named, step="extract"))
            errors += [error] if view.asked else []
    if errors and not any(view.asked for view, _ in seen):
        raise errors[0]
    return _aligned(dataset, seen, failed)


def with_row_flops(features: Features, dataset: Dataset, backbone: Any) -> Features:
    """The same, with the operations that a row takes: counted on one image, or on a few texts."""
    from tlengine.finetuning.flops import row_flops

    if features.stats is None or dataset.contents is None:
        return features
    rows = _rows_of(features)
    many = _TEXTS if dataset.modality == "text" else 1
    samples = [dataset.contents[int(row)] for row in rows[:: max(1, len(rows) // many)][:many]]
    flops = row_flops(backbone.for_modality(dataset.modality), samples)
    return replace(features, stats=replace(features.stats, flops_per_row=flops))


def samples_of_features(dataset: Dataset, controls: Mapping[str, Any]) -> Samples:
    """A dataset that is features already, and the arrays that its controls look at.

    Raises:
        InputError: a control's array has another number of rows, or the name of the features.
    """
    X = np.ascontiguousarray(dataset.X, dtype=np.float32)
    name = dataset.metadata.get("backbone", "features")
    told = dataset.metadata
    views = {
        name: RunView(
            name=name, X=X, backbone=name, fingerprint=told.get("fingerprint"), image_size=told_size(told)
        )
    }
    for control, array in controls.items():
        if control == name:
            raise InputError(f"a control has the name of the features, {name!r}", hint="give it another name")
        views[control] = RunView(name=control, X=_control(control, array, len(X)))
    return Samples(
        rows=np.arange(len(X)),
        y=dataset.labels(),
        ids=dataset.ids,
        keys=content_digests(X) if dataset.keys is None else dataset.keys,
        groups=dataset.groups,
        domains=dataset.domains,
        splits=dataset.splits,
        unreadable=[],
        views=views,
        failed=[],
    )


def _control(name: str, array: Any, rows: int) -> npt.NDArray[np.float32]:
    try:
        X = np.ascontiguousarray(array, dtype=np.float32)
    except (TypeError, ValueError):
        X = np.zeros(0, np.float32)
    if X.ndim != 2 or len(X) != rows or not np.isfinite(X).all():
        shape = getattr(array, "shape", type(array).__name__)
        raise InputError(
            f"the control {name!r} is {shape}", hint=f"give finite numbers, ({rows}, columns), a row a sample"
        )
    return X


def _aligned(dataset: Dataset, seen: Sequence[tuple[Wanted, Features]], failed: list[Failed]) -> Samples:
    readable = np.ones(len(dataset), dtype=bool)
    unreadable: dict[int, dict[str, str]] = {}
    for _, features in seen:
        read = np.isin(np.arange(len(dataset)), _rows_of(features))
        readable &= read
        # Failures come in the order of the rows that are missing; their ids need not be unique.
        for row, failure in zip(np.flatnonzero(~read).tolist(), features.failures, strict=True):
            unreadable.setdefault(row, {"id": failure.id, "reason": failure.reason})
    rows = np.flatnonzero(readable)
    kept = [(view, features, np.searchsorted(_rows_of(features), rows)) for view, features in seen]
    _, first, places = kept[0]

    def column(values: Any) -> Any:
        return None if values is None else values[rows]

    return Samples(
        rows=rows,
        y=dataset.labels()[rows],
        ids=dataset.ids[rows],
        keys=content_digests(first.X[places]) if first.keys is None else first.keys[places],
        groups=column(dataset.groups),
        domains=column(dataset.domains),
        splits=column(dataset.splits),
        unreadable=[unreadable[row] for row in sorted(unreadable)],
        views={view.name: _view(view, features, places) for view, features, places in kept},
        failed=failed,
    )


def _rows_of(features: Features) -> npt.NDArray[np.intp]:
    """Row numbers in the dataset, rising; ids are for people, and two rows may share one."""
    return np.arange(len(features)) if features.rows is None else features.rows


def _view(wanted: Wanted, features: Features, places: npt.NDArray[np.intp]) -> RunView:
    stats = features.stats
    return RunView(
        name=wanted.name,
        backbone=wanted.backbone,
        X=features.X if len(places) == len(features) else features.X[places],
        fingerprint=features.fingerprint,
        recipe=dict(features.recipe),
        check_rows=features.check_rows,
        cost={} if stats is None else {n: getattr(stats, n) for n in _COSTS},
        loaded=wanted.source if wanted.backbone == wanted.name else None,
        image_size=wanted.image_size,
    )
