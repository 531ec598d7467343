"""Finds plugins, loads them, and calls their hooks one plugin at a time, so that a fault has a name."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import Distribution, EntryPoint, distributions
from typing import Any

import pluggy

from tlengine.errors import PluginError, PluginWarning
from tlengine.plugins import hookspecs
from tlengine.settings import flag

__all__ = ["PluginInfo", "PluginManager", "plugin_manager"]

_GROUP = "tlengine"


@dataclass(frozen=True, kw_only=True)
class PluginInfo:
    """A plugin as ``tlengine plugins list`` shows it.

    Attributes:
        name: of the entry point.
        distribution, version: the package that brings it.
        module: what the entry point names.
        status: ``"loaded"``, ``"failed"`` or ``"not allowed"``.
        hooks: the hooks it implements.
        error: why it failed.
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


class PluginManager(pluggy.PluginManager):
    """The plugins of this interpreter.

    Environment: ``TLENGINE_LOAD_PLUGINS=a,b`` loads only the named entry points or distributions (empty:
    none; tlengine's own are always loaded); ``TLENGINE_STRICT_PLUGINS=1`` makes a broken plugin an error
    instead of a :class:`PluginWarning`; ``TLENGINE_TRACE_PLUGINS=1`` writes every hook call to stderr.

    >>> manager = PluginManager()
    >>> manager.load(distributions=())
    >>> manager.infos
    ()
    """

    def __init__(self) -> None:
        super().__init__(_GROUP)
        self.add_hookspecs(hookspecs)
        self._infos: dict[str, PluginInfo] = {}
        if flag("TLENGINE_TRACE_PLUGINS"):
            self.trace.root.setwriter(sys.stderr.write)
            self.enable_tracing()

    @property
    def infos(self) -> tuple[PluginInfo, ...]:
        """Every plugin found, by name: loaded, failed or not allowed."""
        return tuple(sorted(self._infos.values(), key=lambda info: info.name))

    def load(self, distributions: Iterable[Distribution] | None = None) -> None:
        """Load the allowed entry points of ``distributions`` (default: all that are installed).

        Raises:
            PluginError: two plugins of one name; a broken plugin where ``TLENGINE_STRICT_PLUGINS`` is set.
        """
        allowed = _allow_list()
        for distribution, point in _entry_points(distributions):
            info = PluginInfo(
                name=point.name,
                distribution=distribution.name,
                version=distribution.version,
                module=point.value,
            )
            if point.name in self._infos:
                raise PluginError(
                    f"two plugins are named {point.name!r}: {self._infos[point.name]} and {info}",
                    hint="uninstall one of them",
                )
            self._infos[point.name] = info
            names = {_canonical(point.name), _canonical(distribution.name)}
            if allowed is None or _GROUP in names or allowed & names:
                self._load_one(point)
            else:
                self._infos[point.name] = replace(info, status="not allowed")

    def _load_one(self, point: EntryPoint) -> None:
        try:
            plugin = point.load()
            self.register(plugin, name=point.name)
            self.check_pending()
        except Exception as error:
            if self.has_plugin(point.name):
                self.unregister(name=point.name)
            self.failed(point.name, error)
            return
        hooks = tuple(sorted(caller.name for caller in self.get_hookcallers(plugin) or ()))
        self._infos[point.name] = replace(self._infos[point.name], hooks=hooks)

    def failed(self, name: str, error: Exception) -> None:
        """Mark a plugin as failed: warn, or raise where ``TLENGINE_STRICT_PLUGINS`` is set."""
        info = self._infos.get(name) or PluginInfo(name=name, distribution="?", version="?", module="?")
        reason = f"{type(error).__name__}: {error}"
        self._infos[name] = replace(info, status="failed", error=reason)
        if flag("TLENGINE_STRICT_PLUGINS"):
            raise PluginError(
                f"plugin {info} failed: {reason}",
                hint="mend or uninstall it, or unset TLENGINE_STRICT_PLUGINS to skip it",
                plugin=name,
            ) from error
        warnings.warn(f"plugin {info} is skipped: {reason}", PluginWarning, stacklevel=2)

    def info(self, name: str) -> PluginInfo:
        """What is known about the plugin ``name``."""
        return self._infos.get(name) or PluginInfo(name=name, distribution="?", version="?", module="?")

    def call_each(self, hook: str, **arguments: Any) -> Iterator[tuple[str, list[Any]]]:
        """Call ``hook`` in one plugin after the other; yield each plugin's name and its results.

        A plugin that raises, also in the middle of a generator, is marked as failed and yields nothing.
        """
        callers = getattr(self.hook, hook)
        names = sorted(impl.plugin_name for impl in callers.get_hookimpls())
        plugins = {name: self.get_plugin(name) for name in names}
        for name in names:
            others = [plugin for other, plugin in plugins.items() if other != name]
            try:
                results = self.subset_hook_caller(hook, others)(**arguments)
                yield name, [record for result in results if result is not None for record in result]
            except Exception as error:
                self.failed(name, error)


def _allow_list() -> set[str] | None:
    text = os.environ.get("TLENGINE_LOAD_PLUGINS")
    if text is None:
        return None
    return {_canonical(name.strip()) for name in text.split(",") if name.strip()}


def _canonical(name: str) -> str:
    return name.lower().replace("_", "-")


def _entry_points(chosen: Iterable[Distribution] | None) -> Iterator[tuple[Distribution, EntryPoint]]:
    """Entry points of our group, sorted, one per distribution name (the first on the path wins)."""
    first = {d.name: d for d in reversed(list(distributions() if chosen is None else chosen)) if d.name}
    for name in sorted(first):
        for point in sorted(first[name].entry_points.select(group=_GROUP), key=lambda p: p.name):
            yield first[name], point


@cache
def plugin_manager() -> PluginManager:
    """The manager with everything installed, made on first use."""
    manager = PluginManager()
    manager.load()
    return manager
