"""Finds plugins, loads them, and calls their hooks one plugin at a time, so that a fault has a name."""

from __future__ import annotations

import copy
import sys
import threading
import warnings
from collections.abc import Iterable
from dataclasses import replace
from importlib.metadata import Distribution, EntryPoint
from itertools import islice
from typing import Any

import pluggy

from tlengine.errors import PluginError, PluginWarning
from tlengine.plugins import hookspecs
from tlengine.plugins.containment import contained, reason
from tlengine.plugins.discovery import OWN, PluginInfo, allow_list, canonical, entry_points, unmatched
from tlengine.settings import flag

__all__ = ["PluginInfo", "PluginManager", "plugin_manager"]

_MANY = 100_000
"""More records are a generator that does not end."""


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
        super().__init__(OWN)
        self.add_hookspecs(hookspecs)
        self._infos: dict[str, PluginInfo] = {}
        self._refused: list[PluginInfo] = []
        self._errors: dict[str, BaseException] = {}
        self._untold: list[str] = []
        self._muted: set[str] = set()
        if flag("TLENGINE_TRACE_PLUGINS"):
            self.trace.root.setwriter(lambda text: sys.stderr.write(text))
            self.enable_tracing()

    @property
    def infos(self) -> tuple[PluginInfo, ...]:
        """Every plugin found, by name: loaded, failed or not allowed."""
        return tuple(sorted([*self._infos.values(), *self._refused], key=lambda i: (i.name, i.distribution)))

    def load(self, distributions: Iterable[Distribution] | None = None, *, tell: bool = True) -> None:
        """Load the allowed entry points of ``distributions`` (default: all that are installed).

        A plugin that cannot be loaded, whatever it raises, is marked as failed. Unless ``tell`` is False, a
        ``PluginWarning`` says so once all are loaded.
        """
        allowed = allow_list()
        found = sorted(entry_points(distributions), key=lambda pair: pair[0].rank)
        for info, point in found:
            if any(info.module == known.module for known in self._infos.values()):
                continue  # the same plugin, installed under two names
            if info.name in self._infos:
                self._refuse(info)
                continue
            self._infos[info.name] = info
            if allowed is None or allowed & info.known_as or canonical(info.distribution) == OWN:
                self._load_one(point)
            else:
                self._infos[info.name] = replace(info, status="not allowed")
        if distributions is None:
            self._untold += unmatched(allowed or set(), [info for info, _ in found])
        if tell:
            self.tell()

    def tell(self) -> None:
        """Warn of what went wrong since the last call; by then every plugin has had its turn."""
        messages, self._untold = self._untold, []
        for message in messages:
            warnings.warn(message, PluginWarning, stacklevel=3)

    def _refuse(self, info: PluginInfo) -> None:
        """Of two plugins of one name the one of higher rank."""
        error = f"{self._infos[info.name]} has this name already; rename the entry point of yours"
        self._refused.append(replace(info, status="failed", error=error))
        self._skipped(info, error)

    def _load_one(self, point: EntryPoint) -> None:
        try:
            with contained():
                plugin = point.load()
                self.register(plugin, name=point.name)
                self.check_pending()
                hooks = tuple(sorted(caller.name for caller in self.get_hookcallers(plugin) or ()))
                error = None if hooks else _offers_nothing(plugin)
        except KeyboardInterrupt:
            raise
        except BaseException as fault:  # a plugin may even exit
            self.failed(point.name, fault)
            return
        info = self._infos[point.name] = replace(self._infos[point.name], hooks=hooks, error=error)
        if error and info.rank[0]:
            self._untold.append(f"plugin {info} {error}")

    def failed(self, name: str, error: BaseException) -> None:
        """Mark a plugin as failed: nothing of it is used from now on; :meth:`tell` says so."""
        if self.has_plugin(name):
            self.unregister(name=name)
        info = self.info(name)
        self._infos[name] = replace(info, status="failed", error=reason(error))
        self._errors[name] = error
        self._skipped(info, reason(error))

    def _skipped(self, info: PluginInfo, why: str) -> None:
        """To be told as a warning, unless :meth:`check_strict` will make it an error."""
        if not flag("TLENGINE_STRICT_PLUGINS"):
            self._untold.append(f"plugin {info} is skipped: {why}")

    def check_strict(self) -> None:
        """Where ``TLENGINE_STRICT_PLUGINS`` is set, a plugin that failed is an error.

        Raises:
            PluginError: for the first of them; its cause is what the plugin raised.
        """
        broken = [info for info in self.infos if info.status == "failed"]
        if broken and flag("TLENGINE_STRICT_PLUGINS"):
            first = broken[0]
            raise PluginError(
                f"plugin {first} failed: {first.error}",
                hint="mend or uninstall it, or unset TLENGINE_STRICT_PLUGINS to skip it",
                plugin=first.name,
            ) from self._errors.get(first.name)

    def info(self, name: str) -> PluginInfo:
        """What is known about the plugin ``name``."""
        return self._infos.get(name) or PluginInfo(name=name, distribution="?", version="?", module="?")

    def call(self, name: str, hook: str, **arguments: Any) -> list[Any] | None:
        """The results of ``hook`` in the plugin ``name``; None where it fails, which marks it as failed."""
        try:
            with contained():
                results = self._only(name, hook)(**arguments)
                return [
                    record for result in results if result is not None for record in _listed(hook, result)
                ]
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a plugin may even exit
            self.failed(name, error)
            return None

    def notify(self, hook: str, **facts: Any) -> None:
        """Tell every plugin that implements the event ``hook``, one after the other, by rank.

        Each gets a copy of ``facts`` that is its own. A plugin that fails is named in one ``PluginWarning``
        and told nothing more; what it offers stays. Nothing but Ctrl-C is raised, whatever the filters of
        warnings.
        """
        names = {impl.plugin_name for impl in getattr(self.hook, hook).get_hookimpls()} - self._muted
        for name in sorted(names, key=lambda name: self.info(name).rank):
            try:
                with contained():
                    results = self._only(name, hook)(**copy.deepcopy(facts))
                    for result in results:
                        _check_event(hook, result)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # a plugin may even exit
                self._mute(name, hook, error)

    def _mute(self, name: str, hook: str, error: BaseException) -> None:
        self._muted.add(name)
        info = self.info(name)
        said = f"{hook} failed: {reason(error)}"
        if name in self._infos:
            self._infos[name] = replace(info, error=said)
        message = f"plugin {info} is told nothing more of this run: {said}"
        try:
            warnings.warn(message, PluginWarning, stacklevel=4)
        except PluginWarning:  # filters that make it an error are not to end a run
            sys.stderr.write(f"warning: {message}\n")

    def _only(self, name: str, hook: str) -> Any:
        """The caller of ``hook`` in the plugin ``name`` alone."""
        plugins = {impl.plugin_name: impl.plugin for impl in getattr(self.hook, hook).get_hookimpls()}
        return self.subset_hook_caller(hook, [plugin for other, plugin in plugins.items() if other != name])


