"""Warnings point at the line of the user's that they are about, however deep they arise."""

from __future__ import annotations

import sys

__all__ = ["users_level"]


def users_level() -> int:
    """The ``stacklevel`` of the first line outside tlengine, for a warning that the calling function gives.

    >>> users_level() > 0
    True
    """
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and _is_ours(frame.f_globals.get("__name__", "")):
        level, frame = level + 1, frame.f_back
    return level


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] == "tlengine"
