"""A file of records that a later call takes up: a line that says whose they are, then the records."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from tlengine import __version__
from tlengine.documents import lock_file
from tlengine.errors import InputError, RunFormatError, TlengineWarning
from tlengine.probes.said import users_level

__all__ = ["append", "checksum", "open_records"]


def open_records(path: str | Path, kind: str, layout: int, digest: str) -> IO[bytes]:
    """The file, at the first of its records, for this process alone until it is closed.

    One that is missing, empty or cut off in its first line begins anew. What is written comes at its end.

    Args:
        path: of the file.
        kind: what it holds, such as ``"grid"``.
        layout: of the records, a number that goes up where they change.
        digest: of all that the records depend on, but tlengine's version.

    Raises:
        InputError: another process writes to the file, or it cannot be opened.
        RunFormatError: it is of another kind, version, layout or digest.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, open_records(f"{folder}/a", "grid", 1, "ab") as file:
    ...     file.read()
    b''
    """
    try:
        file = Path(path).open("ab+")  # noqa: SIM115 - the caller closes it
    except OSError as error:
        why = f"resume={str(path)!r} cannot be opened: {error.strerror}"
        raise InputError(why, hint="name a file in a folder that you may write to") from None
    told = {"format": f"tlengine-{kind}", "layout": layout, "version": __version__, "digest": digest}
    try:
        lock_file(file, str(path), "file")
        _begin(file, str(path), kind, told)
    except BaseException:
        file.close()
        raise
    return file


def append(file: IO[bytes], data: bytes) -> bool:
    """Whether a record is in the file. Where not (a full disk), the file is closed, without a part of it.

    A warning says so: what is being solved is worth more than its copy.
    """
    whole = file.seek(0, os.SEEK_END)
    try:
        file.write(data)
        file.flush()
    except OSError as error:
        with contextlib.suppress(OSError):  # it tries once more to write what is in its buffer
            file.close()
        with contextlib.suppress(OSError):
            os.truncate(file.name, whole)
        note = f"{file.name} cannot be written to ({error.strerror}): what is solved from here on is not kept"
        warnings.warn(
            f"{note}; make room, then a later call takes up the rest", TlengineWarning, users_level()
        )
        return False
    return True


def checksum(*parts: bytes) -> str:
    """Of a record, whose parts follow each other at places that it tells itself.

    >>> len(checksum(b"a")), checksum(b"a", b"b") == checksum(b"ab")
    (32, True)
    """
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _begin(file: IO[bytes], path: str, kind: str, told: Mapping[str, Any]) -> None:
    header = json.dumps(told).encode() + b"\n"
    file.seek(0)
    first = file.readline()
    if not first.endswith(b"\n") and header.startswith(first):
        file.truncate(0)
        file.write(header)
        file.flush()
    elif first != header:
        raise _foreign(path, kind, first, told)


def _foreign(path: str, kind: str, header: bytes, told: Mapping[str, Any]) -> RunFormatError:
    """Why a file with this header is not taken up."""
    hint = "name another file, or delete this one"
    if kind == "path":
        hint += "; a folder holds a file for each problem"
    try:
        found = json.loads(header)
        is_known, version = found["format"] == told["format"], found["version"]
    except (ValueError, LookupError, TypeError):
        is_known = False
    if not is_known:
        return RunFormatError(f"{path} holds no {kind} that this version of tlengine wrote", hint=hint)
    if version != __version__:
        why = f"{path} was written by tlengine {version}, which may solve otherwise; this is {__version__}"
        return RunFormatError(why, hint=hint)
    if found.get("layout") != told["layout"]:
        return RunFormatError(f"{path} is of an older build, whose records are others", hint=hint)
    return RunFormatError(f"{path} belongs to other data or settings", hint=hint)
