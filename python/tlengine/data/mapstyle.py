"""A torch map-style ``Dataset``: anything with ``len`` and ``[i]``, known by what it does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tlengine.data.columns import Columns, guess
from tlengine.data.dataset import Dataset, LazyContents
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
        raise EmptyInputError(f"{name}: no items", hint="it needs one item at least")
    reader = _Reader(source, name, columns)
    first = reader.content(0)
    return Dataset(
        name=name,
        modality=modality or ("text" if isinstance(first, str) else "image"),  # type: ignore[arg-type]
        ids=np.array([str(i) for i in range(len(source))]),
        contents=LazyContents(len(source), reader.content),
        y=None if labels == "ignore" else _labels(source, reader, name),
    )


class _Reader:
    """Knows where an item of a map-style dataset keeps its content and its label."""

    def __init__(self, source: Any, name: str, columns: Columns) -> None:
        self._source, self._name = source, name
        self._content, self.label = self._keys(self.item(0), columns)

    def _keys(self, first: Any, columns: Columns) -> tuple[Any, Any]:
        """What to subscript an item with; None for a content without a label around it."""
        if isinstance(first, tuple | list) and first:
            return 0, 1 if len(first) > 1 else None
        if not isinstance(first, Mapping):
            return None, None
        keys = list(first)
        content = columns.text or columns.image or guess("image", keys) or guess("text", keys)
        if content not in first:
            raise DatasetError(
                f"{self._name}[0]: no text or image among {', '.join(map(str, keys))}",
                hint="name it with text= or image=",
            )
        return content, columns.label or guess("label", keys)

    def item(self, row: int) -> Any:
        """The item as the dataset gives it."""
        try:
            return self._source[row]
        except Exception as error:
            raise DatasetError(
                f"{self._name}[{row}]: {type(error).__name__}: {error}", hint="mend the dataset's __getitem__"
            ) from error

    def content(self, row: int) -> Any:
        """What is to be embedded."""
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
