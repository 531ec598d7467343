"""The samples of a run, and how each backbone sees them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.data import Dataset
from tlengine.data.units import content_digests
from tlengine.errors import DecodeError, TlengineError
from tlengine.evaluation.ledger import Ledger
from tlengine.types import CheckRows, Features

__all__ = ["Failed", "Samples", "View", "content_digests", "samples_of_features", "see_samples"]


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """The samples as one backbone sees them: (n, d) float32 features and what they come from.

    ``asked`` is False for a control that the user did not name as a backbone.
    """

    name: str
    X: npt.NDArray[np.float32]
    asked: bool = True
    fingerprint: str | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)
    check_rows: CheckRows | None = None
    cost: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Failed:
    """A backbone or strategy that failed while the rest of the run went on."""

    backbone: str
    strategy: str | None
    error: str
    hint: str | None = None

    @classmethod
    def of(cls, backbone: str, strategy: str | None, error: Exception) -> Failed:
        """The record of an exception."""
        message = error.message if isinstance(error, TlengineError) else f"{type(error).__name__}: {error}"
        return cls(backbone=backbone, strategy=strategy, error=message, hint=getattr(error, "hint", None))


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """The rows that every backbone could read, in the order of the dataset.

    Attributes:
        rows: (n,) their row numbers in the dataset.
        y: (n,) labels.
        ids: (n,) str.
        keys: (n, 32) content digests.
        groups, splits: (n,) or None.
        unreadable: id and reason of the rows left out.
        views: one for each backbone that worked; the control has the name ``"raw"``.
        failed: those that did not.
    """

    rows: npt.NDArray[np.intp]
    y: npt.NDArray[Any]
    ids: npt.NDArray[np.str_]
    keys: npt.NDArray[np.uint8]
    groups: npt.NDArray[np.str_] | None
    splits: npt.NDArray[np.str_] | None
    unreadable: list[dict[str, str]]
    views: list[View]
    failed: list[Failed]


def see_samples(
    dataset: Dataset,
    names: Sequence[Any],
    asked: Sequence[str],
    embed: Callable[[Any], Features],
    ledger: Ledger,
) -> Samples:
    """Embed the samples with every backbone, and keep the rows that all of them could read.

    Args:
        dataset: labelled samples.
        names: backbones or their names, the control among them.
        asked: the names that the user asked for.
        embed: turns one of them into features.
        ledger: books the seconds.

    Raises:
        DecodeError: no sample can be read, or with ``strict`` any cannot.
        TlengineError: every backbone but the control failed; the error of the first.
    """
    seen: list[tuple[str, Features]] = []
    failed: list[Failed] = []
    errors: list[Exception] = []
    for name in names:
        shown = str(getattr(name, "name", name))
        try:
            with ledger.stage("extract", shown):
                seen.append((shown, embed(name)))
        except DecodeError:
            raise
        except Exception as error:  # the other backbones go on
            failed.append(Failed.of(shown, None, error))
            errors.append(error)
    if errors and not any(name in asked for name, _ in seen):
        raise errors[0]
    return _aligned(dataset, seen, asked, failed)


def samples_of_features(dataset: Dataset) -> Samples:
    """A dataset that is features already."""
    X = np.ascontiguousarray(dataset.X, dtype=np.float32)
    name = dataset.metadata.get("backbone", "features")
    view = View(name=name, X=X, fingerprint=dataset.metadata.get("fingerprint"))
    return Samples(
        rows=np.arange(len(X)),
        y=dataset.labels(),
        ids=dataset.ids,
        keys=content_digests(X) if dataset.keys is None else dataset.keys,
        groups=dataset.groups,
        splits=dataset.splits,
        unreadable=[],
        views=[view],
        failed=[],
    )


def _aligned(
    dataset: Dataset, seen: Sequence[tuple[str, Features]], asked: Sequence[str], failed: list[Failed]
) -> Samples:
    readable = np.ones(len(dataset), dtype=bool)
    unreadable: dict[int, dict[str, str]] = {}
    for _, features in seen:
        read = np.isin(np.arange(len(dataset)), _rows_of(features))
        readable &= read
        # Failures come in the order of the rows that are missing; their ids need not be unique.
        for row, failure in zip(np.flatnonzero(~read).tolist(), features.failures, strict=True):
            unreadable.setdefault(row, {"id": failure.id, "reason": failure.reason})
    rows = np.flatnonzero(readable)
    kept = [(name, features, np.searchsorted(_rows_of(features), rows)) for name, features in seen]
    _, first, places = kept[0]
    return Samples(
        rows=rows,
        y=dataset.labels()[rows],
        ids=dataset.ids[rows],
        keys=content_digests(first.X[places]) if first.keys is None else first.keys[places],
        groups=None if dataset.groups is None else dataset.groups[rows],
        splits=None if dataset.splits is None else dataset.splits[rows],
        unreadable=[unreadable[row] for row in sorted(unreadable)],
        views=[_view(name, features, places, name in asked) for name, features, places in kept],
        failed=failed,
    )


def _rows_of(features: Features) -> npt.NDArray[np.intp]:
    """Row numbers in the dataset, rising; ids are for people, and two rows may share one."""
    return np.arange(len(features)) if features.rows is None else features.rows


def _view(name: str, features: Features, places: npt.NDArray[np.intp], asked: bool) -> View:
    whole = len(places) == len(features)
    stats = features.stats
    cost = {} if stats is None else {n: getattr(stats, n) for n in _COSTS}
    return View(
        name=name,
        X=features.X if whole else features.X[places],
        asked=asked,
        fingerprint=features.fingerprint,
        recipe=dict(features.recipe),
        check_rows=features.check_rows,
        cost=cost,
    )


_COSTS = ("rows", "embedded", "cached", "failed", "seconds", "seconds_saved", "device", "precision")
