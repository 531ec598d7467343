"""What the folders of a tree stand for: splits, classes, or a box around them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tlengine.data.columns import ROLE_NAMES
from tlengine.data.filenames import shown
from tlengine.data.names import canonical
from tlengine.data.walk import Folder
from tlengine.errors import DatasetError

__all__ = ["Part", "is_split", "read_layout"]

_FILLERS = frozenset({"set", "split", "data", "dataset", "images", "image", "imgs", "img", "folder", "seg"})
"""Words that say nothing beside a split's name: ``train_set``, ``val2017``, ``images-test``."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A folder whose sub-folders are classes.

    Attributes:
        role: ``"train"``, ``"select"`` or ``"test"`` of the user's own split, or None without one.
        top: the split's folder, or the root.
        folder: where the classes are: ``top``, or deeper if nothing but boxes is between.
    """

    role: str | None
    top: Folder
    folder: Folder

    @property
    def classes(self) -> set[str]:
        """The names of the folders with images, as labels."""
        return {canonical(folder.name) for folder in self.folder.full}


def read_layout(root: Folder, *, splits: bool = True) -> list[Part]:
    """The parts of ``root``: one for each split folder, or one alone.

    A folder called ``train`` is a split where all folders beside it are splits too. Beside others it is a
    class if images lie in it directly; with sub-folders it could be either, and is refused.

    Args:
        root: a scanned tree.
        splits: False takes every folder for a class, whatever its name.

    Raises:
        DatasetError: split folders beside other folders or images.
    """
    base = _unboxed(root)
    if not splits or not _are_splits(base):
        if splits:
            _refuse_mixture(base)
        return [Part(role=None, top=base, folder=base)]
    trained = [_part(folder, _unboxed(_unwrapped(folder), splits=False)) for folder in base.full]
    known = {name for part in trained if part.role == "train" for name in part.classes}
    if len(known) < 2:
        return trained
    return [part if part.role == "train" else _part(part.top, _judged(part.top, known)) for part in trained]


def _part(top: Folder, folder: Folder) -> Part:
    return Part(role=_role(top.name), top=top, folder=folder)


def is_split(name: str) -> bool:
    """Whether a folder's name is that of a split."""
    return _role(name) is not None


def _role(name: str) -> str | None:
    """The role a folder's name stands for, capitals, numbers and fillers aside.

    >>> [_role(name) for name in ("Train", "TRAINING SET", "val2017", "hold-out", "training_shoes")]
    ['train', 'train', 'select', 'test', None]
    """
    joined = "".join(word for word in _words(name) if word not in _FILLERS)
    shortened = (joined.removesuffix(filler) for filler in ("set", "data", "images"))
    return next((ROLE_NAMES[word] for word in (joined, *shortened) if word in ROLE_NAMES), None)


def _unboxed(folder: Folder, *, splits: bool = True) -> Folder:
    """Down through folders that hold one folder alone, to one that holds several; else ``folder`` itself."""
    inner = folder
    while len(inner.full) == 1 and not inner.loose:
        if splits and _role(inner.full[0].name):
            break
        inner = inner.full[0]
    several = len(inner.full) > 1 or (splits and inner.full and _role(inner.full[0].name))
    return inner if several and not inner.loose else folder


def _are_splits(base: Folder) -> bool:
    """Whether all that holds images is the folder of a split."""
    if base.loose or not base.full:
        return False
    roles = [_role(folder.name) for folder in base.full]
    exact = all(folder.name.strip().lower() in ROLE_NAMES for folder in base.full)
    return None not in roles and (exact or len(set(roles)) > 1 or any(folder.full for folder in base.full))


def _refuse_mixture(base: Folder) -> None:
    """Refuse a training folder with classes, or training and test folders, beside something else."""
    splits = [folder for folder in base.full if _role(folder.name)]
    roles = {_role(folder.name) for folder in splits}
    if "train" not in roles or (len(roles) == 1 and not any(folder.full for folder in splits)):
        return
    others = [folder.name for folder in base.full if folder not in splits]
    others += [entry for entry in base.entries if isinstance(entry, str)]
    raise DatasetError(
        f"{shown(base.path)}: {shown(others[0])!r} stands beside the split folders {_listed(splits)}",
        hint="move it into one of them, or out of the folder; --split none if all are classes",
    )


def _unwrapped(split: Folder) -> Folder:
    """Down through a sole ``train/train/`` or ``train/images/``, whose names are no classes."""
    inner = split
    while len(inner.full) == 1 and not inner.loose and _says_nothing(inner.full[0].name):
        inner = inner.full[0]
    return inner


def _says_nothing(name: str) -> bool:
    return is_split(name) or (bool(_words(name)) and _FILLERS.issuperset(_words(name)))


def _words(name: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", name.lower())


def _judged(top: Folder, known: set[str]) -> Folder:
    """Where the classes of a part are that is not trained on: a sole folder that is no class is a box."""
    folder = top
    while len(folder.full) == 1 and not folder.loose and canonical(folder.full[0].name) not in known:
        folder = folder.full[0]
    return folder


def _listed(folders: Sequence[Folder]) -> str:
    return ", ".join(sorted(shown(folder.name) for folder in folders))
