"""Objects in memory become datasets, each known by what it does; no package is imported for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from tlengine.data.arrays import COLUMNS, dataset_from_arrays, label_column, refuse_other_order
from tlengine.data.columns import Columns
from tlengine.data.dataset import Dataset
from tlengine.data.frames import feature_columns, frame_table, is_frame, records_table
from tlengine.data.hub import dataset_from_hub, is_hub_dataset
from tlengine.data.mapstyle import dataset_from_map_style
from tlengine.data.scalars import listed
from tlengine.data.tables import LabelMode, dataset_from_table, split_roles
from tlengine.data.tensors import is_tensor
from tlengine.errors import DatasetError, InputError
from tlengine.types import Features

__all__ = ["dataset_from_object"]

_NO_COLUMNS = "pass {'X': X, 'y': y, 'groups': g, 'domains': d, 'splits': s}, or a table"


def dataset_from_object(
    source: Any, columns: Columns, *, modality: str | None = None, labels: LabelMode = "auto"
) -> Dataset:
    """The samples of an object; see :func:`~tlengine.data.load_dataset` for what it may be.

    Raises:
        DatasetError: an object that is no dataset; the hint says what is.
        InputError: columns named for an object that has none.
    """
    if isinstance(source, Features):
        source = Dataset.from_features(source)
    if isinstance(source, Dataset):
        columns.refuse(source.name, "it is loaded already: name the columns when loading it")
        return replace(source, y=None) if labels == "ignore" else source
    if is_hub_dataset(source):
        return dataset_from_hub(source, columns, labels=labels, modality=modality)
    if is_frame(source):
        return _from_frame(source, None, columns, modality, labels)
    if isinstance(source, Mapping):
        return _from_mapping(source, columns, modality, labels)
    if isinstance(source, tuple):
        return _from_tuple(source, columns, modality, labels)
    if isinstance(source, list):
        return _from_list(source, columns, modality, labels)
    if _is_array(source):
        return _from_arrays(source, None, columns, modality, labels)
    if hasattr(source, "__getitem__") and hasattr(source, "__len__") and not isinstance(source, str | bytes):
        return dataset_from_map_style(source, columns, labels=labels, modality=modality)
    raise DatasetError(f"a {type(source).__name__} is no dataset", hint=_way(source))


def _way(source: Any) -> str:
    if hasattr(source, "collect") and hasattr(source, "lazy"):
        return "pass source.collect()"
    if hasattr(source, "batch_size") and hasattr(source, "dataset"):
        return "pass loader.dataset: batches are made here"
    if isinstance(source, Iterator) or hasattr(source, "__iter__"):
        return "it gives its items once or in no order: pass list(source)"
    return "pass a path, (X, y), a DataFrame, a torch map-style Dataset or a datasets.Dataset"


def _is_array(source: Any) -> bool:
    known = ("to_numpy", "to_pylist", "__array__", "__array_interface__", "tocsr", "__cuda_array_interface__")
    return isinstance(source, np.ndarray) or is_tensor(source) or any(hasattr(source, n) for n in known)


def _pairs(source: list[Any]) -> tuple[list[Any], list[Any]] | None:
    """``[(sample, label), ...]`` as two lists; rows of numbers are no pairs."""
    if not source or not all(isinstance(item, list | tuple) and len(item) == 2 for item in source):
        return None
    if all(isinstance(value, int | float | np.number) for value in source[0]):
        return None
    return [item[0] for item in source], [item[1] for item in source]


def _from_tuple(
    source: tuple[Any, ...], columns: Columns, modality: str | None, labels: LabelMode
) -> Dataset:
    if len(source) != 2:
        raise DatasetError(f"a tuple of {len(source)} is no dataset", hint="pass (X, y)")
    X, y = source
    if is_frame(X):
        return _from_frame(X, y, columns, modality, labels)
    return _from_arrays(X, y, columns, modality, labels)


def _from_list(source: list[Any], columns: Columns, modality: str | None, labels: LabelMode) -> Dataset:
    if source and all(isinstance(item, Mapping) for item in source):
        return dataset_from_table(records_table(source), columns, modality=modality, labels=labels)
    X, y = _pairs(source) or (source, None)
    return _from_arrays(X, y, columns, modality, labels)


def _from_arrays(X: Any, y: Any, columns: Columns, modality: str | None, labels: LabelMode) -> Dataset:
    columns.refuse("(X, y)", _NO_COLUMNS)
    return dataset_from_arrays(X, y, labels=labels, modality=modality)


def _from_mapping(
    source: Mapping[Any, Any], columns: Columns, modality: str | None, labels: LabelMode
) -> Dataset:
    """``{"X": X, "y": y, ...}``, a dict of columns or of splits, or what scikit-learn's loaders give."""
    if source and all(map(is_hub_dataset, source.values())):
        return dataset_from_hub(source, columns, labels=labels, modality=modality)
    if type(source).__module__.startswith("sklearn.") and "data" in source:
        return _from_tuple((source["data"], source.get("target")), columns, modality, labels)
    if "X" not in source:
        return dataset_from_table(frame_table(source, "dict"), columns, modality=modality, labels=labels)
    unknown = [key for key in source if key not in ("X", "y", *COLUMNS)]
    if unknown:
        raise InputError(f"a dict with X and {listed(unknown)}", hint=f"keys are: X, y, {', '.join(COLUMNS)}")
    columns.refuse("a dict with X", "its keys are the columns")
    return dataset_from_arrays(**source, labels=labels, modality=modality)


def _from_frame(frame: Any, y: Any, columns: Columns, modality: str | None, labels: LabelMode) -> Dataset:
    """A frame of numbers beside labels, groups and so on is a table of features; else it is a table."""
    if y is not None and columns.label is not None:
        raise InputError(f"label={columns.label!r} beside y", hint="leave one of them out")
    refuse_other_order(frame, y, type(frame).__name__)
    texts = not frame.shape[0] or columns.text or columns.image
    features = None if texts else feature_columns(frame, columns, labelled=y is not None)
    if features is None:
        table = frame_table(frame)
        if y is None:
            return dataset_from_table(table, columns, modality=modality, labels=labels)
        dataset = dataset_from_table(table, columns, modality=modality, labels="ignore")
        return (
            dataset if labels == "ignore" else replace(dataset, y=label_column(y, len(dataset), table.name))
        )
    X, table, chosen = features
    splits = split_roles(table, chosen, columns.split)
    apart = {role: table.column(name) for role, name in chosen.items()}
    return dataset_from_arrays(
        X,
        apart.get("label") if y is None else y,
        name=table.name,
        labels=labels,
        ids=apart.get("id"),
        groups=apart.get("group"),
        domains=apart.get("domain"),
        splits=splits,
    )
