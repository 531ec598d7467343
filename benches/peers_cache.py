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
    """The pattern of MTEB's cache: the steps of ``CachedEmbeddingWrapper.encode`` on a full ``NumpyCache``.

    Of its ``get_vector`` only the SHA-256 of the item is left out: both contenders are given digests.
    """

    def __init__(self, path: Path, keys: list[bytes], X: np.ndarray[Any, Any]) -> None:
        index = {key.hex(): row for row, key in enumerate(keys)}
        (path / "index.json").write_text(json.dumps(index, indent=2))
        loaded = json.loads((path / "index.json").read_text())
        self.hash_to_index = {str(name): int(row) for name, row in loaded.items()}
        self.vectors = np.memmap(path / "vectors.npy", "float32", "w+", shape=X.shape)
        self.vectors[:] = X
        self.vectors.flush()

    def get_vector(self, item_hash: str) -> np.ndarray[Any, Any] | None:
        if item_hash not in self.hash_to_index:
            return None
        return self.vectors[self.hash_to_index[item_hash]]

    def get(self, names: list[str]) -> np.ndarray[Any, Any]:
        cached = {}
        for position, name in enumerate(names):
            vector = self.get_vector(name)
            if vector is not None:
                cached[position] = vector
        return np.array([cached[position] for position in range(len(names))])
