"""What to say of a name that nothing has: the nearest names, and the plugins that may have had it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from tlengine.errors import UnknownNameError
from tlengine.plugins.discovery import canonical
from tlengine.plugins.manager import plugin_manager

__all__ = ["TRACEBACK", "nearest_names", "trouble", "unknown_name"]

TRACEBACK = "TLENGINE_STRICT_PLUGINS=1 shows the traceback"


def nearest_names(name: str, known: Iterable[str]) -> list[str]:
    """The three of ``known`` that are spelled most like ``name``, nearest first.

    >>> nearest_names("minilmm", ["raw", "minilm", "efficientnet-lite0", "knn"])[0]
    'minilm'
    """
    lowered = {candidate.lower(): candidate for candidate in known}
    return [lowered[match] for match in difflib.get_close_matches(name.lower(), lowered, n=3, cutoff=0.0)]


def unknown_name(noun: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """The error for a ``name`` that nothing has; the hint tells of plugins that may have had it.

    >>> unknown_name("probe", "knm", ["knn"]).hint.partition(";")[0]
    'nearest names: knn'
    """
    near = nearest_names(name, known)
    hints = (
        [f"nearest names: {', '.join(near)}"] if near else [f"no {noun} is registered; see tlengine plugins"]
    )
    return UnknownNameError(
        f"no {noun} is named {name!r}", hint="; ".join([*trouble(), *hints]), name=name, nearest=near
    )


def trouble(distribution: str | None = None) -> list[str]:
    """What to say of plugins that failed or were not allowed: of all, or of those of a distribution."""
    wanted = [
        info
        for info in plugin_manager().infos
        if distribution is None or canonical(info.distribution) == canonical(distribution)
    ]
    failed = [
        f"plugin {info} failed ({info.error}), {TRACEBACK}" for info in wanted if info.status == "failed"
    ]
    blocked = [str(info) for info in wanted if info.status == "not allowed"]
    return failed + ([f"TLENGINE_LOAD_PLUGINS leaves out {', '.join(blocked)}"] if blocked else [])
