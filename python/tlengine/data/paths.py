"""Paths of images as tables and lists hold them: of another system, as URLs, or taken for texts."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from tlengine.data.columns import IMAGE_SUFFIXES
from tlengine.data.names import is_blank
from tlengine.data.scalars import short
from tlengine.errors import DatasetError

__all__ = ["as_image", "image_path", "names_files", "names_images"]

_URL = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]+)://")
_WINDOWS = re.compile(r"[a-zA-Z]:[\\/]|\\\\")
_LOOKED_AT = 50
_LONGEST = 4_096
"""Characters of a path on Linux."""


def as_image(value: Any, folder: Path | None, place: str) -> Any:
    """An image of a table as a path, bytes or ``PIL.Image``.

    Args:
        value: a path; bytes; a picture; or a mapping with ``bytes`` or ``path``, as Hub data have it.
        folder: what relative paths start from.
        place: where it stands, for messages.

    Raises:
        DatasetError: nothing of these; a URL; a path of a Windows drive.
    """
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, str):
        return image_path(value, folder, place)
    if isinstance(value, Path | bytes) or hasattr(value, "convert"):
        return value
    raise DatasetError(f"{place}: {short(value)} is no image path", hint="fill it in or drop the row")


def image_path(text: str, folder: Path | None, place: str) -> Path:
    r"""The path that ``text`` means on this machine: ``img\cat\1.jpg`` as ``img/cat/1.jpg``.

    Raises:
        DatasetError: blank; a URL; a path of a Windows drive; a NUL.

    >>> image_path("img\\cat\\1.jpg", None, "t.csv, line 2").as_posix()
    'img/cat/1.jpg'
    """
    if is_blank(text) or "\0" in text or len(text) > _LONGEST:
        raise DatasetError(f"{place}: {short(text)} is no image path", hint="fill it in or drop the row")
    if text.lower().startswith("file:"):
        text = re.sub(r"^/(?=[a-zA-Z]:)", "", unquote(urlsplit(text).path))
    elif (scheme := _URL.match(text.strip())) or text.startswith("data:"):
        kind = f"{scheme[1]} URL" if scheme else "data URL"
        raise DatasetError(
            f"{place}: {short(text)} is a {kind}, and nothing is downloaded here",
            hint="fetch the images first, and write their paths",
        )
    path, windows = _from(folder, text), _WINDOWS.match(text.strip())
    if ("\\" not in text and text == text.strip() and not windows) or os.path.exists(path):
        return path
    if windows:
        raise DatasetError(
            f"{place}: {short(text)} is a path of a Windows machine",
            hint="write paths relative to the table, such as images/1.jpg",
        )
    return _from(folder, text.strip().replace("\\", "/"))


def _from(folder: Path | None, text: str) -> Path:
    path = Path(os.path.expanduser(text))
    return path if folder is None else folder / path


def names_images(values: Sequence[Any]) -> bool:
    """Whether strings look like paths of images: half of the first ones end as such files do.

    >>> names_images(["a.jpg", "b/c.PNG"]), names_images(["see a.jpg for it.", "no"])
    (True, False)
    """
    texts = [value.strip() for value in values[:_LOOKED_AT] if isinstance(value, str) and not is_blank(value)]
    found = sum(_suffix(text) in IMAGE_SUFFIXES for text in texts)
    return bool(texts) and 2 * found >= len(texts)


def names_files(values: Sequence[Any]) -> bool:
    """Whether the first strings are names of files that exist."""
    texts = [value for value in values[:3] if isinstance(value, str)]
    return bool(texts) and all(_is_file(text) for text in texts)


def _is_file(text: str) -> bool:
    return 0 < len(text) <= _LONGEST and os.path.isfile(text)


def _suffix(text: str) -> str:
    return "" if len(text) > _LONGEST else Path(text.replace("\\", "/")).suffix.lower()
