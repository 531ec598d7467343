"""Hugging Face ``datasets``: a ``Dataset``, or a ``DatasetDict`` of splits. Never imported unless given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from tlengine.data.columns import ROLE_NAMES, Columns
from tlengine.data.dataset import Dataset, LazyContents
from tlengine.data.tables import LabelMode, Table, dataset_from_table
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

    Labels of a ``ClassLabel`` column are its names. The splits of a ``DatasetDict`` become roles.

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
    features = source.features
    return dataset_from_table(
        Table(
            name=_name(source),
            names=list(source.column_names),
            rows=len(source),
            column=cache(lambda name: _column(source, name)),
            place=lambda row: f"{_name(source)}, row {row}",
            classes={n: f.names for n, f in features.items() if type(f).__name__ == "ClassLabel"},
        ),
        columns,
        labels=labels,
        modality=modality,
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
    unknown = [name for name in source if name.lower() not in ROLE_NAMES]
    if unknown:
        raise DatasetError(
            f"split {unknown[0]!r} has no role",
            hint=f"choose the splits among {', '.join(sorted(ROLE_NAMES))}",
        )
    from datasets import concatenate_datasets

    whole = dataset_from_hub(
        concatenate_datasets(list(source.values())), columns, labels=labels, modality=modality
    )
    names = np.repeat(list(source), [len(part) for part in source.values()])
    return replace(whole, splits=np.array([ROLE_NAMES[name.lower()] for name in names]))
