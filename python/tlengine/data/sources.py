"""One function for every source of data."""

from __future__ import annotations

from dataclasses import replace
from os import PathLike
from typing import Any, Literal

from tlengine.data.columns import IMAGE_SUFFIXES, Columns
from tlengine.data.dataset import Dataset
from tlengine.data.files import TABLE_SUFFIXES, read_table, table_suffix
from tlengine.data.folders import dataset_from_folder, dataset_from_image
from tlengine.data.npz import dataset_from_npz
from tlengine.data.objects import dataset_from_object
from tlengine.data.tables import dataset_from_table
from tlengine.errors import DatasetError, InputError
from tlengine.settings import expand_home

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
            - a frame of pandas, polars or Arrow, a dict of columns, a list of dicts or of pairs
              ``(sample, label)``;
            - ``(X, y)`` or ``X``: numbers (n, d), uint8 images (n, h, w, 3), or a list of str, paths or
              images; also tensors, on any device; ``{"X": X, "y": y, "groups": g}`` names more columns;
            - a torch map-style ``Dataset``; a ``datasets.Dataset`` or ``DatasetDict``.
        text: column of the texts. This and the next five are guessed by usual names when None; named for a
            source without columns, they are refused.
        image: column of the image paths (``image``, ``path``, ``filename``, ...).
        label: column of the classes (``label``, ``class``, ``category``, ``target``, ``y``).
        group: column whose equal values stay on one side of a split (``group``, ``patient_id``, ...).
        domain: column that says where a sample comes from (``domain``, ``site``, ...).
        split: column of your own split; train, val (valid, validation, dev) and test become the roles
            train, select and test. For a folder, ``"none"`` takes ``train/`` and ``test/`` for classes.
        modality: settles a table with both texts and images, and strings that are paths.
        labels: ``"auto"`` takes labels where there are any; ``"require"`` refuses data without;
            ``"ignore"`` leaves them out, whatever they are.
        name: for people; default: from the source.

    Raises:
        DatasetError: what is there cannot be read as a dataset; the message has the place.
        EmptyInputError: nothing is there.
        LabelError: labels that are missing, mixed, or continuous (regression).
        ShapeMismatchError, DtypeError, NonFiniteError: arrays that do not fit.
        InputError: an option that the source cannot honour.
        UnsafeArtifactError: a pickle under the name of a ``.npz``.
        MissingPackageError: Parquet without pyarrow.

    >>> ds = load_dataset((["good film", "dull"], ["pos", "neg"]))
    >>> ds.modality, ds.y.tolist()
    ('text', ['pos', 'neg'])
    """
    if labels not in ("auto", "require", "ignore"):
        raise InputError(f"labels={labels!r}", hint="use 'auto', 'require' or 'ignore'")
    if modality not in (None, "image", "text"):
        raise InputError(f"modality={modality!r}", hint="use 'image' or 'text'")
    columns = Columns(text=text, image=image, label=label, group=group, domain=domain, split=split)
    if isinstance(source, str | PathLike):
        dataset = _from_path(source, columns, modality, labels)
    else:
        dataset = dataset_from_object(source, columns, modality=modality, labels=labels)
    if modality is not None and dataset.modality != modality:
        raise InputError(
            f"{dataset.name} holds {dataset.modality}, modality={modality!r} was asked for",
            hint="leave modality out",
        )
    if labels == "require":
        dataset.labels()
    return dataset if name is None else replace(dataset, name=name)


def _from_path(source: str | PathLike[Any], columns: Columns, modality: str | None, labels: str) -> Dataset:
    if "://" in str(source):
        raise DatasetError(
            f"{source}: a URL, and nothing is downloaded here", hint="fetch it, and give the path"
        )
    path = expand_home(source)
    if not path.exists():
        raise DatasetError(f"{path}: no such file or folder", hint="check the path")
    if not path.is_dir() and table_suffix(path) in TABLE_SUFFIXES:
        return dataset_from_table(read_table(path), columns, modality=modality, labels=labels)
    if path.is_dir():
        return dataset_from_folder(path, columns, labels=labels)
    columns.refuse(str(path), "write a table with a column of paths and this one")
    if path.suffix.lower() == ".npz":
        return dataset_from_npz(path, labels=labels)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return dataset_from_image(path)
    way = _OTHER_SUFFIXES.get(path.suffix.lower())
    known = f"a folder of images, or a file ending in {' '.join([*TABLE_SUFFIXES, '.npz'])}"
    raise DatasetError(
        f"{path}: {path.suffix or 'no suffix'} is no format that is known",
        hint=f"{way}; what is read: {known}" if way else known,
    )


_OTHER_SUFFIXES = {
    **dict.fromkeys((".xlsx", ".xls", ".ods"), "save the sheet as CSV UTF-8"),
    ".json": "write one JSON object per line, as .jsonl (pandas: orient='records', lines=True)",
    **dict.fromkeys((".txt", ".tab"), "rename a table to .csv or .tsv"),
    **dict.fromkeys((".feather", ".arrow", ".orc", ".pkl", ".pickle"), "read it, and pass the DataFrame"),
    **dict.fromkeys((".npy", ".pt", ".pth", ".mat", ".h5"), "read it, and pass (X, y)"),
}
"""What to do about files that people have."""
