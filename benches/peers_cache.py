"""What people keep embeddings in today, each used as its manual says for durable writes."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lmdb
import numpy as np

__all__ = ["LMDB", "NumpyCache", "SQLite", "batches"]


def batches(n: int, size: int) -> Iterator[slice]:
    """``range(n)`` in pieces."""
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


class LMDB:
    """The key-value store of Caffe and many data sets: one synced transaction for each batch."""

    def __init__(self, path: Path) -> None:
        self.env = lmdb.open(str(path), map_size=8 << 30)

    def put(self, keys: list[bytes], X: np.ndarray[Any, Any]) -> None:
        with self.env.begin(write=True) as transaction:
            for key, row in zip(keys, X, strict=True):
                transaction.put(key, row.tobytes())

    def get(self, keys: list[bytes], dim: int) -> np.ndarray[Any, Any]:
        X = np.empty((len(keys), dim), np.float32)
        with self.env.begin(buffers=True) as transaction:
            for row, key in enumerate(keys):
                X[row] = np.frombuffer(transaction.get(key), np.float32)
        return X


class SQLite:
    """One table in WAL mode, every commit synced."""

    def __init__(self, path: Path) -> None:
        self.database = sqlite3.connect(path / "rows.db")
        self.database.execute("pragma journal_mode=wal")
        self.database.execute("pragma synchronous=full")
        self.database.execute(
            "create table if not exists rows (key blob primary key, row blob) without rowid"
        )

    def put(self, keys: list[bytes], X: np.ndarray[Any, Any]) -> None:
        rows = ((key, row.tobytes()) for key, row in zip(keys, X, strict=True))
        self.database.executemany("insert or ignore into rows values (?, ?)", rows)
        self.database.commit()


class NumpyCache:
    """The pattern of MTEB's wrapper: digests given, looked up in a JSON index, rows read one by one."""

    def __init__(self, path: Path, keys: list[bytes], X: np.ndarray[Any, Any]) -> None:
        np.save(path / "vectors.npy", X)
        index = {key.hex(): row for row, key in enumerate(keys)}
        (path / "index.json").write_text(json.dumps(index))
        self.index = json.loads((path / "index.json").read_text())
        self.vectors = np.load(path / "vectors.npy", mmap_mode="r")

    def get(self, names: list[str]) -> np.ndarray[Any, Any]:
        return np.stack([np.array(self.vectors[self.index[name]]) for name in names])
