"""The backbones that a user named or brought, told apart by their names."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from tlengine.errors import InputError

__all__ = ["distinct_backbones"]


def distinct_backbones(backbones: Sequence[Any], reserved: Collection[str] = ()) -> list[Any]:
    """``backbones`` (names or :class:`~tlengine.Backbone`), the same one once.

    Raises:
        InputError: nothing given; neither a name nor a backbone; two of one name, or one with the name of
            ``reserved``, what controls read: tables, models and curves know them by name.

    >>> distinct_backbones(["minilm", "raw", "minilm"])
    ['minilm', 'raw']
    """
    kept: dict[str, Any] = {}
    for backbone in backbones:
        name = _name(backbone)
        if name in reserved and getattr(backbone, "origin", None) == "your module":
            raise InputError(
                f"a backbone of yours is named {name!r}, which is the name of a control",
                hint="give it another name: Backbone(..., name=...)",
            )
        if not _is_same(kept.setdefault(name, backbone), backbone):
            raise InputError(
                f"two backbones are named {name!r}", hint="give each its own name: Backbone(..., name=...)"
            )
    if not kept:
        raise InputError("no backbone given", hint="leave it out for the default of the data's modality")
    return list(kept.values())


def _name(backbone: Any) -> str:
    if isinstance(backbone, str):
        return backbone
    name = getattr(backbone, "name", None)
    if not isinstance(name, str) or not hasattr(backbone, "recipe"):
        raise InputError(
            f"a {type(backbone).__name__} is no backbone",
            hint="pass a name, or tl.Backbone(module, preprocess=..., modality=..., name=...)",
        )
    return name


def _is_same(one: Any, other: Any) -> bool:
    """Whether two of one name are one; a name stands for a registered backbone, as load_backbone gives it."""
    if one is other or (isinstance(one, str) and isinstance(other, str)):
        return True
    registered = [
        b for b in (one, other) if isinstance(b, str) or getattr(b, "origin", None) != "your module"
    ]
    return len(registered) == 2
