"""What a strategy is, as a digest: the same in every process, another one when its results may be others.

It tells the plugin and its version, the code of the class, the settings, and the code of the head that these
name. Objects are told by the state
that ``pickle`` would keep, code by its bytecode and by what that names, however deep, files by their content,
and installed libraries by name and version. What cannot be told (an open file, a connection) is never taken
for something else: a digest that nothing else has stands for it.
"""

from __future__ import annotations

import copyreg
import enum
import functools
import hashlib
import json
import logging
import secrets
import sys
import threading
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from tlengine.errors import UnhashableRecipeError
from tlengine.evaluation.bytecode import Fills, code_told, imported, library_version, members
from tlengine.features.code import is_library, is_library_callable, references
from tlengine.features.libraries import told_by_library
from tlengine.features.paths import names_a_file, path_content
from tlengine.plugins import PluginInfo, registry
from tlengine.plugins.containment import reason
from tlengine.plugins.contracts import Strategy

__all__ = ["Identity", "identity_of", "identity_of_parts"]

Parts = Mapping[str, Any]
"""What is told, by the words for it."""

_LOCKS = (type(threading.Lock()), type(threading.RLock()))
_SILENT = (logging.Logger, type(Ellipsis), type(NotImplemented), *_LOCKS)
"""These change no result."""


@dataclass(frozen=True)
class Identity:
    """A digest of a strategy.

    Attributes:
        digest: 32 hex digits.
        untold: what of it cannot be told, and why; "" where all is. Where something is, the digest is one
            that no other strategy has, nor the same one told again.
    """

    digest: str
    untold: str = ""

    @classmethod
    def unique(cls, untold: str = "") -> Identity:
        """One that nothing else has."""
        return cls(secrets.token_hex(16), untold)


def identity_of(strategy: Strategy, plugin: PluginInfo | None = None) -> Identity:
    """Tell a strategy by its plugin, the code of its class, its settings, and the head that they name.

    Args:
        strategy: what is told. Where its ``settings()`` raise, its fits fail, and nothing can be kept.
        plugin: which registered it; None for what a user passes. Its own code is told, also where it is
            installed; of other installed packages the version is.

    >>> from tlengine.evaluation.strategies import CentroidStrategy
    >>> identity_of(CentroidStrategy()) == identity_of(CentroidStrategy())
    True
    """
    try:
        settings = strategy.settings()
    except KeyboardInterrupt:
        raise
    except BaseException:  # a plugin may even exit; its tasks fail of the same
        return Identity.unique()
    return _identity([(plugin, {"its class": type(strategy), "settings": settings}), *_head(settings)])


def identity_of_parts(parts: Parts, plugin: PluginInfo | None = None) -> Identity:
    """Tell functions and values by the same rules, such as what a backbone brings for those who train it.

    >>> one, other = (identity_of_parts({"initialise": code}) for code in (lambda m, s: m, lambda m, s: s))
    >>> one == other
    False
    """
    return _identity([(plugin, parts)])


def _head(settings: Any) -> list[tuple[PluginInfo, Parts]]:
    """The registered head that the setting ``head`` names: it is trained as much as the rest."""
    name = settings.get("head") if isinstance(settings, Mapping) else None
    if not isinstance(name, str) or (head := registry.heads().get(name)) is None:
        return []
    functions = {word: getattr(head, word) for word in ("build", "from_probe", "from_means", "input")}
    return [(registry.owner(name, "head"), {f"{word} of head {name}": f for word, f in functions.items()})]


def _identity(given: Sequence[tuple[PluginInfo | None, Parts]]) -> Identity:
    """Of parts, with the plugin that brings them."""
    told: list[Any] = []
    try:
        for plugin, parts in given:
            teller = _Teller(_home(plugin))
            values = [teller.tell(value, where) for where, value in parts.items()]
            known = None if plugin is None else [plugin.distribution, plugin.version]
            told.append([known, values, sorted(teller.libraries.items())])
    except KeyboardInterrupt:
        raise
    except _UntoldError as error:
        return Identity.unique(str(error))
    except BaseException as error:  # whatever code of the plugin raises where its objects are looked at
        return Identity.unique(reason(error))
    return Identity(_digest(told))


