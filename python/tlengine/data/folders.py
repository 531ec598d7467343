"""A folder of images: one folder per class, under ``train/ val/ test/`` or not, or images alone."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tlengine.data.columns import IMAGE_SUFFIXES, Columns
from tlengine.data.dataset import Dataset
from tlengine.data.filenames import as_text, shown
from tlengine.data.labels import class_names
from tlengine.data.layout import Part, read_layout
from tlengine.data.names import is_blank
from tlengine.data.passed import say_what_is_passed_over
from tlengine.data.tables import LabelMode
from tlengine.data.walk import Folder, scan
from tlengine.errors import DatasetError, EmptyInputError, InputError, LabelError, TlengineWarning

__all__ = ["dataset_from_folder", "dataset_from_image"]

_Row = tuple[tuple[str, ...], Part, str | None]
"""An image: its parts from the root, where it lies, and the name of its class."""


def dataset_from_folder(root: Path, columns: Columns | None = None, *, labels: LabelMode = "auto") -> Dataset:
    """The images under ``root``, sorted by path; ids are paths relative to ``root``.

    A class is the folder below ``root`` (below ``root/train`` and so on, below a folder that holds all the
    others); what lies deeper belongs to it. Hidden files and folders, those of NAS and viewers, and documents
    are passed over in silence; a warning names other files that are no images, and empty folders.

    Args:
        root: the folder.
        columns: ``split="none"`` takes folders called ``train`` or ``test`` for classes; a folder has no
            other column.
        labels: see :func:`~tlengine.data.load_dataset`.

    Raises:
        EmptyInputError: no images.
        DatasetError: the folder cannot be read; split folders beside class folders.
        LabelError: some images have a class folder and others none.
        InputError: a column is named.
    """
    splits = _wants_splits(root, columns or Columns())
    tree = scan(root)
    if not tree.count:
        raise _nothing(tree)
    parts = _parts(tree, splits, labels)
    rows = [row for part in parts for row in _rows(part)]
    without = _unlabelled(parts) if labels != "ignore" else []
    rows = [row for row in rows if row[1] not in without]
    y = None if labels == "ignore" else _labels(root, rows, labels)
    say_what_is_passed_over(tree, parts)
    _say_layout(tree, parts, without)
    return Dataset(
        name=shown(root.resolve().name or root),
        modality="image",
        ids=np.array([as_text("/".join(names)) for names, _, _ in rows]),
        contents=[root.joinpath(*names) for names, _, _ in rows],
        y=y,
        splits=None if parts[0].role is None else np.array([str(part.role) for _, part, _ in rows]),
    )


def dataset_from_image(path: Path) -> Dataset:
    """One image file as a dataset of one row, without a label."""
    return Dataset(
        name=shown(path.name), modality="image", ids=np.array([as_text(path.name)]), contents=[path]
    )


def _wants_splits(root: Path, columns: Columns) -> bool:
    for role, column in vars(columns).items():
        if column is not None and (role, column) != ("split", "none"):
            raise InputError(
                f"{shown(root)} is a folder, which has no {role} column {column!r}",
                hint="its folders are the labels and the splits; split='none' takes all of them for labels",
            )
    return columns.split is None


def _nothing(tree: Folder) -> DatasetError | EmptyInputError:
    if tree.error is not None:
        return DatasetError(
            f"{shown(tree.path)}: the folder cannot be read ({tree.error})", hint="check its permissions"
        )
    seen = sum((folder.ignored for folder in tree.walk()), Counter[str]())
    closed = [folder.where for folder in tree.walk() if folder.error]
    aside = [f"{folder.where}{name}/" for folder in tree.walk() for name in folder.skipped]
    hidden = [f"{folder.where}{name}/" for folder in tree.walk() for name in folder.hidden]
    found = [f"{count} {suffix}" for suffix, count in seen.most_common(5)]
    found += [f"{shown(name)} (cannot be read)" for name in closed[:3]]
    found += [f"{shown(name)} (passed over for its @)" for name in aside[:3]]
    if hidden:
        count = f"{len(hidden)} hidden folder{'s' if len(hidden) > 1 else ''}"
        found.append(
            f"{count} that {'are' if len(hidden) > 1 else 'is'} passed over, such as {shown(hidden[0])}"
        )
    return EmptyInputError(
        f"{shown(tree.path)}: no images in this folder{'; it holds ' if found else ''}{', '.join(found)}",
        hint=f"put images in one folder per class; suffixes: {' '.join(sorted(IMAGE_SUFFIXES))}",
    )


def _parts(tree: Folder, splits: bool, labels: LabelMode) -> list[Part]:
    try:
        return read_layout(tree, splits=splits)
    except DatasetError:
        if labels != "ignore":
            raise
        return read_layout(tree, splits=False)


def _rows(part: Part) -> Iterable[_Row]:
    depth = len(part.folder.parts)
    for names in part.top.images():
        yield names, part, names[depth] if len(names) > depth + 1 else None


def _unlabelled(parts: Sequence[Part]) -> list[Part]:
    """Parts without classes, where the training has some: photos to be predicted, not to learn from."""
    known = {name for part in parts if part.role == "train" for name in part.classes}
    return [part for part in parts if part.role != "train" and len(known) > 1 and not part.classes]


def _labels(root: Path, rows: Sequence[_Row], labels: LabelMode) -> npt.NDArray[np.str_] | None:
    bare = [names for names, _, name in rows if name is None]
    if len(bare) == len(rows) and labels != "require":
        return None
    if bare:
        raise LabelError(
            f"{shown(root)}: {len(bare)} of {len(rows)} images have no class folder, "
            f"such as {shown('/'.join(bare[0]))}",
            hint="put each image in the folder of its class, or out of this folder; in Python, "
            "labels='ignore' takes images without classes",
        )
    unseen = next((parts for parts, _, name in rows if is_blank(str(name))), None)
    if unseen is not None:
        place = shown("/".join(unseen))
        raise LabelError(
            f"{shown(root)}: nothing can be seen in the name of the class folder of {place}",
            hint="give the folder a name",
        )
    names = class_names([as_text(str(name)) for _, _, name in rows], shown(root))
    return np.array(names)


def _say_layout(tree: Folder, parts: Sequence[Part], without: Sequence[Part]) -> None:
    for part in parts:
        where = shown(part.folder.where)
        if part in without:
            images = "1 image is" if part.top.count == 1 else f"{part.top.count} images are"
            _warn(f"{where} has no class folders: its {images} left out; predict takes unlabelled images")
        elif part.classes and part.folder is not (tree if part.role is None else part.top):
            _warn(f"the classes are the {len(part.classes)} folders in {where}")


def _warn(message: str) -> None:
    warnings.warn(message, TlengineWarning, stacklevel=5)
