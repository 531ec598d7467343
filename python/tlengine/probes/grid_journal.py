"""The finished records of a grid, kept in a file so that an interrupted run goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tlengine.errors import RunFormatError

__all__ = ["Finished", "Journal", "Record"]

Record = dict[str, Any]
Finished = tuple[tuple[Any, ...], list[Record]]
"""The key of a job and its records."""


class Journal:
    """Finished records by job, kept in a JSON-lines file if there is one."""

    def __init__(
        self, path: str | Path | None, arrays: Mapping[str, Any], labels: Mapping[str, Any], settings: Any
    ) -> None:
        self.path = None if path is None else Path(path)
        self.records: dict[tuple[Any, ...], list[Record]] = {}
        if self.path is None:
            return
        digest = hashlib.blake2b(json.dumps(settings).encode(), digest_size=16)
        for name, array in sorted((*arrays.items(), *labels.items())):
            digest.update(f"\0{name}\0{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        header = json.dumps({"format": "tlengine-grid", "digest": digest.hexdigest()})
        if not self.path.exists() or not self.path.stat().st_size:
            self.path.write_text(header + "\n", encoding="utf-8")
        self._read(self.path, header)

    def _read(self, path: Path, header: str) -> None:
        first, *lines = path.read_text(encoding="utf-8").split("\n")
        if first != header:
            raise RunFormatError(
                f"{path} belongs to other data or settings", hint="name another file, or delete this one"
            )
        whole = len(first) + 1
        for line in lines[:-1]:
            key, records = json.loads(line)
            self.records[tuple(key)] = records
            whole += len(line.encode()) + 1
        # A line that was cut off by a crash has no newline: it is computed again.
        with path.open("r+b") as file:
            file.truncate(whole)

    def add(self, finished: Sequence[Finished]) -> None:
        """Keeps records, in the file too."""
        self.records.update(finished)
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps([key, records]) + "\n" for key, records in finished)