def _home(plugin: PluginInfo | None) -> str:
    """The module whose code is told, though it may be installed."""
    return "" if plugin is None or plugin.distribution == "tlengine" else plugin.module.partition(":")[0]


class _UntoldError(Exception):
    """Something of which nobody can say whether it is the same tomorrow."""


class _Teller:
    """Tells values as JSON. One object is told once; one that holds itself, by how far above it stands.

    Attributes:
        libraries: the version of every installed package that was met.
    """

    def __init__(self, home: str) -> None:
        self.home = home
        self.libraries: dict[str, str] = {}
        self._known: dict[int, tuple[Any, str]] = {}  # with the object, so that its id is not given again
        self._open: list[int] = []
        self._fills = Fills(home)

    def tell(self, what: Any, where: str) -> Any:
        if what is None or type(what) in (bool, int, float):
            return what
        if isinstance(what, str | PurePath) and not isinstance(what, enum.Enum):
            return self._text(what)
        if isinstance(what, np.generic):
            return {"scalar": what.dtype.str, "value": repr(what)}
        if isinstance(what, bytes | bytearray):
            return {"bytes": hashlib.blake2b(what, digest_size=16).hexdigest()}
        if isinstance(what, _SILENT):
            return {"silent": type(what).__qualname__}
        return self._once(what, lambda: self._compound(what, where))

    def _once(self, what: Any, make: Callable[[], Any]) -> Any:
        place = id(what)
        if place in self._known:
            return self._known[place][1]
        if place in self._open:
            return {"above": len(self._open) - self._open.index(place)}
        self._open.append(place)
        try:
            told = _digest(make())
        finally:
            self._open.pop()
        self._known[place] = (what, told)
        return told

    def _text(self, what: str | PurePath) -> Any:
        """A text; where it names a file, the content of that."""
        try:
            content = path_content(Path(what), (), ()) if names_a_file(str(what)) else None
        except UnhashableRecipeError as error:
            raise _UntoldError(error.message) from None
        return {type(what).__name__: str(what)} if content is None else content

    def _compound(self, what: Any, where: str) -> Any:
        if type(what) in (list, tuple):
            return {"row": [self.tell(value, f"{where}[{i}]") for i, value in enumerate(what)]}
        if type(what) in (dict, types.MappingProxyType):
            return {"map": [[self.tell(k, where), self.tell(v, f"{where}.{k}")] for k, v in what.items()]}
        if type(what) in (set, frozenset):
            return {"set": sorted(json.dumps(self.tell(value, where), sort_keys=True) for value in what)}
        if type(what) is np.ndarray and not what.dtype.hasobject:
            data = np.ascontiguousarray(what)
            return {"array": data.dtype.str, "shape": what.shape, "data": _hash(data.tobytes())}
        if isinstance(what, type):
            return self._class(what, where)
        if isinstance(what, types.FunctionType):
            return self._function(what, where)
        if isinstance(what, types.ModuleType):
            return {"module": what.__name__, "text": None if self._is_library(what) else self._source(what)}
        return self._callable(what, where)

    def _callable(self, what: Any, where: str) -> Any:
        if isinstance(what, types.MethodType):
            return {"method": self.tell(what.__func__, where), "of": self.tell(what.__self__, where)}
        if hasattr(what, "cache_parameters") and hasattr(what, "__wrapped__"):  # functools.lru_cache
            return {"cached": self.tell(what.__wrapped__, where)}
        if isinstance(what, property):
            return {"property": [self.tell(part, where) for part in (what.fget, what.fset, what.fdel)]}
        if isinstance(what, staticmethod | classmethod):
            return {type(what).__name__: self.tell(what.__func__, where)}
        if isinstance(what, functools.cached_property):
            return {"property": self.tell(what.func, where)}
        if isinstance(what, functools.partialmethod):
            return {"partial": self.tell((what.func, what.args, what.keywords), where)}
        return self._object(what, where)

    def _class(self, kind: type, where: str) -> Any:
        name = _qualified(kind)
        if self._is_library(kind) and "<locals>" not in name:
            return {"class": name}
        self._fills.add(kind)
        told = {key: self.tell(value, f"{where}: {name}.{key}") for key, value in members(kind).items()}
        bases = [self.tell(base, where) for base in (type(kind), *kind.__bases__)]
        return {"class": name, "bases": bases, "members": told}

    def _function(self, function: types.FunctionType, where: str) -> Any:
        name, is_foreign = _qualified(function), self._is_library(function)
        if is_foreign and is_library_callable(function, self.home):
            return {"function": name}
        cells = [self.tell(_content(cell), f"{where}: {name}") for cell in function.__closure__ or ()]
        held = (function.__defaults__, function.__kwdefaults__, vars(function))
        told = {"function": name, "code": code_told(function.__code__), "closure": cells}
        return {**told, "held": self.tell(held, where), "uses": {} if is_foreign else self._uses(function)}

    def _source(self, module: types.ModuleType) -> Any:
        """The file of a module that is held as a value: who knows what is used of it."""
        return self.tell(Path(getattr(module, "__file__", None) or ""), module.__name__)

    def _uses(self, function: types.FunctionType) -> dict[str, Any]:
        """The globals that the code names; one that code fills (a memo), by what it is at first."""
        self._fills.add(function)
        for module in imported(function):
            self._note(module)
        told = {}
        for name, value in sorted(references(function).values.items()):
            first = self._fills.first(function.__module__, name)
            place = f"{function.__qualname__} uses {name}"
            if isinstance(value, types.ModuleType):  # what is used of it is told by itself
                told[name] = {"module": value.__name__, "library": self._is_library(value)}
            else:
                told[name] = self.tell(value, place) if first is None else {"filled": first}
        return told

    def _object(self, what: Any, where: str) -> Any:
        """By what a library says of it, else by the state that is pickled."""
        if isinstance(what, enum.Enum):
            return {"enum": self.tell(type(what), where), "name": what.name}
        try:
            if (told := told_by_library(what)) is not None:
                return {"class": self.tell(type(what), where), "told": self.tell(told, where)}
            reduce = copyreg.dispatch_table.get(type(what))
            parts: Any = what.__reduce_ex__(4) if reduce is None else reduce(what)
        except (KeyboardInterrupt, _UntoldError):
            raise
        except BaseException as error:  # code of whoever made it, which may even exit
            raise _UntoldError(f"{where} is a {_qualified(type(what))}: {reason(error)}") from None
        if isinstance(parts, str):
            return {"name": self._found(what, parts, where)}
        held = [list(part) if isinstance(part, Iterator) else part for part in parts]
        return {"object": [self.tell(value, where) for value in held]}

    def _found(self, what: Any, name: str, where: str) -> str:
        """Where a thing is found that says no more than its name."""
        for module in (getattr(what, "__module__", None), "numpy", "scipy.special"):
            if isinstance(module, str) and getattr(sys.modules.get(module), name, None) is what:
                self._note(module)
                return f"{module}.{name}"
        raise _UntoldError(f"{where} is a {_qualified(type(what))} named {name!r}, which is found nowhere")

    def _is_library(self, what: Any) -> bool:
        """Whether it belongs to an installed package, whose version then counts."""
        name = what.__name__ if isinstance(what, types.ModuleType) else getattr(what, "__module__", None)
        if not is_library(what, self.home):
            return False
        self._note(str(name))
        return True

    def _note(self, module: str) -> None:
        version = library_version(module.partition(".")[0])
        if version is not None:
            self.libraries[module.partition(".")[0]] = version


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def _qualified(what: Any) -> str:
    """Its full name; in a spawned worker, the main module has another one."""
    return f"{what.__module__}.{what.__qualname__}".replace("__mp_main__.", "__main__.", 1)


def _digest(told: Any) -> str:
    return _hash(json.dumps(told, sort_keys=True).encode())


def _hash(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()
