"""The settings of an object, told from its state: what its constructor was given."""

from __future__ import annotations

import argparse
import dataclasses
import enum
import functools
import hashlib
import inspect
import math
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tlengine.features.libraries import settings_told

__all__ = ["plain_setting", "settings_of"]


def settings_of(part: object) -> dict[str, Any]:
    """The plain attributes of an object that bear the name of an argument of its constructor.

    Such an attribute is a setting; others may be counters or results, which change as the object is used.

    >>> from torch import nn
    >>> settings_of(nn.AvgPool2d(2, ceil_mode=True))["ceil_mode"]
    True
    """
    found = {name: plain_setting(value, (id(part),)) for name, value in _given(part).items()}
    return {name: value for name, value in found.items() if value is not None}


def _given(part: object) -> dict[str, Any]:
    names = {name for kind in type(part).__mro__ for name in _arguments(kind)} - {"self", "device"}
    held = getattr(part, "__dict__", {})
    return {name: held[name] for name in sorted(names & held.keys())}


def _arguments(kind: type) -> Iterable[str]:
    if "__init__" not in vars(kind) or kind is object:
        return ()
    try:
        return inspect.signature(vars(kind)["__init__"]).parameters
    except (TypeError, ValueError):
        return ()


def plain_setting(value: Any, above: tuple[int, ...] = ()) -> Any:
    """A setting as JSON: plain values and what holds them, by content; code that has a name, by its name.

    Partials enter by function and arguments, lambdas and local functions by their code and what they close
    over, tensors by digest, configurations by ``to_dict()`` or by what their constructor was given. None is
    what says nothing: a network, whose parts are described elsewhere, or an object inside itself.
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if value is None or isinstance(value, bool | int | str):
        return value
    if id(value) in above:
        return None
    inner = functools.partial(plain_setting, above=(*above, id(value)))
    if isinstance(value, enum.Enum):
        return f"{type(value).__qualname__}.{value.name}"
    if isinstance(value, list | tuple | set | frozenset):
        told = [inner(item) for item in value]
        return told if isinstance(value, list | tuple) else sorted(told, key=repr)
    if isinstance(value, Mapping):
        return {str(key): inner(item) for key, item in value.items()}
    if isinstance(value, functools.partial):
        return ["partial", inner(value.func), inner(value.args), inner(value.keywords)]
    if isinstance(value, types.FunctionType) and not value.__qualname__.isidentifier():
        return _local_function(value, inner)
    name = getattr(value, "__qualname__", None)
    if isinstance(name, str):
        return f"{getattr(value, '__module__', '')}.{name}"
    return _object(value, inner)


def _local_function(function: types.FunctionType, inner: Callable[[Any], Any]) -> Any:
    """A lambda or a function inside another one; a method has a name of its own."""
    name = f"{function.__module__}.{function.__qualname__}"
    if "<" not in name:
        return name
    cells = [_content(cell) for cell in function.__closure__ or ()]
    told = [_code(function.__code__), inner(function.__defaults__), inner(function.__kwdefaults__)]
    return [name, *told, [inner(cell) for cell in cells]]


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not yet bound
        return None


def _code(code: types.CodeType) -> list[Any]:
    """What a code does, without the lines and files that it stands in."""
    return [code.co_code.hex(), [_constant(one) for one in code.co_consts], list(code.co_names)]


def _constant(value: Any) -> Any:
    if isinstance(value, types.CodeType):
        return _code(value)
    return sorted(map(repr, value)) if isinstance(value, frozenset) else repr(value)


def _object(value: Any, inner: Callable[[Any], Any]) -> Any:
    modules = {base.__module__.partition(".")[0] for base in type(value).__mro__}
    if "torch" in modules and hasattr(value, "detach"):
        from tlengine.features.weights import tensor_digest

        return ["tensor", tensor_digest(value)]
    if "torch" in modules:
        return repr(value) if type(value).__name__ == "dtype" else None
    if "numpy" in modules and hasattr(value, "dtype"):
        return inner(value.item()) if not value.shape else [str(value.dtype), *_array(value)]
    if (told := settings_told(value)) is not None:
        return inner(told)
    if dataclasses.is_dataclass(value):
        named = {one.name: getattr(value, one.name, None) for one in dataclasses.fields(value)}
        return [type(value).__qualname__, inner(named)]
    if isinstance(value, types.SimpleNamespace | argparse.Namespace):
        return inner(vars(value))
    named = {name: inner(item) for name, item in _given(value).items()}
    return [type(value).__qualname__, named] if named else None


def _array(value: Any) -> tuple[list[int], str]:
    return list(value.shape), hashlib.sha256(repr(value.tolist()).encode()).hexdigest()
