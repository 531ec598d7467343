"""What a function's code refers to: globals, helpers, and calls whose outcome no description can see."""

from __future__ import annotations

import collections
import dataclasses
import dis
import hashlib
import inspect
import reprlib
import sys
import sysconfig
import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.util import find_spec, resolve_name
from pathlib import Path
from typing import Any

__all__ = ["References", "constants", "is_library", "methods", "references", "source_digest"]

_ALWAYS_READ = {"read_text", "read_bytes", "from_file", "from_pretrained", "environ", "getenv", "urlopen"}
"""Attributes that are asked for what lies outside the program, whatever they are attributes of."""

_READ_OF_MODULE = _ALWAYS_READ | {
    *("open", "load", "loadtxt", "genfromtxt", "fromfile", "memmap", "imread", "read_image", "read_file"),
    *("read_csv", "read_json", "read_parquet", "load_file", "safe_open", "get_data", "load_vocab"),
}
"""The same, of a module or as a bare name: ``np.load``, but not the method ``load`` of an image."""


@dataclass
class References:
    """What a piece of code refers to.

    Attributes:
        values: by the name under which the code finds them.
        readers: calls that read files or the environment, such as ``open``.
    """

    values: dict[str, Any] = field(default_factory=dict)
    readers: list[str] = field(default_factory=list)


def references(function: types.FunctionType) -> References:
    """Every global that ``function`` names, attributes of its own modules, and what it reads.

    >>> SIZE = 3
    >>> def area(): return SIZE * len("abc")
    >>> references(area).values
    {'SIZE': 3, 'len': <built-in function len>}
    """
    found = References()
    for code in _codes(function.__code__):
        _scan(code, function.__globals__, found)
    return found


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """``code`` and those of the functions and comprehensions inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _scan(code: types.CodeType, names: dict[str, Any], found: References) -> None:
    instructions = [i for i in dis.get_instructions(code) if i.opname not in ("CACHE", "PUSH_NULL")]
    holder: Any = None
    for place, step in enumerate(instructions):
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            holder = _global(step.argval, names, found)
        elif step.opname in ("LOAD_ATTR", "LOAD_METHOD"):
            holder = _attribute(holder, step.argval, found, str(names.get("__name__")))
        elif step.opname == "IMPORT_NAME":
            level, wanted = (before.argval for before in instructions[place - 2 : place])
            holder = _import(step.argval, level, wanted or code.co_names, names, found)
        elif step.opname != "IMPORT_FROM":
            holder = None


def _global(name: str, names: dict[str, Any], found: References) -> Any:
    builtins = names.get("__builtins__", {})
    known = builtins if isinstance(builtins, dict) else vars(builtins)
    if name.startswith("__") or (name not in names and name not in known):
        return None
    value = found.values[name] = names[name] if name in names else known[name]
    is_reader = getattr(value, "__name__", "") in _READ_OF_MODULE
    if is_reader and (
        not isinstance(value, types.FunctionType) or is_library(value, str(names.get("__name__")))
    ):
        found.readers.append(name)
    return value


def _attribute(holder: Any, name: str, found: References, home: str) -> Any:
    is_module = isinstance(holder, types.ModuleType)
    if name in (_READ_OF_MODULE if is_module or isinstance(holder, type) else _ALWAYS_READ):
        found.readers.append(f"{holder.__name__}.{name}" if is_module else name)
    if not is_module or not hasattr(holder, name):
        return None
    value = getattr(holder, name)
    if not is_library(holder, home):
        found.values[f"{holder.__name__}.{name}"] = value
    return value


def _import(
    name: str, level: int, wanted: Iterable[str], names: dict[str, Any], found: References
) -> types.ModuleType | None:
    """The module that an import inside a function gives; a library is not loaded for that.

    ``wanted`` are the names taken from it, or all that the code names, where it takes the module.
    """
    home = str(names.get("__name__"))
    full = resolve_name("." * level + name, names.get("__package__") or home) if level else name
    if _is_library_name(full, home):
        found.readers += [one for one in wanted if one in _READ_OF_MODULE]
        return sys.modules.get(full)
    module = import_module(full)
    found.values |= {f"{full}.{one}": getattr(module, one) for one in wanted if hasattr(module, one)}
    return module


def is_library(what: Any, home: str) -> bool:
    """Whether ``what`` belongs to an installed package other than the one that ``home`` is a module of.

    >>> is_library(Path, "mine"), is_library(is_library, "tlengine.features.code")
    (True, False)
    """
    name = what.__name__ if isinstance(what, types.ModuleType) else getattr(what, "__module__", None)
    return _is_library_name(name, home) if isinstance(name, str) else True


@cache
def _is_library_name(name: str, home: str) -> bool:
    top = name.partition(".")[0]
    if top == home.partition(".")[0] or top == "__main__":
        return False
    if top in sys.stdlib_module_names or top == "tlengine":
        return True
    module = sys.modules.get(top)
    file = getattr(module, "__file__", None)
    if module is None and (spec := find_spec(top)) is not None:
        file = spec.origin
    return file is None or any(Path(file).is_relative_to(root) for root in _installed())


@cache
def _installed() -> tuple[Path, ...]:
    paths = sysconfig.get_paths()
    return tuple(Path(paths[name]) for name in ("purelib", "platlib", "stdlib", "platstdlib"))


_GENERATED = {
    *("__init__", "__repr__", "__eq__", "__hash__", "__lt__", "__le__", "__gt__", "__ge__", "__setattr__"),
    *(
        "__delattr__",
        "__getstate__",
        "__setstate__",
        "__new__",
        "__replace__",
        "_replace",
        "_make",
        "_asdict",
    ),
    "__getnewargs__",
}
"""Methods that ``dataclass`` and ``NamedTuple`` write."""


def methods(kind: type) -> Iterator[types.FunctionType]:
    """The functions that a class and its bases define in source, in order of the lookup."""
    for base in kind.__mro__:
        for value in vars(base).values():
            inner = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
            inner = getattr(inner, "func", inner)  # functools.cached_property
            if isinstance(inner, types.FunctionType) and not _is_generated(inner):
                yield inner


def _is_generated(function: types.FunctionType) -> bool:
    file = function.__code__.co_filename
    written = file == "<string>" or file in (dataclasses.__file__, reprlib.__file__, collections.__file__)
    return written and function.__name__ in _GENERATED


def constants(kind: type) -> dict[str, Any]:
    """What a class and its bases say beside methods and fields, such as ``SIZE = 3``."""
    found: dict[str, Any] = {}
    for base in reversed([base for base in kind.__mro__ if not is_library(base, kind.__module__)]):
        found |= {name: value for name, value in vars(base).items() if not name.startswith("__")}
    fields = {"_abc_impl", "_fields", "_field_defaults", *getattr(kind, "_fields", ())}
    if dataclasses.is_dataclass(kind):
        fields |= {field.name for field in dataclasses.fields(kind)}
    plain = {name: value for name, value in found.items() if not hasattr(value, "__get__")}
    return {name: value for name, value in plain.items() if name not in fields}


@cache
def source_digest(code: types.CodeType | type) -> str:
    """SHA-256 of the source as it was when it was first asked for; a file edited later is not loaded code.

    Raises:
        OSError, TypeError: there is no source.
    """
    return hashlib.sha256(inspect.getsource(code).encode()).hexdigest()
