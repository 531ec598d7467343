"""Labels of torch datasets without a look at every item: ``.targets``, where it tells the truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tlengine.data.scalars import plain
from tlengine.data.tensors import row_list

__all__ = ["Targets"]

_LOOKED_AT = 64
"""Items that are compared with ``targets``: the first of each of so many distinct values."""


class Targets:
    """The labels of ``source``, an item of which has the label ``read(row)``.

    Wrappers as torch makes them are looked through: ``Subset`` (``dataset`` and ``indices``) and
    ``ConcatDataset`` (``datasets``), each part with its own names of classes.

    Args:
        source: a map-style dataset.
        read: the label of one item.
    """

    def __init__(self, source: Any, read: Callable[[int], Any]) -> None:
        self._source, self._read = source, read
        self._changed = _is_changed(source)

    def fast(self) -> list[Any] | None:
        """The labels with their names, if ``targets`` has what the items say; else None."""
        raw = _stored(self._source)
        if raw is None or len(raw) != len(self._source) or self._changed:
            return None
        first = {value: row for row, value in reversed(list(enumerate(raw)))}
        if len(first) > _LOOKED_AT:
            first = dict(list(first.items())[:_LOOKED_AT])
        rows = {*first.values(), 0, len(raw) - 1}
        self._changed = any(plain(self._read(row)) != raw[row] for row in rows)
        if self._changed:
            return None
        return self.named(raw)

    def named(self, values: Sequence[Any]) -> list[Any]:
        """``values``, one for each item; whole numbers by the names of their classes, where there are any.

        Labels that are changed on their way from ``targets`` to the items keep their numbers: what the names
        say of them is not known.
        """
        values = [plain(value) for value in values]
        if self._changed:
            return values
        names = [
            _named(value, classes) for value, classes in zip(values, _classes(self._source), strict=True)
        ]
        return values if None in names else names


def _named(value: Any, classes: Sequence[Any] | None) -> str | None:
    fits = classes is not None and isinstance(value, int) and 0 <= value < len(classes)
    return str(classes[value]) if fits and classes is not None else None


def _parts(source: Any) -> list[Any] | None:
    """The parts of a ``ConcatDataset``."""
    return (
        list(source.datasets) if hasattr(source, "datasets") and hasattr(source, "cumulative_sizes") else None
    )


def _inner(source: Any) -> tuple[Any, list[int]] | None:
    """What a ``Subset`` is a part of, and which rows."""
    if not (hasattr(source, "dataset") and hasattr(source, "indices")):
        return None
    return source.dataset, [int(i) for i in source.indices]


def _is_changed(source: Any) -> bool:
    """Whether something between the stored labels and the items changes them."""
    if getattr(source, "target_transform", None) is not None:
        return True
    if (parts := _parts(source)) is not None:
        return any(_is_changed(part) for part in parts)
    inner = _inner(source)
    return inner is not None and _is_changed(inner[0])


def _stored(source: Any) -> list[Any] | None:
    """``targets`` of the dataset or of what it wraps, row by row."""
    if (parts := _parts(source)) is not None:
        stored = [_stored(part) for part in parts]
        return None if None in stored else [value for part in stored if part is not None for value in part]
    if (inner := _inner(source)) is not None:
        below = _stored(inner[0])
        return None if below is None else [below[i] for i in inner[1]]
    values = row_list(getattr(source, "targets", None))
    plain_values = None if values is None else [plain(value) for value in values]
    return plain_values if plain_values and all(_is_scalar(v) for v in plain_values) else None


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float | bool)


def _classes(source: Any) -> list[Sequence[Any] | None]:
    """The names of classes that hold for each row."""
    if (parts := _parts(source)) is not None:
        return [classes for part in parts for classes in _classes(part)]
    if (inner := _inner(source)) is not None:
        below = _classes(inner[0])
        return [below[i] for i in inner[1]]
    classes = getattr(source, "classes", None)
    known = classes if isinstance(classes, list | tuple) and len(classes) else None
    return [known] * len(source)
