"""A torch map-style ``Dataset``: anything with ``len`` and ``[i]``, known by what it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, overload

import numpy as np

from tlengine.data.columns import Columns, guess
from tlengine.data.dataset import Dataset
from tlengine.data.labels import class_labels
from tlengine.data.tables import LabelMode
from tlengine.errors import DatasetError, EmptyInputError

__all__ = ["dataset_from_map_style"]


def dataset_from_map_style(
    source: Any, columns: Columns, *, labels: LabelMode = "auto", modality: str | None = None
) -> Dataset:
    """Samples of a map-style dataset, read when they are needed.

    An item is ``(content, label)``, a mapping with columns of the usual names, or the content alone.
    A content is a str, a ``PIL.Image``, a uint8 array (h, w, 3), or a tensor (3, h, w), uint8 or in
    [0, 1]. Labels come from ``source.targets`` where it exists, else from one pass over the items;
    whole numbers are named by ``source.classes`` where it exists.

    Raises:
        EmptyInputError: no items.
        DatasetError: an item that cannot be read or is nothing of the above.
        LabelError: see :func:`~tlengine.data.labels.class_labels`.
    """
    name = type(source).__name__
    if not len(source):
        raise EmptyInputError(f"{name}: no items")
    reader = _Reader(source, name, columns)
    first = reader[0]
    return Dataset(
        name=name,
        modality=modality or ("text" if isinstance(first, str) else "image"),  # type: ignore[arg-type]
        ids=np.array([str(i) for i in range(len(source))]),
        contents=reader,
        y=None if labels == "ignore" else _labels(source, reader, name),
    )


class _Reader(Sequence[Any]):
    """The contents of a map-style dataset."""

    def __init__(self, source: Any, name: str, columns: Columns) -> None:
        self._source, self._name = source, name
        first = self.item(0)
        self._content: Any = None
        self.label: Any = None
        if isinstance(first, Mapping):
            keys = list(first)
            self._content = columns.text or columns.image or guess("image", keys) or guess("text", keys)
            self.label = columns.label or guess("label", keys)
            if self._content not in first:
                raise DatasetError(
                    f"{name}[0]: no text or image among {', '.join(map(str, keys))}",
                    hint="name it with text= or image=",
                )
        elif isinstance(first, tuple | list) and first:
            self._content, self.label = 0, 1 if len(first) > 1 else None

    def item(self, row: int) -> Any:
        """The item as the dataset gives it."""
        try:
            return self._source[row]
        except Exception as error:
            raise DatasetError(f"{self._name}[{row}]: {type(error).__name__}: {error}") from error

    def __len__(self) -> int:
        return len(self._source)

    @overload
    def __getitem__(self, row: int) -> Any: ...
    @overload
    def __getitem__(self, row: slice) -> list[Any]: ...
    def __getitem__(self, row: int | slice) -> Any:
        if isinstance(row, slice):
            return [self[i] for i in range(*row.indices(len(self)))]
        item = self.item(row)
        content = item if self._content is None else item[self._content]
        return _plain(content, f"{self._name}[{row}]")


def _plain(content: Any, place: str) -> Any:
    """Tensors (c, h, w) as uint8 arrays (h, w, c); everything else as it is."""
    if not hasattr(content, "detach"):
        return content
    array = content.detach().cpu().numpy()
    if array.ndim != 3 or array.shape[0] not in (1, 3):
        raise DatasetError(
            f"{place}: a tensor of shape {array.shape}", hint="images are (3, h, w) or (1, h, w)"
        )
    if array.dtype.kind == "f":
        if array.min() < 0 or array.max() > 1:
            raise DatasetError(
                f"{place}: values from {array.min()} to {array.max()}",
                hint="leave normalisation to the backbone: floats are in [0, 1], or uint8",
            )
        array = np.rint(array * 255).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(array, (3, *array.shape[1:])).transpose(1, 2, 0))


def _labels(source: Any, reader: _Reader, name: str) -> np.ndarray[Any, Any] | None:
    values = getattr(source, "targets", None)
    if values is None:
        if reader.label is None:
            return None
        values = [reader.item(i)[reader.label] for i in range(len(source))]
    values = [value.item() if hasattr(value, "item") else value for value in values]
    classes = getattr(source, "classes", None)
    if classes is not None and all(isinstance(v, int) and 0 <= v < len(classes) for v in values):
        values = [str(classes[v]) for v in values]
    return class_labels(values, lambda row: f"{name}[{row}]")
