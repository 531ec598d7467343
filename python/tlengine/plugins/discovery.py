"""What is installed: distributions with entry points of the group ``tlengine``, and which may be loaded."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint, distributions

from tlengine.plugins.shipped import SHIPPED

__all__ = ["OWN", "PluginInfo", "allow_list", "canonical", "entry_points", "unmatched"]

OWN = "tlengine"
"""The group of the entry points, and the distribution whose plugins always come first."""


@dataclass(frozen=True, kw_only=True)
class PluginInfo:
    """A plugin as ``tlengine plugins list`` shows it.

    Attributes:
        name: of the entry point.
        distribution, version: the package that brings it.
        module: what the entry point names.
        status: ``"loaded"``, ``"failed"`` or ``"not allowed"``.
        hooks: the hooks it implements.
        error: why it failed, why it offers nothing, or which of its events is not told to it any more.
    """

    name: str
    distribution: str
    version: str
    module: str
    status: str = "loaded"
    hooks: tuple[str, ...] = ()
    error: str | None = None

    def __str__(self) -> str:
        return f"{self.name} ({self.distribution} {self.version})"

    @property
    def known_as(self) -> set[str]:
        """The names by which ``TLENGINE_LOAD_PLUGINS`` may call it."""
        return {canonical(self.name), canonical(self.distribution)}

    @property
    def rank(self) -> tuple[int, str, str]:
        """Where names clash the lower rank keeps them: tlengine, what is shipped with it, then by name."""
        distribution = canonical(self.distribution)
        ours = {known.plugin for known in SHIPPED.values()}
        own = 0 if distribution == OWN else 1 if distribution in ours else 2
        return own, self.name, distribution


def allow_list() -> set[str] | None:
    """What ``TLENGINE_LOAD_PLUGINS`` names; None where it is not set, so that everything may be loaded."""
    text = os.environ.get("TLENGINE_LOAD_PLUGINS")
    if text is None:
        return None
    return {canonical(name.strip()) for name in text.split(",") if name.strip()}


def unmatched(allowed: set[str], found: list[PluginInfo]) -> list[str]:
    """What to say of names in ``TLENGINE_LOAD_PLUGINS`` that no plugin has."""
    known = {name for info in found for name in info.known_as}
    if not (unmatched := sorted(allowed - known)):
        return []
    there = ", ".join(sorted({info.name for info in found})) or "none"
    return [f"TLENGINE_LOAD_PLUGINS names {', '.join(unmatched)}, which is not installed; installed: {there}"]


def canonical(name: str) -> str:
    """The name of a distribution as the packaging standards compare it.

    >>> canonical("TLengine_My.Net")
    'tlengine-my-net'
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def entry_points(chosen: Iterable[Distribution] | None) -> Iterator[tuple[PluginInfo, EntryPoint]]:
    """Entry points of our group, one per distribution whatever its spelling (the first on the path wins)."""
    everything = list(distributions() if chosen is None else chosen)
    first = {canonical(name): d for d in reversed(everything) if (name := _name(d))}
    for distribution in first.values():
        for point in _points(distribution):
            info = PluginInfo(
                name=point.name,
                distribution=distribution.name,
                version=distribution.version,
                module=point.value,
            )
            yield info, point


def _name(distribution: Distribution) -> str | None:
    """Its name; None for what is damaged, as pip's leftovers are."""
    try:
        return distribution.name
    except (OSError, ValueError, KeyError):
        return None


def _points(distribution: Distribution) -> list[EntryPoint]:
    """Its entry points in our group; none where the list cannot be read."""
    try:
        return list(distribution.entry_points.select(group=OWN))
    except (OSError, ValueError):
        return []
