"""What the probes of a grid say of their test rows, a file for each job in a folder."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import IO

import numpy as np

from tlengine.documents import replace_file
from tlengine.errors import RunFormatError
from tlengine.probes.grid_jobs import Key
from tlengine.probes.grid_records import Said

__all__ = ["SaidFolder"]


class SaidFolder(MutableMapping[Key, Said]):
    """:class:`Said` by job, each in a ``.npz`` of its own, whole or not there; read when asked for.

    Args:
        folder: made with the first file.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)

    def _path(self, key: Key) -> Path:
        name = hashlib.blake2b(json.dumps(list(key)).encode(), digest_size=16).hexdigest()
        return self._folder / f"{name}.npz"

    def __setitem__(self, key: Key, said: Said) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)

        def write(file: IO[bytes]) -> None:
            np.savez(file, rows=said.rows, values=said.values, kind=np.array(said.kind))

        replace_file(self._path(key), write, durable=False)

    def __getitem__(self, key: Key) -> Said:
        path = self._path(key)
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
                return Said(found["rows"], found["values"], str(found["kind"]))  # type: ignore[arg-type]
        except (OSError, ValueError, LookupError, EOFError, zipfile.BadZipFile) as error:
            raise RunFormatError(
                f"{path} is missing or damaged: {error}", hint="call probe_grid again: it runs that job anew"
            ) from None

    def __contains__(self, key: object) -> bool:
        try:
            return isinstance(key, Key) and bool(self[key])
        except RunFormatError:
            return False

    def __delitem__(self, key: Key) -> None:
        self._path(key).unlink()

    def __iter__(self) -> Iterator[Key]:
        raise TypeError("files are named by digests of their jobs")

    def __len__(self) -> int:
        return len(list(self._folder.glob("*.npz")))
