"""Code as it was compiled, told without addresses, file names and line numbers."""

from __future__ import annotations

import dis
import sys
import types
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from typing import Any

from tlengine.features.code import codes_of, is_generated, is_library, methods, references
from tlengine.features.filled import filled_by, value_at_first

__all__ = ["Fills", "code_told", "imported", "library_version", "members"]


def code_told(code: types.CodeType) -> list[Any]:
    """A piece of code as JSON, with the functions and comprehensions inside it.

    >>> one, other = (compile(f"x ** {k}", "f", "eval") for k in (2, 3))
    >>> code_told(one) == code_told(one), code_told(one) == code_told(other)
    (True, False)
    """
    arguments = [code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags]
    names = [code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars]
    steps = [code.co_code.hex(), code.co_exceptiontable.hex()]
    return [code.co_name, arguments, names, steps, [_constant(value) for value in code.co_consts]]


def _constant(value: Any) -> Any:
    if isinstance(value, types.CodeType):
        return code_told(value)
    if isinstance(value, tuple):
        return [_constant(item) for item in value]
    if isinstance(value, frozenset):  # its order is another one in each process
        return {"set": sorted(repr(_constant(item)) for item in value)}
    return repr(value)


def imported(function: types.FunctionType) -> Iterator[str]:
    """The modules that code inside a function imports by their full name."""
    for code in codes_of(function.__code__):
        for step in dis.get_instructions(code):
            if step.opname == "IMPORT_NAME" and step.argval:
                yield step.argval


_OF_ABC = {"_abc_impl", "__subclasshook__", "__annotate__", "__annotate_func__"}
_WRAPPERS = (types.FunctionType, classmethod, staticmethod, property)
_SLOTS = (types.MemberDescriptorType, types.GetSetDescriptorType)


def members(kind: type) -> dict[str, Any]:
    """What a class itself defines, without what Python, ``pickle`` and ``dataclass`` write into it.

    >>> class Few:
    ...     k = 3
    >>> members(Few)
    {'k': 3}
    """
    return {
        name: value
        for name, value in vars(kind).items()
        if name not in _OF_ABC
        and not isinstance(value, _SLOTS)
        and not (name.startswith("__") and name.endswith("__") and not isinstance(value, _WRAPPERS))
        and not (isinstance(value, types.FunctionType) and is_generated(value))
    }


class Fills:
    """The globals that code fills, such as ``_MODEL = None`` and a memo: what they hold is no setting.

    Args:
        home: the module of the plugin; see :func:`~tlengine.features.code.is_library`.
    """

    def __init__(self, home: str) -> None:
        self.home = home
        self._filled: set[tuple[str, str]] = set()
        self._entered: set[types.FunctionType] = set()

    def add(self, code: types.FunctionType | type) -> None:
        """Look at a function or the methods of a class, and at all of their helpers."""
        functions = methods(code) if isinstance(code, type) else [code]
        for function in functions:
            if function in self._entered or is_library(function, self.home):
                continue
            self._entered.add(function)
            self._filled |= filled_by(function)
            for value in references(function).values.values():
                inner = getattr(value, "__wrapped__", value)
                if isinstance(inner, types.FunctionType | type):
                    self.add(inner)

    def first(self, module: str, name: str) -> list[str] | None:
        """What the module assigns to a global that code fills, as source; None for one that none fills."""
        return value_at_first(module, name) if (module, name) in self._filled else None


@cache
def library_version(package: str) -> str | None:
    """The version of the installed distribution that brings a package; None for the standard library.

    >>> library_version("numpy") == __import__("numpy").__version__, library_version("json")
    (True, None)
    """
    if package in sys.stdlib_module_names or package in ("tlengine", ""):
        return None
    try:
        return version({"sklearn": "scikit-learn"}.get(package, package))
    except PackageNotFoundError:
        found = _distributions().get(package, ())
        return ", ".join(f"{name} {version(name)}" for name in sorted(set(found))) or None


@cache
def _distributions() -> dict[str, Any]:
    return dict(packages_distributions())
