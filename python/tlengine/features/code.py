"""What a function's code refers to: globals, helpers, and calls whose outcome no description can see."""

from __future__ import annotations

import collections
import dataclasses
import dis
import hashlib
import inspect
import os
import reprlib
import site
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

from tlengine.features.outside import (
    ALWAYS_READ,
    ENVIRONMENT,
    IN_MEMORY,
    READ_OF_MODULE,
    SEEDS,
    draws,
    literal_beside,
)

__all__ = [
    "References",
    "codes_of",
    "constants",
    "is_generated",
    "is_library",
    "is_library_callable",
    "methods",
    "references",
    "source_digest",
]


@dataclass
class References:
    """What a piece of code refers to.

    Attributes:
        values: by the name under which the code finds them.
        readers: calls that read files or the environment, such as ``open``.
        unanswered: those of them for which no file that is described elsewhere can answer.
        draws: calls that draw by chance.
    """

    values: dict[str, Any] = field(default_factory=dict)
    readers: list[str] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    draws: list[str] = field(default_factory=list)


def references(function: types.FunctionType) -> References:
    """Every global that ``function`` names, attributes of its own modules, and what it reads.

    >>> SIZE = 3
    >>> def area(): return SIZE * len("abc")
    >>> references(area).values
    {'SIZE': 3, 'len': <built-in function len>}
    """
    found = References()
    codes = list(codes_of(function.__code__))
    named = {name for code in codes for name in (*code.co_names, *code.co_consts) if isinstance(name, str)}
    keywords = {name for code in codes for one in code.co_consts if isinstance(one, tuple) for name in one}
    for code in codes:
        _scan(code, function.__globals__, found, in_memory=bool(named & IN_MEMORY))
    if (named | keywords) & SEEDS:
        found.draws.clear()
    return found


