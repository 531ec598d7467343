"""Hugging Face ``datasets``: a ``Dataset``, or a ``DatasetDict`` of splits. Never imported unless given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from tlengine.data.columns import ROLE_NAMES, Columns
from tlengine.data.dataset import Dataset, LazyContents
from tlengine.data.mapstyle import dataset_from_map_style
from tlengine.data.names import canonical
from tlengine.data.tables import LabelMode, SourceTable, dataset_from_table
from tlengine.errors import DatasetError

__all__ = ["dataset_from_hub", "is_hub_dataset"]


def is_hub_dataset(source: Any) -> bool:
    """Whether ``source`` comes from the package ``datasets``.

    >>> is_hub_dataset([1, 2])
    False
    """
    return any(base.__module__.partition(".")[0] == "datasets" for base in type(source).__mro__)


def dataset_from_hub(
    source: Any, columns: Columns, *, labels: LabelMode = "auto", modality: str | None = None
) -> Dataset:
    """The rows of a ``datasets.Dataset``; images stay encoded until they are needed.

    Labels of a ``ClassLabel`` column are its names. A format (``set_format``) changes nothing; items that
    ``set_transform`` makes are taken as they come. The splits of a ``DatasetDict`` become roles; one in
    which every label is -1, as the Hub writes "unknown", is left out with a warning.

    Raises:
        DatasetError: an iterable dataset, a split of unknown name, a missing column.
        LabelError: see :func:`~tlengine.data.labels.class_labels`.
    """
    if isinstance(source, dict):
        return _joined(source, columns, labels, modality)
    if not hasattr(source, "__len__"):
        raise DatasetError(
            f"{type(source).__name__}: a stream has no rows to come back to",
            hint="load it without streaming=True",
        )
    if source.format["type"] == "custom":
        return dataset_from_map_style(source, columns, labels=labels, modality=modality)
    name = _name(source)
    table = _table(source, lambda row: f"{name}, row {row}")
    return dataset_from_table(table, columns, labels=labels, modality=modality)


def _table(source: Any, place: Callable[[int], str]) -> SourceTable:
    stored = source.with_format(None)
    return SourceTable(
        name=_name(source),
        names=list(stored.column_names),
        rows=len(stored),
        column=cache(lambda name: _column(stored, name)),
        place=place,
        classes={n: f.names for n, f in stored.features.items() if type(f).__name__ == "ClassLabel"},
    )


def _name(source: Any) -> str:
    return str(getattr(source.info, "dataset_name", None) or "datasets.Dataset")


def _column(source: Any, name: str) -> Sequence[Any]:
    if type(source.features[name]).__name__ != "Image":
        return list(source[name])
    from datasets import Image

    encoded = source.select_columns([name]).cast_column(name, Image(decode=False))
    return LazyContents(len(source), partial(_image_file, encoded, name))


def _image_file(encoded: Any, name: str, row: int) -> Path | bytes:
    """The bytes of an image, or where they are; nothing where there is none."""
    value: Mapping[str, Any] = encoded[row][name] or {}
    if value.get("bytes") is None and value.get("path"):
        return Path(value["path"])
    return value.get("bytes") or b""


def _joined(source: dict[str, Any], columns: Columns, labels: LabelMode, modality: str | None) -> Dataset:
    """The splits one after the other, with roles; ids carry the split's name."""
    if columns.split is not None:
        raise DatasetError(
            f"split={columns.split!r} beside the splits {', '.join(map(str, source))} of a DatasetDict",
            hint="leave split out, or pass one of its datasets",
        )
    roles = {name: ROLE_NAMES.get(canonical(str(name)).casefold()) for name in source}
    if unknown := [name for name, role in roles.items() if role is None]:
        raise DatasetError(
            f"split {unknown[0]!r} has no role",
            hint=f"choose the splits among {', '.join(sorted(ROLE_NAMES))}",
        )
    if any(part.format["type"] == "custom" for part in source.values() if hasattr(part, "format")):
        raise DatasetError(
            "a transform (set_transform) on a split of a DatasetDict",
            hint="apply it with map(), or pass one of the datasets",
        )
    sizes = [len(part) if hasattr(part, "__len__") else 0 for part in source.values()]
    names = np.repeat(list(source), sizes)
    starts = np.repeat(np.cumsum(sizes) - sizes, sizes)

    def place(row: int) -> str:
        return f"{names[row]}[{row - starts[row]}]"

    whole = _concatenated(source)
    if not hasattr(whole, "__len__"):
        return dataset_from_hub(whole, columns)
    ids = np.array([place(row) for row in range(len(names))])
    dataset = dataset_from_table(
        _table(whole, place),
        columns,
        labels=labels,
        modality=modality,
        splits=np.array([roles[name] for name in names]),
        ids=ids,
    )
    return replace(dataset, name=_name(whole))


def _concatenated(source: Mapping[str, Any]) -> Any:
    """One dataset; refused where a split has other columns or other names of classes."""
    from datasets import concatenate_datasets

    parts = {name: part.with_format(None) for name, part in source.items()}
    first_name, first = next(iter(parts.items()))
    for name, part in parts.items():
        for column, feature in (first.features or {}).items():
            other = (part.features or {}).get(column)
            if other is None:
                problem = f"column {column!r} of {first_name!r} is missing"
            elif getattr(other, "names", None) != getattr(feature, "names", None):
                problem = f"column {column!r} has other names of classes than in {first_name!r}"
            else:
                continue
            raise DatasetError(
                f"split {name!r}: {problem}",
                hint="bring the splits to one set of columns, or pass one of them",
            )
    try:
        return concatenate_datasets(list(parts.values()))
    except ValueError as error:
        raise DatasetError(
            f"the splits do not fit together: {error}", hint="bring them to one set of columns"
        ) from None
