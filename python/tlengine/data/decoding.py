"""Bytes of a table on disk become lines of text."""

from __future__ import annotations

import gzip
import warnings
import zlib
from pathlib import Path

from tlengine.errors import DatasetError, EmptyInputError, TlengineWarning

__all__ = ["read_lines"]

_MARKS = {
    b"\xef\xbb\xbf": "utf-8",
    b"\xff\xfe\x00\x00": "utf-32-le",
    b"\x00\x00\xfe\xff": "utf-32-be",
    b"\xff\xfe": "utf-16-le",
    b"\xfe\xff": "utf-16-be",
}
"""Byte-order marks; the longer ones come first, because they begin like shorter ones."""


def read_lines(path: Path) -> list[str]:
    r"""The lines of a text file without ``\n``; UTF-8, or UTF-16 and UTF-32 with a byte-order mark.

    Lines end at ``\n`` alone (a file without any: at ``\r``), never at other characters that Unicode
    counts as line ends.

    Raises:
        EmptyInputError: the file is empty.
        DatasetError: broken gzip data, another encoding, NUL characters; the message has the line.
    """
    raw = _bytes(path)
    if not raw:
        raise EmptyInputError(f"{path}: the file is empty", hint="it needs a header and rows")
    mark = next((mark for mark in _MARKS if raw.startswith(mark)), b"")
    if mark == b"\xef\xbb\xbf":
        warnings.warn(f"{path}: 1 byte-order mark skipped", TlengineWarning, stacklevel=4)
    encoding = _MARKS.get(mark, "utf-8")
    if encoding == "utf-8":
        _refuse_nul(path, raw)
    text = _decoded(path, raw[len(mark) :], encoding)
    if "\n" not in text:
        text = text.replace("\r", "\n")
    return text.split("\n")


def _bytes(path: Path) -> bytes:
    try:
        if path.suffix.lower() == ".gz":
            with gzip.open(path, "rb") as file:
                return file.read()
        return path.read_bytes()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DatasetError(f"{path}: broken gzip data ({error})", hint="fetch the file again") from None
    except OSError as error:
        raise DatasetError(
            f"{path}: cannot be read ({error.strerror or error})", hint="check the path and its permissions"
        ) from None


def _refuse_nul(path: Path, raw: bytes) -> None:
    at = raw.find(b"\0")
    if at < 0:
        return
    hint = "save the table as UTF-8 text"
    if len(raw) > 3 and 0 in raw[:2]:
        hint = _recode(path, "UTF-16LE" if raw[1] == 0 else "UTF-16BE")
    line, at = raw.count(b"\n", 0, at) + 1, at - raw.rfind(b"\n", 0, at) - 1
    raise DatasetError(f"{path}, line {line}: a NUL byte at {at}: this is not text", hint=hint)


def _decoded(path: Path, raw: bytes, encoding: str) -> str:
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        at = error.start - raw.rfind(b"\n", 0, error.start) - 1
        # 0x80 to 0x9f are controls in Latin-1, and quotes, dashes and the euro in Windows' code page.
        windows = any(0x80 <= byte <= 0x9F for byte in raw[:1_000_000])
        raise DatasetError(
            f"{path}, line {line}: byte {raw[error.start]:#04x} at {at} is not {encoding.upper()}",
            hint=_recode(path, "WINDOWS-1252" if windows else "LATIN1"),
        ) from None


def _recode(path: Path, encoding: str) -> str:
    unpack = f"gunzip -c {path.name} | " if path.suffix.lower() == ".gz" else ""
    source = "" if unpack else f" {path.name}"
    target = f"utf8-{path.name.removesuffix('.gz')}"
    return f"if it is {encoding}, convert it: {unpack}iconv -f {encoding} -t UTF-8{source} > {target}"
