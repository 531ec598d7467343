"""The finished jobs of a grid, kept in a file so that an interrupted run goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np

from tlengine import __version__
from tlengine.documents import lock_file, plain
from tlengine.errors import InputError, RunFormatError
from tlengine.probes.grid_jobs import Key
from tlengine.probes.grid_records import Finished, Record, Said
from tlengine.probes.grid_said import SaidFolder

__all__ = ["Journal"]

_FORMAT, _LAYOUT = "tlengine-grid", 2


class Journal:
    """Finished jobs, kept in a JSON-lines file if there is one, by one writer at a time.

    The first line says which version wrote the file, and digests data and settings: another version may
    solve otherwise. Every other line carries a digest of its own: one that is torn or damaged is left out,
    and its job is run again. Predictions are files in ``FILE.predictions``, each written before its job's
    line; a job whose file is missing or damaged is run again.

    Args:
        path: the file, or None.
        arrays, labels: the data, by name.
        settings: all else that records depend on, in JSON's types.
        predictions: whether jobs come with what their probes say.

    Raises:
        InputError: another process writes to the file, or it cannot be opened.
        RunFormatError: it belongs to another version, other data or other settings.
    """

    def __init__(
        self,
        path: str | Path | None,
        arrays: Mapping[str, Any],
        labels: Mapping[str, Any],
        settings: Any,
        *,
        predictions: bool = False,
    ) -> None:
        self.records: dict[Key, list[Record]] = {}
        self.edges: dict[Key, int] = {}
        in_folder = predictions and path is not None
        self.said: dict[Key, Said] | SaidFolder = SaidFolder(f"{path}.predictions") if in_folder else {}
        self._file: IO[bytes] | None = None
        if path is None:
            return
        try:
            file = Path(path).open("ab+")  # noqa: SIM115 - open as long as this is
        except OSError as error:
            why = f"resume={str(path)!r} cannot be opened: {error.strerror}"
            raise InputError(why, hint="name a file in a folder that you may write to") from None
        lock_file(file, str(path), "file")
        self._file = file
        try:
            self._read(file, str(path), _header(arrays, labels, [settings, predictions]))
        except BaseException:
            self.close()
            raise

    def _read(self, file: IO[bytes], path: str, header: bytes) -> None:
        file.seek(0)
        *lines, torn = file.read().split(b"\n")
        if not lines and header.startswith(torn):  # empty, or cut off in the first line
            file.truncate(0)
            file.write(header + b"\n")
            file.flush()
            return
        first = lines[0] if lines else torn
        if first != header:
            raise _foreign(path, first)
        for line in lines[1:]:
            finished = _parsed(line)
            if finished and not (isinstance(self.said, SaidFolder) and finished.key not in self.said):
                self._remember(finished)
        file.truncate(file.tell() - len(torn))

    def add(self, finished: Sequence[Finished]) -> None:
        """Keeps jobs, in the file too."""
        for one in finished:
            if one.said is not None:
                self.said[one.key] = one.said
        if self._file is not None:
            self._file.write(b"".join(map(_line, finished)))
            self._file.flush()
        for one in finished:
            self._remember(one)

    def _remember(self, finished: Finished) -> None:
        self.edges[finished.key] = finished.edge
        self.records[finished.key] = finished.records

    def close(self) -> None:
        """Lets others write."""
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _header(arrays: Mapping[str, Any], labels: Mapping[str, Any], settings: Any) -> bytes:
    digest = hashlib.blake2b(json.dumps(plain(settings)).encode(), digest_size=16)
    for name, array in (*sorted(arrays.items(), key=_name), *sorted(labels.items(), key=_name)):
        digest.update(f"\0{name}\0{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    told = {"format": _FORMAT, "layout": _LAYOUT, "version": __version__, "digest": digest.hexdigest()}
    return json.dumps(told).encode()


def _name(item: tuple[str, Any]) -> str:
    return item[0]


def _foreign(path: str, header: bytes) -> RunFormatError:
    hint = "name another file, or delete this one"
    try:
        told = json.loads(header)
        version, layout = told["version"], told.get("layout")
    except (ValueError, LookupError, TypeError):
        return RunFormatError(f"{path} is no grid that this version of tlengine wrote", hint=hint)
    if version != __version__:
        why = f"{path} was written by tlengine {version}, which may solve otherwise; this is {__version__}"
        return RunFormatError(why, hint=hint)
    if layout != _LAYOUT:
        return RunFormatError(f"{path} is of an older build, whose records are others", hint=hint)
    return RunFormatError(f"{path} belongs to other data or settings", hint=hint)


def _line(finished: Finished) -> bytes:
    body = json.dumps([finished.key, finished.records, finished.edge])
    return json.dumps([_sum(body), json.loads(body)]).encode() + b"\n"


def _parsed(line: bytes) -> Finished | None:
    """The job of a line, or None where it is not what was written."""
    try:
        told, (key, records, edge) = json.loads(line)
        whole = told == _sum(json.dumps([key, records, edge]))
        return Finished(Key(*key), records, edge=edge) if whole else None
    except (ValueError, TypeError):
        return None


def _sum(body: str) -> str:
    return hashlib.blake2b(body.encode(), digest_size=16).hexdigest()
