"""A torch map-style ``Dataset``: anything with ``len`` and ``[i]``, known by what it does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tlengine.data.arrays import dataset_from_arrays
from tlengine.data.choice import named_or_guessed
from tlengine.data.columns import Columns, guess, named
from tlengine.data.dataset import Dataset, LazyContents
from tlengine.data.labels import class_labels
from tlengine.data.paths import image_path, names_images
from tlengine.data.roles import name_column, role_column
from tlengine.data.scalars import listed, short
from tlengine.data.tables import LabelMode, text_of
from tlengine.data.targets import Targets
from tlengine.data.tensors import image_array, is_tensor
from tlengine.errors import DatasetError, EmptyInputError, LabelError

__all__ = ["dataset_from_map_style"]


def dataset_from_map_style(
    source: Any, columns: Columns, *, labels: LabelMode = "auto", modality: str | None = None
) -> Dataset:
    """Samples of a map-style dataset, read when they are needed.

    An item is ``(content, label)``, a mapping with columns of the usual names, or the content alone.
    A content is a str, a ``PIL.Image``, a uint8 array (h, w, 3), or a tensor (3, h, w), uint8 or in
    [0, 1]; of a mapping, groups, domains and splits are read too. Labels are what ``source[i]`` gives:
    ``source.targets`` is a short cut where it says the same. Whole numbers are named by ``source.classes``,
    also below ``Subset`` and ``ConcatDataset``.

    Raises:
        EmptyInputError: no items.
        DatasetError: an item that cannot be read or is nothing of the above.
        InputError: a column is named, and items have none.
        LabelError: see :func:`~tlengine.data.labels.class_labels`.
    """
    name = type(source).__name__
    if not len(source):
        raise EmptyInputError(f"{name}: no items", hint="it needs one item at least")
    tensors = getattr(source, "tensors", None)
    if isinstance(tensors, tuple) and len(tensors) == 2 and all(map(is_tensor, tensors)):
        columns.refuse(name, "pass {'X': X, 'y': y, 'groups': g}")
        return dataset_from_arrays(*tensors, name=name, labels=labels)
    reader = _Reader(source, name, columns, modality)
    first = reader.content(0)
    kind = "text" if isinstance(first, str) else "image"
    read = reader.columns(labels)
    return Dataset(
        name=name,
        modality=kind,  # type: ignore[arg-type]
        ids=np.array([str(i) for i in range(len(source))]),
        contents=LazyContents(len(source), reader.content),
        **read,
    )


class _Reader:
    """Knows where an item of a map-style dataset keeps its content, its label and its other columns."""

    def __init__(self, source: Any, name: str, columns: Columns, modality: str | None) -> None:
        self._source, self._name, self._modality = source, name, modality
        first = self.item(0)
        self._content, self._keys = self._subscripts(first, columns)
        self._sure_split = columns.split is not None
        content = first if self._content is None else first[self._content]
        self._is_path = isinstance(content, str) and (modality == "image" or names_images([content]))
        if modality == "text":
            self._is_path = False

    def _subscripts(self, first: Any, columns: Columns) -> tuple[Any, dict[str, Any]]:
        """What to subscript an item with for its content (None: the item is it), and for each column."""
        if not isinstance(first, Mapping):
            columns.refuse(
                f"an item of {self._name}", "let __getitem__ return a dict with this key, or pass a table"
            )
            if isinstance(first, tuple | list) and first:
                return 0, {"label": 1} if len(first) > 1 else {}
            return None, {}
        keys = [key for key in first if isinstance(key, str)]
        asked = columns.text or columns.image
        if asked is not None:
            content = named(asked, "text" if columns.text else "image", keys, f"{self._name}[0]")
        else:
            found = guess("image", keys), guess("text", keys)
            content = next((c for c in (found if self._modality != "text" else found[::-1]) if c), "")
        if content not in first:
            raise DatasetError(
                f"{self._name}[0]: no text or image among {listed(list(first))}",
                hint="name it with text= or image=",
            )
        rest = Columns(label=columns.label, group=columns.group, domain=columns.domain, split=columns.split)
        others = named_or_guessed([key for key in keys if key != content], rest, f"{self._name}[0]")
        return content, {role: key for role, key in others.items() if role != "id"}

    def item(self, row: int) -> Any:
        """The item as the dataset gives it; a named tuple by its names."""
        try:
            item = self._source[row]
        except Exception as error:
            raise DatasetError(
                f"{self._name}[{row}]: {type(error).__name__}: {error}", hint="mend the dataset's __getitem__"
            ) from error
        return item._asdict() if hasattr(item, "_asdict") else item

    def content(self, row: int) -> Any:
        """What is to be embedded."""
        item, place = self.item(row), f"{self._name}[{row}]"
        content = item if self._content is None else item[self._content]
        if is_tensor(content):
            return image_array(content, place)
        if self._is_path:
            return image_path(content, None, place) if isinstance(content, str) else content
        if content is None or isinstance(content, str):
            return text_of(content, place)
        if isinstance(content, np.ndarray | bytes | Path) or hasattr(content, "convert"):
            return content
        raise DatasetError(
            f"{place}: {short(content)} is neither text nor image",
            hint="an item is (content, label), in this order, or a dict with text or image and label",
        )

    def columns(self, labels: LabelMode) -> dict[str, Any]:
        """Labels, groups, domains and splits, by the names that :class:`Dataset` has for them."""
        keys = dict(self._keys)
        label = keys.pop("label", None)
        targets = Targets(self._source, lambda row: self.item(row)[label]) if label is not None else None
        fast = targets.fast() if targets and labels != "ignore" and not keys else None
        values: dict[str, list[Any]] = {role: [] for role in self._keys}
        if keys or (fast is None and targets is not None and labels != "ignore"):
            for row in range(len(self._source)):
                item = self.item(row)
                for role, key in self._keys.items():
                    values[role].append(self._cell(item, key, row))
        found: dict[str, Any] = {}
        if targets is not None and labels != "ignore":
            named_labels = fast if fast is not None else targets.named(values["label"])
            found["y"] = class_labels(named_labels, self._place, where=f"labels of {self._name}")
        for role in keys:
            found |= self._column(role, values[role])
        return found

    def _column(self, role: str, values: list[Any]) -> dict[str, Any]:
        where = f"{self._name}, {role}"
        if role == "split":
            return {"splits": role_column(values, where, self._place, sure=self._sure_split)}
        return {f"{role}s": name_column(values, role, where, self._place)}

    def _place(self, row: int) -> str:
        return f"{self._name}[{row}]"

    def _cell(self, item: Any, key: Any, row: int) -> Any:
        try:
            return item[key]
        except (KeyError, IndexError, TypeError):
            raise LabelError(
                f"{self._name}[{row}]: no {key!r} in this item", hint="give every item the same columns"
            ) from None
