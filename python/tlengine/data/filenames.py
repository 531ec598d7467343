r"""Names of files as text: what is not UTF-8 is escaped so that it can be written, and read back.

Linux file names are bytes. Python keeps a byte that is not UTF-8 as half a character (a surrogate), which
no JSON, CSV, HTML or ``.npz`` reader takes. As text it stands as ``\xe9``, as Python writes bytes.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["as_name", "as_text", "inert", "shown", "writable"]

_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPE = re.compile(r"\\(?:\\|x([89a-f][0-9a-f])|u(d[89a-f][0-9a-f]{2}))")
_LOOKS_ESCAPED = re.compile(r"\\(?:x[89a-f][0-9a-f]|ud[89a-f][0-9a-f]{2})")
_ACTING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters (ANSI escapes among them), and marks that turn the direction of a line."""

_UNSAFE = re.compile(f"{_ACTING.pattern}|[\t\n\u2028\u2029]")


def as_text(name: str) -> str:
    r"""A file name as text; :func:`as_name` gives it back. Names in UTF-8 stay as they are.

    Only a name that holds other bytes, or that looks as if it had been escaped, changes: the bytes become
    ``\xe9`` and a backslash ``\\``.

    >>> as_text("caf\udce9.jpg"), as_text("café.jpg"), as_text("a\\b.jpg")
    ('caf\\xe9.jpg', 'café.jpg', 'a\\b.jpg')
    """
    if _SURROGATE.search(name) is None and _LOOKS_ESCAPED.search(name) is None:
        return name
    return _SURROGATE.sub(_escaped, name.replace("\\", "\\\\"))


def as_name(text: str) -> str:
    r"""The file name that :func:`as_text` wrote as ``text``; ``os.fsencode`` of it are its bytes.

    >>> as_name("caf\\xe9.jpg") == "caf\udce9.jpg"
    True
    """
    if _LOOKS_ESCAPED.search(text) is None:
        return text
    return _ESCAPE.sub(_unescaped, text)


def shown(text: Any) -> str:
    r"""``text`` for one line of a terminal: no control character, line end or turn of direction acts.

    >>> shown("a\x1b[31m\n")
    'a\\x1b[31m\\n'
    """
    return _UNSAFE.sub(_escaped, str(text))


def inert(text: str) -> str:
    r"""``text`` of several lines, for a terminal or a page: as :func:`shown`, but lines may end.

    >>> inert("a\x1b[2J\nb")
    'a\\x1b[2J\nb'
    """
    return _ACTING.sub(_escaped, text)


def writable(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
    r"""``column``, its strings as text where one of them holds half a character; else the same array.

    >>> writable(np.array(["a", "b\udcff"])).tolist()
    ['a', 'b\\xff']
    """
    if column.dtype.kind != "U" or not column.size:
        return column
    codes = np.ascontiguousarray(column, dtype=column.dtype.newbyteorder("=")).view(np.uint32)
    if not ((codes >= 0xD800) & (codes <= 0xDFFF)).any():
        return column
    return np.array([as_text(name) if _SURROGATE.search(name) else name for name in column.tolist()])


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return found[0].encode("unicode_escape").decode("ascii")


def _unescaped(found: re.Match[str]) -> str:
    byte, half = found.groups()
    if byte:
        return chr(0xDC00 + int(byte, 16))
    return chr(int(half, 16)) if half else "\\"
