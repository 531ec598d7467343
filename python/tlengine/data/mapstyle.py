"""A torch map-style ``Dataset``: anything with ``len`` and ``[i]``, known by what it does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tlengine.data.arrays import dataset_from_arrays
from tlengine.data.choice import named_or_guessed
from tlengine.data.columns import Columns, guess, named
from tlengine.data.dataset import Dataset, LazyContents
from tlengine.data.labels import class_labels
from tlengine.data.paths import image_path, names_images
from tlengine.data.roles import name_column, role_column
from tlengine.data.scalars import is_nothing, listed, plain, short
from tlengine.data.tables import LabelMode, text_of
from tlengine.data.targets import Targets, watched
from tlengine.data.tensors import image_array, is_tensor
from tlengine.errors import DatasetError, EmptyInputError, LabelError

__all__ = ["dataset_from_map_style"]


def dataset_from_map_style(
    source: Any, columns: Columns, *, labels: LabelMode = "auto", modality: str | None = None
) -> Dataset:
    """Samples of a map-style dataset, read when they are needed.

    An item is ``(content, label)``, a mapping with columns of the usual names, or the content alone. After
    the label may stand what cannot be one: a dict, an array, a path, None.
    A content is a str, a ``PIL.Image``, a uint8 array (h, w, 3), or a tensor (3, h, w), uint8 or in
    [0, 1]; of a mapping, groups, domains and splits are read too. The first content that is there says
    whether they are texts or images. Labels are what ``source[i]`` gives: every item is read for its label,
    except where torchvision's own code takes it from a list. Whole numbers are named by ``source.classes``,
    also below ``Subset`` and ``ConcatDataset``.

    Raises:
        EmptyInputError: no items.
        DatasetError: an item that cannot be read or is nothing of the above; items such as
            ``(image, row, label)``, of which two entries could be the label.
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
    reader.content(reader.first)
    read = reader.columns(labels)
    return Dataset(
        name=name,
        modality=reader.kind,
        ids=np.array([str(i) for i in range(len(source))]),
        contents=LazyContents(len(source), reader.content),
        **read,
    )


class _Reader:
    """Knows where an item of a map-style dataset keeps its content, its label and its other columns."""

    def __init__(self, source: Any, name: str, columns: Columns, modality: str | None) -> None:
        self._source, self._name, self._modality = source, name, modality
        self._content, self._keys = self._subscripts(self.item(0), columns)
        self._asked_split = columns.split
        rows = range(len(source))
        self.first = next((row for row in rows if not is_nothing(self._raw(row))), 0)
        content = self._raw(self.first)
        self._is_path = modality != "text" and (
            isinstance(content, str) and (modality == "image" or names_images([content]))
        )
        self.kind: Literal["text", "image"] = (
            "text" if isinstance(content, str | None) and not self._is_path else "image"
        )

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
        """What is to be embedded; an image that is not there is no bytes, which cannot be read."""
        content, place = self._raw(row), self._place(row)
        if self.kind == "text" and (is_nothing(content) or isinstance(content, str)):
            return text_of(content, place)
        if self.kind == "image" and is_nothing(content):
            return b""
        if self.kind == "image" and is_tensor(content):
            return image_array(content, place)
        if self._is_path and isinstance(content, str):
            return image_path(content, None, place)
        picture = isinstance(content, np.ndarray | bytes | Path) or hasattr(content, "convert")
        if self.kind == "image" and picture:
            return content
        known = picture or isinstance(content, str) or is_tensor(content)
        raise DatasetError(
            f"{place}: {short(content)} is {f'no {self.kind}' if known else 'neither text nor image'}",
            hint="an item is (content, label), in this order, or a dict with text or image and label; "
            "all contents are texts, or all are images",
        )

    def _raw(self, row: int) -> Any:
        item = self.item(row)
        if isinstance(item, Mapping):
            return item.get(self._content)
        return item if self._content is None else self._cell(item, self._content, row)

    def columns(self, labels: LabelMode) -> dict[str, Any]:
        """Labels, groups, domains and splits, by the names that :class:`Dataset` has for them."""
        keys = dict(self._keys)
        label = None if labels == "ignore" else keys.get("label")
        keys.pop("label", None)
        if label is not None:
            self._refuse_two_labels()
        targets = Targets(self._source) if label is not None else None
        known = targets.fast() if targets and not keys else None
        wanted = keys | ({"label": label} if targets and known is None else {})
        values = self._values(wanted)
        found: dict[str, Any] = {}
        if targets is not None:
            y = targets.named(values["label"]) if known is None else known
            found["y"] = class_labels(y, self._place, where=f"labels of {self._name}")
        for role in keys:
            found |= self._column(role, values[role])
        return found

    def _values(self, wanted: dict[str, Any]) -> dict[str, list[Any]]:
        """The columns that are wanted, from every item."""
        values: dict[str, list[Any]] = {role: [] for role in wanted}
        for row in watched(range(len(self._source)), self._name) if wanted else ():
            item = self.item(row)
            for role, key in wanted.items():
                values[role].append(self._cell(item, key, row))
        return values

    def _refuse_two_labels(self) -> None:
        """``(image, row, label)`` is as usual as ``(image, label, row)``."""
        item = self.item(self.first)
        more = [] if isinstance(item, Mapping) or self._content is None else item[2:]
        if any(_may_be_label(entry) for entry in more):
            raise LabelError(
                f"{self._name}[{self.first}]: an item of {len(item)} entries, and the label may be "
                f"{' or '.join(short(entry) for entry in item[1:] if _may_be_label(entry))}",
                hint="let __getitem__ return (content, label) or a dict with text or image and label; "
                "labels='ignore' needs none",
            )

    def _column(self, role: str, values: list[Any]) -> dict[str, Any]:
        where = f"{self._name}, {role}"
        if role == "split":
            return {"splits": role_column(values, where, self._place, sure=self._asked_split is not None)}
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


def _may_be_label(entry: Any) -> bool:
    """A number or a text; a path is none, nor is a dict, an array or a list."""
    entry = plain(entry)
    if isinstance(entry, str):
        return not names_images([entry]) and "/" not in entry
    return isinstance(entry, int | float)
