"""Labels of torch datasets: read off what the items are made of where that is known, else item by item."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from inspect import getattr_static
from typing import Any

import numpy as np

from tlengine.data.scalars import plain
from tlengine.data.tensors import row_list
from tlengine.errors import TlengineWarning

__all__ = ["Targets", "watched"]

_TORCH = "torch.utils.data.dataset"
_STORES = {
    "torchvision.datasets.folder": "samples",
    "torchvision.datasets.cifar": "targets",
    "torchvision.datasets.mnist": "targets",
    "torchvision.datasets.usps": "targets",
    "torchvision.datasets.svhn": "labels",
    "torchvision.datasets.stl10": "labels",
}
"""What the ``__getitem__`` of these modules takes a label from, unless ``target_transform`` is set."""

_PATIENCE = 5.0
"""Seconds of reading items before a word on it."""


class Targets:
    """The labels of ``source``.

    ``Subset`` and ``ConcatDataset`` of torch are looked through, each part with its own names of classes. A
    class that overrides ``__getitem__`` may give other labels than those it stores, in any row.

    Args:
        source: a map-style dataset.
    """

    def __init__(self, source: Any) -> None:
        self._source = source
        rows = range(len(source))
        self._leaves = list(_leaves(source, rows, rows))

    def fast(self) -> list[Any] | None:
        """The labels with their names, where no item need be read for them; else None."""
        values: list[Any] = [None] * len(self._source)
        for leaf in self._leaves:
            stored = _sure_labels(leaf.source)
            if stored is None:
                return None
            for at, row in zip(leaf.at, leaf.rows, strict=True):
                values[at] = stored[row]
        return self.named(values)

    def named(self, values: Sequence[Any]) -> list[Any]:
        """``values``, one for each item; whole numbers by the names of their classes, where these are known.

        Labels that differ from those that are stored keep their numbers: what the names say of them is not
        known.
        """
        values = [plain(value) for value in values]
        names = list(values)
        for leaf in self._leaves:
            found = _names(leaf.source, leaf.rows, [values[at] for at in leaf.at])
            if found is None:
                return values
            for at, name in zip(leaf.at, found, strict=True):
                names[at] = name
        return names


def watched(rows: range, name: str) -> Iterator[int]:
    """``rows``, with a warning where the items take long to read."""
    start, silent = time.monotonic(), True
    for row in rows:
        if silent and time.monotonic() - start > _PATIENCE:
            silent = False
            warnings.warn(
                f"{name}: labels are read item by item, {row} of {len(rows)} so far; (paths, labels) are "
                "quicker",
                TlengineWarning,
                stacklevel=4,
            )
        yield row


@dataclass(frozen=True)
class _Leaf:
    """Rows ``rows`` of ``source``, which are the rows ``at`` of what it is a part of."""

    source: Any
    at: Sequence[int]
    rows: Sequence[int]


def _home(source: Any) -> str | None:
    """The module that the items of ``source`` come from; a copied ``__module__`` does not deceive it."""
    code = getattr(type(source).__getitem__, "__globals__", {})
    return code.get("__name__")


def _leaves(source: Any, at: Sequence[int], rows: Sequence[int]) -> Iterator[_Leaf]:
    """What lies below torch's own ``Subset`` and ``ConcatDataset``."""
    if _home(source) == _TORCH and hasattr(source, "indices"):
        yield from _leaves(source.dataset, at, [int(source.indices[row]) for row in rows])
    elif _home(source) == _TORCH and hasattr(source, "cumulative_sizes"):
        ends = np.array([0, *source.cumulative_sizes])
        whole = np.asarray(rows, dtype=np.int64) % len(source)
        part = np.searchsorted(ends, whole, side="right") - 1
        for i in np.unique(part).tolist():
            inside = np.flatnonzero(part == i).tolist()
            yield from _leaves(
                source.datasets[i], [at[j] for j in inside], (whole[inside] - ends[i]).tolist()
            )
    else:
        yield _Leaf(source, at, rows)


def _stored(source: Any, name: str = "targets") -> list[Any] | None:
    """The labels that ``source`` keeps under ``name``, one for each of its items."""
    values = row_list(getattr(source, name, None))
    if values is None or len(values) != len(source):
        return None
    found = [plain(value[1] if name == "samples" else value) for value in values]
    return found if all(isinstance(value, str | int) for value in found) else None


def _sure_labels(source: Any) -> list[Any] | None:
    """What every item has for a label, by the code of torchvision that gives the items."""
    name = _STORES.get(_home(source) or "")
    unchanged = getattr(source, "target_transform", None) is None
    return _stored(source, name) if name is not None and unchanged else None


def _names(source: Any, rows: Sequence[int], values: list[Any]) -> list[str] | None:
    """``values`` by the names of classes, if ``source`` has names that hold for them."""
    classes = getattr(source, "classes", None)
    if not isinstance(classes, list | tuple) or not all(
        isinstance(value, int) and 0 <= value < len(classes) for value in values
    ):
        return _names_below(source, rows, values)
    stored = _sure_labels(source) or _stored(source)
    if [stored[row] for row in rows] != values if stored is not None else not _declares_names(source):
        return None
    return [str(classes[value]) for value in values]


def _names_below(source: Any, rows: Sequence[int], values: list[Any]) -> list[str] | None:
    """By the names of what a wrapper keeps as ``dataset``, if its labels are stored there, item by item."""
    below: Any = getattr(source, "dataset", None)
    if not hasattr(below, "classes") or not hasattr(below, "__len__") or len(below) != len(source):
        return None
    return _names(below, rows, values) if _stored(below) is not None else None


def _declares_names(source: Any) -> bool:
    """Whether ``classes`` belong to the code that gives the items, and not to what it inherits or wraps."""
    if getattr(source, "target_transform", None) is not None:
        return False
    if getattr_static(source, "classes", None) is None:
        return False
    givers = [base for base in type(source).__mro__ if "__getitem__" in vars(base)]
    return all(base.__module__ in (_TORCH, "torchvision.datasets.vision") for base in givers[1:])
