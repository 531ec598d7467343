"""Memory for large results, used again: to get it and to give it back costs more than to fill it."""

from __future__ import annotations

import threading
import weakref
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Spare"]

_SMALLEST, _LARGEST = 4 << 20, 64 << 20
"""Bytes: below, the allocator keeps memory itself; above, it is not ours to keep."""


class Spare:
    """Keeps the memory of the last large result, 64 MiB at most, until nobody holds a part of it.

    Each result lies on a memoryview of its own, which all arrays and buffers made from the result keep alive:
    while a weak reference to it finds it, the memory is in use. References are never counted; what a count
    means differs from one Python to the next.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._memory = np.empty(0, np.float32)
        self._in_use: weakref.ref[Any] | None = None

    def empty(self, rows: int, dim: int) -> npt.NDArray[np.float32]:
        """As ``np.empty((rows, dim), np.float32)``."""
        numbers = rows * dim
        if not _SMALLEST <= 4 * numbers <= _LARGEST:
            return np.empty((rows, dim), np.float32)
        with self._lock:
            held = self._in_use is not None and self._in_use() is not None
            if held or self._memory.size < numbers:
                self._memory = np.empty(numbers, np.float32)
            result = np.frombuffer(self._memory.data, np.float32, numbers)
            self._in_use = weakref.ref(result.base)
            return result.reshape(rows, dim)
