"""One function for every source of data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tlengine.data.arrays import dataset_from_arrays, dataset_from_npz
from tlengine.data.columns import IMAGE_SUFFIXES, Columns
from tlengine.data.dataset import Dataset
from tlengine.data.files import TABLE_SUFFIXES, read_table, table_suffix
from tlengine.data.folders import dataset_from_folder, dataset_from_image
from tlengine.data.hub import dataset_from_hub, is_hub_dataset
from tlengine.data.mapstyle import dataset_from_map_style
from tlengine.data.tables import dataset_from_table
from tlengine.errors import DatasetError, InputError
from tlengine.types import Features

__all__ = ["load_dataset"]


def load_dataset(
    source: Any,
    *,
    text: str | None = None,
    image: str | None = None,
    label: str | None = None,
    group: str | None = None,
    domain: str | None = None,
    split: str | None = None,
    modality: Literal["image", "text"] | None = None,
    labels: Literal["auto", "require", "ignore"] = "auto",
    name: str | None = None,
) -> Dataset:
    """Samples from a folder, a table, arrays or a dataset object.

    Args:
        source: one of

            - a folder of images: one folder per class, with or without ``train/ val/ test/`` above, or
              images alone; or one image file;
            - a table ``.csv .tsv .jsonl`` (also ``.gz``) or ``.parquet`` with a column of texts or of image
              paths, which start from the table's folder;
            - ``.npz`` with ``X`` and optionally ``y ids groups domains splits``;
            - ``(X, y)`` or ``X``: numbers (n, d), uint8 images (n, h, w, 3), or a list of str, paths or
              images;
            - a torch map-style ``Dataset``; a ``datasets.Dataset`` or ``DatasetDict``.
        text: column of the texts. This and the next five are guessed by usual names when None.
        image: column of the image paths (``image``, ``path``, ``filename``, ...).
        label: column of the classes (``label``, ``class``, ``category``, ``target``, ``y``).
        group: column whose equal values stay on one side of a split (``group``, ``patient_id``, ...).
        domain: column that says where a sample comes from (``domain``, ``site``, ...).
        split: column of your own split; train, val (valid, validation, dev) and test become the roles
            train, select and test.
        modality: settles a table with both texts and images.
        labels: ``"auto"`` takes labels where there are any; ``"require"`` refuses data without;
            ``"ignore"`` leaves them out, whatever they are.
        name: for people; default: from the source.

    Raises:
        DatasetError: what is there cannot be read as a dataset; the message has the place.
        EmptyInputError: nothing is there.
        LabelError: labels that are missing, mixed, or continuous (regression).
        ShapeMismatchError, DtypeError, NonFiniteError: arrays that do not fit.
        UnsafeArtifactError: a pickle under the name of a ``.npz``.
        MissingPackageError: Parquet without pyarrow.

    >>> ds = load_dataset((["good film", "dull"], ["pos", "neg"]))
    >>> ds.modality, ds.y.tolist()
    ('text', ['pos', 'neg'])
    """
    if labels not in ("auto", "require", "ignore"):
        raise InputError(f"labels={labels!r}", hint="use 'auto', 'require' or 'ignore'")
    columns = Columns(text=text, image=image, label=label, group=group, domain=domain, split=split)
    if isinstance(source, str | PathLike):
        dataset = _from_path(Path(source).expanduser(), columns, modality, labels)
    else:
        dataset = _from_object(source, columns, modality, labels)
    if labels == "require":
        dataset.labels()
    return dataset if name is None else replace(dataset, name=name)


def _from_path(path: Path, columns: Columns, modality: str | None, labels: str) -> Dataset:
    if not path.exists():
        raise DatasetError(f"{path}: no such file or folder", hint="check the path")
    if path.is_dir():
        return dataset_from_folder(path, labels=labels)
    if table_suffix(path) in TABLE_SUFFIXES:
        return dataset_from_table(read_table(path), columns, modality=modality, labels=labels)
    if path.suffix.lower() == ".npz":
        return dataset_from_npz(path, labels=labels)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return dataset_from_image(path)
    raise DatasetError(
        f"{path}: {path.suffix or 'no suffix'} is no format that is known",
        hint=f"a folder of images, or a file ending in {' '.join([*TABLE_SUFFIXES, '.npz'])}",
    )


def _from_object(source: Any, columns: Columns, modality: str | None, labels: str) -> Dataset:
    if isinstance(source, Dataset):
        return source
    if isinstance(source, Features):
        return _from_features(source)
    if is_hub_dataset(source):
        return dataset_from_hub(source, columns, labels=labels, modality=modality)
    if isinstance(source, tuple):
        if len(source) != 2:
            raise DatasetError(f"a tuple of {len(source)} is no dataset", hint="pass (X, y)")
        return dataset_from_arrays(*source, labels=labels)
    if isinstance(source, list | np.ndarray) or hasattr(source, "to_numpy"):
        return dataset_from_arrays(source, labels=labels)
    if hasattr(source, "__getitem__") and hasattr(source, "__len__") and not isinstance(source, Mapping):
        return dataset_from_map_style(source, columns, labels=labels, modality=modality)
    raise DatasetError(
        f"a {type(source).__name__} is no dataset",
        hint="pass a path, (X, y), a torch map-style Dataset or a datasets.Dataset",
    )


def _from_features(source: Features) -> Dataset:
    told = {"backbone": source.backbone, "fingerprint": source.fingerprint}
    return Dataset(
        name=source.dataset,
        modality="features",
        ids=source.ids,
        X=source.X,
        y=source.y,
        groups=source.groups,
        domains=source.domains,
        splits=source.splits,
        metadata={name: value for name, value in told.items() if value is not None},
    )
