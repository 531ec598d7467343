"""The size of pictures: which backbones of a run are used at another one than their own."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tlengine.errors import InputError, TlengineWarning

__all__ = ["sized", "told_size"]


def sized(
    backbones: Sequence[Any], image_size: int | None, modality: str, own: Collection[str] = ()
) -> list[tuple[Any, int | None]]:
    """Backbones for pictures of a size: each with the size that its name is to be loaded for, or None.

    Args:
        backbones: names, or backbones, which come back at that size.
        image_size: side in pixels; None leaves all as they are.
        modality: of the data.
        own: names of controls, which keep their size.

    Raises:
        InputError: data that are no pictures; no backbone takes another size; a size that is not allowed.
    """
    if image_size is None:
        return [(backbone, None) for backbone in backbones]
    if modality != "image":
        raise InputError(f"an image size for {modality} data", hint="leave it out")
    from tlengine.features import Backbone, takes_size

    found: list[tuple[Any, int | None]] = []
    fixed = []
    for backbone in backbones:
        if backbone in own or not takes_size(backbone):
            fixed.append(str(getattr(backbone, "name", backbone)))
            found.append((backbone, None))
        elif isinstance(backbone, Backbone):
            found.append((backbone.at_size(image_size), None))
        else:
            found.append((backbone, image_size))
    if len(fixed) == len(found):
        raise InputError(
            f"the size of pictures for {', '.join(fixed)} cannot be set",
            hint="leave the image size out, or name a backbone that takes pictures of any size",
        )
    if fixed:
        warnings.warn(f"{', '.join(fixed)}: pictures keep their own size", TlengineWarning, stacklevel=4)
    return found


def told_size(metadata: Mapping[str, Any]) -> int | None:
    """The size that a file of features says its backbone was used at.

    >>> told_size({"image_size": "128"}), told_size({})
    (128, None)
    """
    text = str(metadata.get("image_size", ""))
    return int(text) if text.isdecimal() and len(text) < 6 else None
