"""Single values as other packages hand them over: which are missing, and what they are in plain Python."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from enum import Enum
from typing import Any

import numpy as np

from tlengine.data.names import is_blank

__all__ = ["as_text", "is_missing", "is_nothing", "listed", "plain", "short"]

_MISSING_TYPES = ("NAType", "NaTType", "MaskedConstant")
"""pandas' NA and NaT, NumPy's masked: known by name, so that pandas need not be there."""

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = 60
_repr.maxlist = _repr.maxtuple = _repr.maxset = _repr.maxfrozenset = 4


def is_missing(value: Any) -> bool:
    """Whether a cell holds nothing: None, NaN, NaT, NA, masked, or a text of blanks alone.

    >>> [is_missing(v) for v in (None, float("nan"), "  ", "nan", 0, [])]
    [True, True, True, False, False, False]
    """
    if isinstance(value, str):
        return is_blank(value)
    if value is None or type(value).__name__ in _MISSING_TYPES:
        return True
    try:
        return bool(value != value)
    except (TypeError, ValueError, ArithmeticError, RuntimeError):
        return False


def is_nothing(value: Any) -> bool:
    """Whether there is no sample: None, NaN, NA. A blank text is one.

    >>> [is_nothing(v) for v in (None, float("nan"), "", 0)]
    [True, True, False, False]
    """
    return value is None or type(value).__name__ == "NAType" or (isinstance(value, float) and value != value)


def plain(value: Any) -> Any:
    """Scalars of NumPy and of tensors as Python's own, UTF-8 bytes as text.

    A member of an enumeration is its text or number where it is one, else its name; everything else is as
    it is.

    >>> plain(np.int64(3)), plain(b"cat"), plain(np.array(2.5))
    (3, 'cat', 2.5)
    """
    if isinstance(value, str) and type(value) is str:
        return value
    if isinstance(value, Enum):
        return value.value if isinstance(value, str | int | float) else value.name
    if isinstance(value, np.datetime64 | np.timedelta64):
        return value
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        value = value.item()
    if isinstance(value, bytes | bytearray | memoryview):
        try:
            return bytes(value).decode("utf-8")
        except UnicodeDecodeError:
            return bytes(value)
    return str(value) if isinstance(value, str) else value


def as_text(value: Any) -> str:
    """A name for ``value``: equal numbers have one name.

    >>> as_text(3.0), as_text(3), as_text("p1")
    ('3', '3', 'p1')
    """
    value = plain(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)


def short(value: Any) -> str:
    """``repr`` for a message: a huge cell stays one line.

    >>> len(short("x" * 10_000)) < 80
    True
    """
    return _repr.repr(value).replace("\n", " ")


def listed(names: Sequence[Any], most: int = 12) -> str:
    """Names for a message; of many the first ones and the count.

    >>> listed(["id", "text"]), listed([str(i) for i in range(20_000)], 3)
    ('id, text', '0, 1, 2, ... (20000 in all)')
    """
    head = ", ".join(name if len(name) <= 60 else name[:57] + "..." for name in map(str, names[:most]))
    return head if len(names) <= most else f"{head}, ... ({len(names)} in all)"