def codes_of(code: types.CodeType) -> Iterator[types.CodeType]:
    """``code`` and those of the functions and comprehensions inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from codes_of(constant)


_SILENT_STEPS = ("CACHE", "PUSH_NULL", "PRECALL", "EXTENDED_ARG", "NOP")


def _scan(code: types.CodeType, names: dict[str, Any], found: References, *, in_memory: bool) -> None:
    steps = [step for step in dis.get_instructions(code) if step.opname not in _SILENT_STEPS]
    holder: Any = None
    imported: dict[str, Any] = {}
    for place, step in enumerate(steps):
        count = len(found.readers)
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            holder = _global(step.argval, names, found)
        elif step.opname in ("LOAD_ATTR", "LOAD_METHOD"):
            holder = _attribute(holder, step.argval, found, str(names.get("__name__")))
        elif step.opname == "IMPORT_NAME":
            level, wanted = (before.argval for before in steps[place - 2 : place])
            holder = _import(step.argval, level, wanted, code.co_names, names, found)
            continue
        else:
            holder = _local(step, steps[place - 1], holder, imported)
        if draws(holder, steps[place + 1 :]):
            found.draws.append(str(step.argval))
        if len(found.readers) > count:
            _judge_reader(found, step.argval, literal_beside(steps, place), in_memory)


def _local(step: dis.Instruction, before: dis.Instruction, holder: Any, imported: dict[str, Any]) -> Any:
    """What is at hand after a step that concerns a name inside the function; ``imported`` are those known."""
    if step.opname == "IMPORT_FROM":
        imported[step.argval] = getattr(holder, step.argval, None)
        return holder
    if step.opname == "STORE_FAST" and before.opname == "IMPORT_FROM":
        imported[step.argval] = imported[before.argval]
        return holder
    if step.opname == "STORE_FAST":
        imported[step.argval] = holder if before.opname == "IMPORT_NAME" else None
    return imported.get(step.argval) if step.opname == "LOAD_FAST" else None


def _judge_reader(found: References, name: str, literal: str | None, in_memory: bool) -> None:
    """What the last reader reads: nothing but memory, a file that is named on the spot, or something else."""
    if name in ENVIRONMENT:
        found.unanswered.append(found.readers[-1])
    elif literal is not None:
        if os.path.exists(literal):
            found.values[repr(literal)] = Path(literal)
        else:
            found.unanswered.append(f"{found.readers[-1]} of {literal!r}")
    elif in_memory and found.readers[-1] != "open":
        found.readers.pop()


def _global(name: str, names: dict[str, Any], found: References) -> Any:
    builtins = names.get("__builtins__", {})
    known = builtins if isinstance(builtins, dict) else vars(builtins)
    if name.startswith("__") or (name not in names and name not in known):
        return None
    value = found.values[name] = names[name] if name in names else known[name]
    is_reader = getattr(value, "__name__", "") in READ_OF_MODULE and _may_open(value)
    if is_reader and (
        not isinstance(value, types.FunctionType) or is_library(value, str(names.get("__name__")))
    ):
        found.readers.append(name)
    return value


def _may_open(reader: Any) -> bool:
    """Not so ``json.load`` and its like, which are given a file that something else has opened."""
    return getattr(reader, "__module__", "") not in _GIVEN_A_FILE


_GIVEN_A_FILE = {"json", "pickle", "_pickle", "marshal", "tomllib", "yaml", "plistlib"}


def _attribute(holder: Any, name: str, found: References, home: str) -> Any:
    is_module = isinstance(holder, types.ModuleType)
    is_reader = name in (READ_OF_MODULE if is_module or isinstance(holder, type) else ALWAYS_READ)
    if is_reader and not (is_module and holder.__name__ in _GIVEN_A_FILE):
        found.readers.append(f"{holder.__name__}.{name}" if is_module else name)
    if not is_module or not hasattr(holder, name):
        return None
    value = getattr(holder, name)
    if not is_library(holder, home):
        found.values[f"{holder.__name__}.{name}"] = value
    return value


def _import(
    name: str,
    level: int,
    wanted: tuple[str, ...] | None,
    code_names: Iterable[str],
    names: dict[str, Any],
    found: References,
) -> types.ModuleType | None:
    """The module that an import inside a function gives; a library is not loaded for that.

    ``wanted`` are the names taken from it; where it takes the module, all ``code_names`` may be meant.
    """
    home = str(names.get("__name__"))
    try:
        full = resolve_name("." * level + name, names.get("__package__") or home) if level else name
        if _is_library_name(full, home):
            if (
                wanted is not None or full not in sys.modules
            ):  # else its attributes are seen where they are used
                asked = [one for one in wanted or code_names if one in READ_OF_MODULE]
                found.readers += asked if full not in _GIVEN_A_FILE else []
                found.unanswered += [one for one in asked if one in ENVIRONMENT]
            return sys.modules.get(full)
        module = import_module(full)
    except ImportError:  # one that the code can do without: else it fails when it is used
        return None
    taken = [one for one in wanted or code_names if hasattr(module, one)]
    found.values |= {f"{full}.{one}": getattr(module, one) for one in taken}
    return module


def is_library(what: Any, home: str) -> bool:
    """Whether ``what`` belongs to an installed package other than the one that ``home`` is a module of.

    >>> is_library(Path, "mine"), is_library(is_library, "tlengine.features.code")
    (True, False)
    """
    name = what.__name__ if isinstance(what, types.ModuleType) else getattr(what, "__module__", None)
    return _is_library_name(name, home) if isinstance(name, str) else True


def is_library_callable(what: Any, home: str) -> bool:
    """Whether ``what`` is a callable that its library offers under its own name, such as ``numpy.stack``."""
    module, name = getattr(what, "__module__", None), getattr(what, "__qualname__", None)
    if not (callable(what) and isinstance(module, str) and isinstance(name, str)):
        return False
    return _is_library_name(module, home) and getattr(sys.modules.get(module), name, None) is what


@cache
def _is_library_name(name: str, home: str) -> bool:
    top = name.partition(".")[0]
    if top == home.partition(".")[0] or top == "__main__":
        return False
    if top in sys.stdlib_module_names or top == "tlengine":
        return True
    module = sys.modules.get(top)
    file, folders = getattr(module, "__file__", None), getattr(module, "__path__", None)
    if module is None and (spec := find_spec(top)) is not None:
        file, folders = spec.origin, spec.submodule_search_locations
    if file is None:  # a package without __init__.py lies in folders, what is built in nowhere
        return all(_is_installed(Path(folder)) for folder in folders or ())
    return _is_installed(Path(file))


def _is_installed(file: Path) -> bool:
    """Below a folder of packages: of this environment, the user, the system, or one added by a path."""
    is_packaged = not {"site-packages", "dist-packages"}.isdisjoint(file.parts)
    return is_packaged or any(file.is_relative_to(root) for root in _installed())


@cache
def _installed() -> tuple[Path, ...]:
    paths = sysconfig.get_paths()
    known = [paths[name] for name in ("purelib", "platlib", "stdlib", "platstdlib")]
    return tuple(Path(one) for one in (*known, *site.getsitepackages(), site.getusersitepackages()))


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
            if not isinstance(inner, types.FunctionType | type):
                inner = getattr(inner, "__wrapped__", inner)  # functools.lru_cache
            if isinstance(inner, types.FunctionType) and not is_generated(inner):
                yield inner


def is_generated(function: types.FunctionType) -> bool:
    """Whether it is a method that ``dataclass`` or ``NamedTuple`` wrote."""
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
