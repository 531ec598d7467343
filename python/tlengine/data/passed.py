"""What a folder holds that is no sample: nothing vanishes without a word."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence

from tlengine.data.filenames import shown
from tlengine.data.layout import Part, is_split
from tlengine.data.walk import Folder
from tlengine.errors import TlengineWarning

__all__ = ["say_what_is_passed_over"]

_SHOWN = 5
"""Names that a warning spells out."""


def say_what_is_passed_over(tree: Folder, parts: Sequence[Part]) -> None:
    """Warn of what lies in ``tree`` and is no sample, one sentence for each kind."""
    folders = list(tree.walk())
    ignored = sum((folder.ignored for folder in folders), Counter[str]())
    aside = [f"{folder.where}{name}/" for folder in folders for name in folder.skipped]
    closed = [f"{folder.where or '.'} ({folder.error})" for folder in folders if folder.error]
    levels = {part.folder.parts[:depth] for part in parts for depth in range(len(part.folder.parts) + 1)}
    empty = [
        folder.where
        for folder in folders
        if folder.parts[:-1] in levels and folder.parts and not (folder.count or folder.loop or folder.error)
    ]
    inner = [folder for part in parts for folder in part.folder.full if _holds_splits(folder)]
    if ignored:
        counts = ", ".join(f"{suffix} {count}" for suffix, count in ignored.most_common(_SHOWN))
        total = sum(ignored.values())
        noun = "1 file is no image and is" if total == 1 else f"{total} files are no images and are"
        _warn(f"{noun} passed over: {counts}")
    if empty:
        _warn(f"no images in {_some(empty)}: not among the classes")
    if closed:
        _warn(f"cannot be read and is passed over: {_some(closed)}")
    if aside:
        _warn(f"passed over as folders of a NAS, for the @: {_some(aside)}; rename them if they are data")
    if inner and len(inner) == sum(len(part.folder.full) for part in parts):
        _warn(
            f"split folders inside the classes, such as {shown(inner[0].full[0].where)}, are not used as a "
            "split; put them above: train/<class>/"
        )


def _holds_splits(folder: Folder) -> bool:
    return len(folder.full) > 1 and not folder.loose and all(is_split(below.name) for below in folder.full)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(shown(name) for name in names[:_SHOWN]) + more


def _warn(message: str) -> None:
    warnings.warn(message, TlengineWarning, stacklevel=5)
