"""A folder of images: one folder per class, under ``train/ val/ test/`` or not, or images alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tlengine.data.columns import IMAGE_SUFFIXES, ROLE_NAMES
from tlengine.data.dataset import Dataset
from tlengine.data.tables import LabelMode
from tlengine.errors import DatasetError, EmptyInputError, LabelError

__all__ = ["dataset_from_folder", "dataset_from_image"]


def dataset_from_folder(root: Path, *, labels: LabelMode = "auto") -> Dataset:
    """The images under ``root``, sorted by path; ids are paths relative to ``root``.

    A class is the folder below ``root`` (below ``root/train`` and so on); what lies deeper belongs to
    it. Hidden files and folders, and files that are no images by their suffix, are not samples.

    Raises:
        EmptyInputError: no images.
        DatasetError: split folders beside class folders, or images beside class folders.
        LabelError: some images have a class folder and others none.
    """
    found = [path.relative_to(root) for path in _images(root)]
    if not found:
        raise EmptyInputError(
            f"{root}: no images in this folder",
            hint=f"put images in one folder per class; suffixes: {' '.join(sorted(IMAGE_SUFFIXES))}",
        )
    split_layout = _has_splits(root, found)
    depth = 1 if split_layout else 0
    classes = [path.parts[depth] if len(path.parts) > depth + 1 else None for path in found]
    return Dataset(
        name=root.resolve().name or str(root),
        modality="image",
        ids=np.array([path.as_posix() for path in found]),
        contents=[root / path for path in found],
        y=None if labels == "ignore" else _labels(root, found, classes, labels),
        splits=np.array([ROLE_NAMES[path.parts[0].lower()] for path in found]) if split_layout else None,
    )


def dataset_from_image(path: Path) -> Dataset:
    """One image file as a dataset of one row, without a label."""
    return Dataset(name=path.name, modality="image", ids=np.array([path.name]), contents=[path])


def _images(folder: Path, depth: int = 0) -> Iterator[Path]:
    """Image files in sorted order; links to folders are followed at the top two levels only."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.name.startswith((".", "__MACOSX")):
            continue
        if entry.is_dir(follow_symlinks=depth < 2):
            yield from _images(Path(entry.path), depth + 1)
        elif Path(entry.name).suffix.lower() in IMAGE_SUFFIXES and not entry.is_dir():
            yield Path(entry.path)


def _has_splits(root: Path, found: list[Path]) -> bool:
    tops = {path.parts[0] for path in found if len(path.parts) > 1}
    splits = {top for top in tops if top.lower() in ROLE_NAMES}
    others = sorted(tops - splits) + sorted(str(path) for path in found if len(path.parts) == 1)
    if "train" in {ROLE_NAMES[top.lower()] for top in splits} and others:
        raise DatasetError(
            f"{root}: {others[0]!r} stands beside the split folders {', '.join(sorted(splits))}",
            hint="move it into one of them, or out of the folder",
        )
    return bool(splits) and not others


def _labels(
    root: Path, found: list[Path], classes: list[str | None], labels: LabelMode
) -> np.ndarray[tuple[int], np.dtype[np.str_]] | None:
    bare = [path for path, name in zip(found, classes, strict=True) if name is None]
    if len(bare) == len(found) and labels != "require":
        return None
    if bare:
        raise LabelError(
            f"{root}: {len(bare)} of {len(found)} images have no class folder, such as {bare[0]}",
            hint="put each image in the folder of its class",
        )
    return np.array(classes)
