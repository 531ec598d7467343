"""Rows of a frozen part in the embedding cache: a table for each number of tokens."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tlengine.errors import CacheFullError, CacheIOError, CacheReadOnlyError, CutRefused
from tlengine.features import EmbeddingCache
from tlengine.features.cache import Table

__all__ = ["PrefixTables", "byte_size", "refuse_more"]

_ADDED = 64
"""Bytes that the cache adds to a row, at most: key, checksum, padding."""

_LARGEST_ROW = 1 << 24

Digests = npt.NDArray[np.uint8]
Matrix = npt.NDArray[np.float32]


class PrefixTables:
    """The tables of one recipe.

    Args:
        cache: where they are; None has none, and keeps none.
        recipe: of all rows.
        dtype: how rows are stored.
        columns: the numbers of a row with so many tokens; 0 tokens where there are none.
        note: is told why rows are not kept any more.
    """

    def __init__(
        self,
        cache: EmbeddingCache | None,
        recipe: Mapping[str, Any],
        dtype: Literal["float32", "float16"],
        columns: Callable[[int], int],
        note: Callable[[str], None],
    ) -> None:
        self._cache, self._recipe, self._dtype = cache, recipe, dtype
        self._columns, self._note = columns, note
        self._tables: dict[int, Table] = {}
        self.keeps = cache is not None and not cache.read_only
        if cache is not None and not self.keeps:
            note(f"what the frozen part gives is not kept: the cache {cache.path} is read-only")

    def size(self, tokens: int) -> int:
        """Bytes on disk of one row."""
        return self._columns(tokens) * (4 if self._dtype == "float32" else 2) + _ADDED

    def reserve(self, needed: int, largest: int, limit: int | None) -> None:
        """Make sure that there is room for ``needed`` bytes, in rows of at most ``largest``.

        Raises:
            CutRefused: there is less.
        """
        assert self._cache is not None
        refuse_more(largest, _LARGEST_ROW, "in a row of the cache", "train from a later block on")
        if limit is not None:
            refuse_more(needed, limit, "on disk (max_disk)", "allow more, keep fp16, or use fewer views")
        free = shutil.disk_usage(self._cache.path).free
        refuse_more(needed, free, "on the disk of the cache", "free some space, or set TLENGINE_HOME")

    def keys(self, tokens: int) -> set[bytes]:
        """The digests of the rows that are there."""
        table = self._found(tokens)
        if table is None:
            return set()
        return {key.tobytes() for segment, *_ in table.segments() for key in table.keys(segment)}

    def read(self, tokens: int, digests: Digests) -> tuple[Matrix, npt.NDArray[np.bool_], float]:
        """The rows, which of them are there, and the seconds that one of them had cost."""
        table = self._found(tokens)
        if table is None:
            return np.empty((len(digests), 0), np.float32), np.zeros(len(digests), np.bool_), 0.0
        return *table.get(digests), table.seconds_per_row

    def put(self, tokens: int, digests: Digests, X: Matrix, seconds: float) -> None:
        """Keep rows; where that fails, this and all later ones are not kept, and a note says so."""
        if not self.keeps or self._cache is None:
            return
        try:
            if tokens not in self._tables:
                self._tables[tokens] = self._cache.table(self._named(tokens), **self._stored(tokens))
            self._tables[tokens].put(digests, X, seconds=seconds)
            self._tables[tokens].flush()
        except (CacheFullError, CacheIOError, CacheReadOnlyError) as error:
            self.keeps = False
            self._note(f"what the frozen part gives is not kept any more: {error.message}")

    def _found(self, tokens: int) -> Table | None:
        """The table, if there is one by now."""
        if tokens not in self._tables and self._cache is not None:
            found = self._cache.find(self._named(tokens), **self._stored(tokens))
            if found is not None:
                self._tables[tokens] = found
        return self._tables.get(tokens)

    def _named(self, tokens: int) -> dict[str, Any]:
        return {**self._recipe, "tokens": tokens, "stored": self._dtype}

    def _stored(self, tokens: int) -> Any:
        return {"dim": self._columns(tokens), "dtype": self._dtype}


def refuse_more(needed: int, limit: int, where: str, hint: str) -> None:
    """Raise ``CutRefused`` where more is needed than there is."""
    if needed > limit:
        raise CutRefused(
            f"what the frozen part gives takes {byte_size(needed)}, more than {byte_size(limit)} {where}",
            hint=hint,
            needed=needed,
            limit=limit,
        )


def byte_size(count: int) -> str:
    """A number of bytes for people.

    >>> byte_size(37_696), byte_size(188_480_000)
    ('37.7 kB', '188.5 MB')
    """
    value, unit = float(count), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:,.0f} {unit}" if unit == "bytes" else f"{value:,.1f} {unit}"
