"""A table of the cache as a file that other programs read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tlengine.documents import replace_file
from tlengine.errors import CacheCorruptionError, InputError, MissingPackageError
from tlengine.features.cache.keys import canonical_json
from tlengine.settings import num_threads

if TYPE_CHECKING:
    from tlengine._core import TableHandle
    from tlengine.features.cache.maintenance import TableInfo

__all__ = ["export"]

_ROWS = 4096

Write = Callable[["TableHandle", "TableInfo", npt.NDArray[np.uint8], IO[bytes]], None]


def export(table: TableHandle, info: TableInfo, path: Path) -> int:
    """Write the rows that readers of ``table`` get, and their keys; returns how many.

    Raises:
        InputError: a suffix other than ``.safetensors``, ``.npy`` and ``.parquet``.
        CacheCorruptionError: a row is damaged; ``tlengine cache repair`` drops it.
    """
    writers: dict[str, Write] = {".safetensors": _safetensors, ".npy": _npy, ".parquet": _parquet}
    write = writers.get(path.suffix)
    if write is None:
        raise InputError(f"{path}: cannot export to {path.suffix!r}", hint=f"use {', '.join(writers)}")
    keys = table.live_keys()
    if write is _npy:
        replace_file(path.with_suffix(".keys.npy"), lambda file: np.lib.format.write_array(file, keys))
    replace_file(path, lambda file: write(table, info, keys, file))
    return len(keys)


def _blocks(table: TableHandle, keys: npt.NDArray[np.uint8]) -> Iterator[npt.NDArray[np.float32]]:
    for start in range(0, len(keys), _ROWS):
        part = np.ascontiguousarray(keys[start : start + _ROWS])
        X, hit = np.empty((len(part), table.dim), np.float32), np.zeros(len(part), np.bool_)
        damaged = table.get(part, X, hit, num_threads())
        if not hit.all():
            raise CacheCorruptionError(
                f"{int((~hit).sum())} rows are not what was written",
                hint="run 'tlengine cache repair' first, which drops them",
                rows=damaged,
            )
        yield X


def _safetensors(table: TableHandle, info: TableInfo, keys: npt.NDArray[np.uint8], file: IO[bytes]) -> None:
    rows = len(keys) * table.dim * 4
    header = {
        "__metadata__": {"recipe": canonical_json(info.recipe).decode(), "table": info.name},
        "embeddings": {"dtype": "F32", "shape": [len(keys), table.dim], "data_offsets": [0, rows]},
        "keys": {"dtype": "U8", "shape": [len(keys), 32], "data_offsets": [rows, rows + keys.nbytes]},
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)
    for block in _blocks(table, keys):
        file.write(block.tobytes())
    file.write(keys.tobytes())


def _npy(table: TableHandle, info: TableInfo, keys: npt.NDArray[np.uint8], file: IO[bytes]) -> None:
    header = {"descr": "<f4", "fortran_order": False, "shape": (len(keys), table.dim)}
    np.lib.format.write_array_header_1_0(file, header)
    for block in _blocks(table, keys):
        file.write(block.tobytes())


def _parquet(table: TableHandle, info: TableInfo, keys: npt.NDArray[np.uint8], file: IO[bytes]) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingPackageError("pyarrow is not installed", hint="pip install pyarrow") from None
    schema = pa.schema(
        [("key", pa.binary(32)), ("embedding", pa.list_(pa.float32(), table.dim))],
        metadata={"recipe": canonical_json(info.recipe), "table": info.name},
    )
    with pq.ParquetWriter(file, schema) as writer:
        start = 0
        for block in _blocks(table, keys):
            part = keys[start : start + len(block)]
            names = pa.FixedSizeBinaryArray.from_buffers(
                pa.binary(32), len(part), [None, pa.py_buffer(part.tobytes())]
            )
            rows = pa.FixedSizeListArray.from_arrays(pa.array(block.reshape(-1)), table.dim)
            writer.write_table(pa.Table.from_arrays([names, rows], schema=schema))
            start += len(block)
