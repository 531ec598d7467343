"""The rows of one extraction: which contents are equal, which are cached, and where new ones are kept."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.data.names import is_blank
from tlengine.errors import CacheReadOnlyError, CacheReadOnlyWarning, DecodeError, TlengineError
from tlengine.features.cache import EmbeddingCache, Table, blake3_hex, sample_key
from tlengine.features.cache.claims import Claim
from tlengine.features.cache.keys import canonical_json

__all__ = ["DistinctContents", "Store"]

_PAUSE, _PATIENCE = 0.05, 30.0
"""Seconds between two looks for another process's rows, and without news until they are computed here."""


@dataclass(kw_only=True)
class DistinctContents:
    """The contents of a dataset by their digests.

    Attributes:
        keys: (n, 32) uint8; zeros where a content cannot be read.
        first: the row at which each distinct content is met first.
        distinct: (n,) which of ``first`` a row equals, or -1 where it cannot be read.
        unread: why a row cannot be read.
        failed: why a distinct content came to nothing afterwards.
    """

    keys: npt.NDArray[np.uint8]
    first: list[int] = field(default_factory=list)
    distinct: npt.NDArray[np.intp]
    unread: dict[int, str] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, contents: Sequence[Any]) -> DistinctContents:
        """Read every content once."""
        n = len(contents)
        samples = cls(keys=np.zeros((n, 32), np.uint8), distinct=np.full(n, -1, np.intp))
        index: dict[bytes, int] = {}
        for row in range(n):
            try:
                key = sample_key(_visible(contents[row]))
            except (OSError, TlengineError) as error:
                samples.unread[row] = _reason(error)
                continue
            if key not in index:
                index[key] = len(samples.first)
                samples.first.append(row)
            samples.keys[row] = np.frombuffer(key, np.uint8)
            samples.distinct[row] = index[key]
        return samples

    def fail(self, row: int, reason: str) -> None:
        """Note that the content first met at ``row`` cannot be read, for all rows that hold it."""
        self.failed[int(self.distinct[row])] = reason

    @property
    def failures(self) -> dict[int, str]:
        """Why a row has no embedding, of all rows that have none."""
        lost = np.flatnonzero(np.isin(self.distinct, list(self.failed))).tolist() if self.failed else []
        return {**self.unread, **{row: self.failed[int(self.distinct[row])] for row in lost}}

    def readable(self) -> npt.NDArray[np.intp]:
        """The rows that did not fail, in order."""
        return np.setdiff1d(np.arange(len(self.keys), dtype=np.intp), list(self.failures)).astype(np.intp)


def _visible(content: Any) -> Any:
    """``content``, unless it is a text without any character that can be seen."""
    if isinstance(content, str) and is_blank(content):
        raise DecodeError("the text is empty")
    return content


def _reason(error: Exception) -> str:
    if isinstance(error, TlengineError):
        return error.message
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


class Store:
    """The embeddings of distinct contents: from the cache, or computed and put there.

    The table of the recipe is made with its first row: a backbone whose rows are never accepted, since it
    declares another width, leaves nothing behind.

    Args:
        cache: None keeps rows in memory alone.
        recipe: of the rows.
        keys: (u, 32) uint8, distinct.
        dim: columns.
    """

    def __init__(
        self,
        cache: EmbeddingCache | None,
        recipe: Mapping[str, Any],
        keys: npt.NDArray[np.uint8],
        dim: int,
    ) -> None:
        self._cache, self._recipe, self._keys, self._dim = cache, recipe, keys, dim
        self._table: Table | None = None
        self.embedded = 0
        self.X, self._have = np.zeros((len(keys), dim), np.float32), np.zeros(len(keys), bool)
        table = self._found()
        if table is not None and len(keys):
            self.X, self._have = table.get(keys)
        self.hits = int(self._have.sum())
        self.seconds_saved = self.hits * table.seconds_per_row if table is not None and self.hits else 0.0
        self._since = time.perf_counter()
        self._claim: Claim | None = None

    def missing(self) -> list[int]:
        """Indices of the contents that are yet to be embedded.

        Where another process embeds the same contents now, its rows are waited for, as long as more of
        them keep coming; if it dies, the rest is missing here.
        """
        if self._cache is not None and len(self._keys) and not self._have.all():
            table = blake3_hex([canonical_json(self._recipe)])
            self._claim = Claim.on(self._cache.path, table, self._keys)
            self._wait(self._claim)
        found: list[int] = np.flatnonzero(~self._have).tolist()
        return found

    def _found(self) -> Table | None:
        """The table, if there is one by now."""
        if self._table is None and self._cache is not None:
            self._table = self._cache.find(self._recipe, dim=self._dim)
        return self._table

    def _wait(self, claim: Claim) -> None:
        last_news = time.monotonic()
        while not claim.take() and time.monotonic() - last_news < _PATIENCE:
            time.sleep(_PAUSE)
            if self._look():
                last_news = time.monotonic()
            if self._have.all():
                return
        self._look()
        self._since = time.perf_counter()

    def _look(self) -> bool:
        """Takes the rows that came to the cache meanwhile; whether there were any."""
        if (table := self._found()) is None:
            return False
        index = np.flatnonzero(~self._have)
        X, hit = table.get(self._keys[index])
        self.X[index[hit]], self._have[index[hit]] = X[hit], True
        self.hits += int(hit.sum())
        return bool(hit.any())

    def close(self) -> None:
        """Let other processes have what is still missing."""
        if self._claim is not None:
            self._claim.release()

    def put(self, index: npt.NDArray[np.intp], X: npt.NDArray[np.float32]) -> None:
        """Keep new rows: once this returns, they survive a crash."""
        self.X[index] = X
        self.embedded += len(index)
        now = time.perf_counter()
        seconds, self._since = now - self._since, now
        if self._cache is None:
            return
        try:
            self._table = self._table or self._cache.table(self._recipe, dim=self._dim)
            self._table.put(self._keys[index], X, seconds=seconds)
            self._table.flush()
        except CacheReadOnlyError as error:
            self._cache = None
            warnings.warn(
                f"the cache is read-only, new rows are not kept: {error.message}",
                CacheReadOnlyWarning,
                stacklevel=2,
            )