def _check_event(hook: str, result: Any) -> None:
    """What is returned counts for nothing, but a generator or coroutine has done nothing yet.

    Raises:
        TypeError: it is one.
    """
    if hasattr(result, "send") and hasattr(result, "close"):
        result.close()
        raise TypeError(f"{hook} is a generator or coroutine, which nobody runs: write a plain function")


def _listed(hook: str, result: Any) -> list[Any]:
    """The records that a hook returned or yields.

    Raises:
        TypeError: it returned something else than records in a row.
    """
    if not isinstance(result, Iterable) or isinstance(result, str | bytes | dict):
        if hasattr(result, "close"):
            result.close()  # a coroutine would complain that nobody waited for it
        raise TypeError(f"{hook} returned a {type(result).__name__}, not records in a row: yield it")
    records = list(islice(result, _MANY + 1))
    if len(records) > _MANY:
        raise ValueError(f"{hook} yields more than {_MANY:,} records")
    return records


def _offers_nothing(plugin: object) -> str:
    unmarked = [
        name for name in dir(plugin) if name.startswith("tlengine_") and callable(getattr(plugin, name))
    ]
    if unmarked:
        return f"offers nothing: {', '.join(unmarked)} has no @tlengine.hookimpl above it"
    return "offers nothing: no function in it has @tlengine.hookimpl above it"


_lock = threading.RLock()
_manager: PluginManager | None = None
_loading = False


def plugin_manager() -> PluginManager:
    """The manager with everything installed, made on first use.

    Raises:
        PluginError: a plugin asks for it while it is being loaded.
    """
    global _manager, _loading
    with _lock:
        if _manager is not None:
            return _manager
        if _loading:
            raise PluginError(
                "a plugin asks for tlengine's plugins while it is loaded", hint="ask inside a function"
            )
        _loading = True
        try:
            manager = PluginManager()
            manager.load(tell=False)
        finally:
            _loading = False
        _manager = manager
    manager.tell()
    return manager
