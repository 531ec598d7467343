"""The finished jobs of a grid, kept in a file so that an interrupted run goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np

from tlengine.documents import plain
from tlengine.probes.grid_jobs import Key
from tlengine.probes.grid_notes import Note
from tlengine.probes.grid_records import Finished, Record, Said
from tlengine.probes.grid_said import SaidFolder
from tlengine.probes.record_file import append, checksum, open_records
from tlengine.probes.sparse import is_sparse

__all__ = ["Journal"]

_LAYOUT = 4


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
        self.notes: dict[Key, Note] = {}
        in_folder = predictions and path is not None
        self.said: dict[Key, Said] | SaidFolder = SaidFolder(f"{path}.predictions") if in_folder else {}
        self._file: IO[bytes] | None = None
        if path is None:
            return
        self._file = open_records(path, "grid", _LAYOUT, _digest(arrays, labels, [settings, predictions]))
        try:
            self._read(self._file)
        except BaseException:
            self.close()
            raise

    def _read(self, file: IO[bytes]) -> None:
        *lines, torn = file.read().split(b"\n")
        for line in lines:
            finished = _parsed(line)
            if finished and not (isinstance(self.said, SaidFolder) and finished.key not in self.said):
                self._remember(finished)
        file.truncate(file.tell() - len(torn))

    def add(self, finished: Sequence[Finished]) -> None:
        """Keeps jobs, in the file too."""
        for one in finished:
            if one.said is not None:
                self.said[one.key] = one.said
        if self._file is not None and not append(self._file, b"".join(map(_line, finished))):
            self._file = None
        for one in finished:
            self._remember(one)

    def _remember(self, finished: Finished) -> None:
        self.edges[finished.key] = finished.edge
        self.notes[finished.key] = finished.note
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


def _digest(arrays: Mapping[str, Any], labels: Mapping[str, Any], settings: Any) -> str:
    digest = hashlib.blake2b(json.dumps(plain(settings)).encode(), digest_size=16)
    for name, array in (*sorted(arrays.items(), key=_name), *sorted(labels.items(), key=_name)):
        digest.update(f"\0{name}\0{array.dtype.str}{array.shape}".encode())
        for part in (array.data, array.indices, array.indptr) if is_sparse(array) else (array,):
            digest.update(np.ascontiguousarray(part).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _name(item: tuple[str, Any]) -> str:
    return item[0]


def _line(finished: Finished) -> bytes:
    body = json.dumps([finished.key, finished.records, finished.edge, finished.note])
    return json.dumps([checksum(body.encode()), json.loads(body)]).encode() + b"\n"


def _parsed(line: bytes) -> Finished | None:
    """The job of a line, or None where it is not what was written."""
    try:
        told, (key, records, edge, note) = json.loads(line)
        whole = told == checksum(json.dumps([key, records, edge, note]).encode())
        return Finished(Key(*key), records, edge=edge, note=note) if whole else None
    except (ValueError, TypeError):
        return None
