"""The core's handles of one cache in this process; a forked child opens its own."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from functools import cache as memoize
from pathlib import Path
from typing import Any

from tlengine._core import CacheHandle, TableHandle
from tlengine.documents import installed_versions
from tlengine.errors import CacheClosedError, TlengineError
from tlengine.features.cache.keys import canonical_json

__all__ = ["Handles"]

_LOG = logging.getLogger("tlengine")
_LIBRARIES = ("tlengine", "numpy", "torch", "pillow", "tokenizers", "transformers", "torchvision", "timm")


class Handles:
    """Opens the cache and its tables once per process, and anew after a fork.

    Args:
        path: of the cache.
        read_only: never write.
        durable: sync on flush.
        patience: seconds to wait for the maintenance lock.
    """

    def __init__(self, path: Path, read_only: bool, durable: bool, patience: float) -> None:
        self.path, self.read_only, self.durable = path, read_only, durable
        self.patience = patience
        self._closed = False
        self._reset()
        self.cache()
        _LIVE.add(self)

    def _reset(self) -> None:
        self._lock = threading.RLock()
        self._cache: CacheHandle | None = None
        self._tables: dict[tuple[bytes, int, str], TableHandle] = {}

    def cache(self) -> CacheHandle:
        """The open cache.

        Raises:
            CacheClosedError: after :meth:`close`.
        """
        with self._lock:
            if self._closed:
                raise CacheClosedError(f"{self.path}: the cache was closed", hint="open it again")
            if self._cache is None:
                self._cache = CacheHandle(
                    self.path, read_only=self.read_only, durable=self.durable, patience=self.patience
                )
            return self._cache

    def table(self, recipe: bytes, dim: int, dtype: str) -> TableHandle:
        """The open table of a recipe."""
        key = (recipe, dim, dtype)
        if not self._closed and (handle := self._tables.get(key)):
            return handle
        cache = self.cache()
        with self._lock:
            if key not in self._tables:
                self._tables[key] = cache.table(recipe, dim, dtype, _libraries())
            return self._tables[key]

    def forget(self) -> None:
        """Flush and end every table; they are opened again when needed."""
        with self._lock:
            tables, self._tables, self._cache = list(self._tables.values()), {}, None
        for table in tables:
            table.close()

    def close(self) -> None:
        """Flush and end every table for good."""
        self._closed = True
        self.forget()

    def close_at_exit(self) -> None:
        """Flush and end every table when nobody is left to catch an error; daemon threads may go on."""
        try:
            self.forget()
        except TlengineError as error:
            _LOG.warning("closing the cache: %s", error.message)

    def after_fork(self) -> None:
        """Leave the parent's handles alone: its segments, locks and threads are its own."""
        _INHERITED.append((self._cache, self._tables))
        self._reset()


_LIVE: weakref.WeakSet[Handles] = weakref.WeakSet()
_INHERITED: list[Any] = []
"""Handles of a parent process, kept so that their destructors never run in the child."""


def _after_fork() -> None:
    for handles in list(_LIVE):
        handles.after_fork()


os.register_at_fork(after_in_child=_after_fork)


@memoize
def _libraries() -> bytes:
    found = {name: version for name, version in installed_versions(_LIBRARIES).items() if version}
    return canonical_json(found, "libraries")
