"""The settings of an object, told from its state: what its constructor was given."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable
from typing import Any

__all__ = ["plain_setting", "settings_of"]


def settings_of(part: object) -> dict[str, Any]:
    """The plain attributes of an object that bear the name of an argument of its constructor.

    Such an attribute is a setting; others may be counters or results, which change as the object is used.

    >>> from torch import nn
    >>> settings_of(nn.AvgPool2d(2, ceil_mode=True))["ceil_mode"]
    True
    """
    names = {name for kind in type(part).__mro__ for name in _arguments(kind)} - {"self", "device"}
    found = {name: plain_setting(vars(part)[name]) for name in sorted(names & vars(part).keys())}
    return {name: value for name, value in found.items() if value is not None}


def _arguments(kind: type) -> Iterable[str]:
    if "__init__" not in vars(kind) or kind is object:
        return ()
    try:
        return inspect.signature(vars(kind)["__init__"]).parameters
    except (TypeError, ValueError):
        return ()


def plain_setting(value: Any) -> Any:
    """A plain value as JSON; functions and types by name; None for what is none of these."""
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if isinstance(value, bool | int | str):
        return value
    if isinstance(value, list | tuple):
        return [plain_setting(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain_setting(item) for key, item in value.items()}
    name = getattr(value, "__qualname__", None)
    if isinstance(name, str):
        return f"{getattr(value, '__module__', '')}.{name}"
    return repr(value) if type(value).__module__ == "torch" and type(value).__name__ == "dtype" else None
