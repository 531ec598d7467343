"""Memory for large results, used again: to get it and to give it back costs more than to fill it."""

from __future__ import annotations

import sys
import threading

import numpy as np
import numpy.typing as npt

__all__ = ["Spare"]

_SMALLEST, _LARGEST = 4 << 20, 64 << 20
"""Bytes: below, the allocator keeps memory itself; above, it is not ours to keep."""

_UNUSED = 3
"""References to memory that no result uses: the attribute, the variable, the argument of getrefcount."""


class Spare:
    """Keeps the memory of the last large result, 64 MiB at most, until nobody holds a part of it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._memory: npt.NDArray[np.float32] | None = None

    def empty(self, rows: int, dim: int) -> npt.NDArray[np.float32]:
        """As ``np.empty((rows, dim), np.float32)``."""
        numbers = rows * dim
        counts_are_exact = getattr(sys, "_is_gil_enabled", lambda: True)()
        if not _SMALLEST <= 4 * numbers <= _LARGEST or not counts_are_exact:
            return np.empty((rows, dim), np.float32)
        with self._lock:
            memory = self._memory
            if memory is None or memory.size < numbers or sys.getrefcount(memory) > _UNUSED:
                self._memory = memory = np.empty(numbers, np.float32)
            return memory[:numbers].reshape(rows, dim)
