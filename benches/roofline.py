"""What this machine can do at best, measured by others' code in the same run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from benches.ratios import TUNED, peer

__all__ = ["Limits", "limits"]


@dataclass(frozen=True)
class Limits:
    """Rates of all cores together, in operations or bytes per second."""

    float32: float
    int8: float
    memory: float

    def seconds(self, *, float32: float = 0, int8: float = 0, memory: float = 0) -> float:
        """The least time for so many operations and bytes, which may overlap perfectly."""
        return max(float32 / self.float32 + int8 / self.int8, memory / self.memory)


@cache
def limits() -> Limits:
    """Dense products of a tuned OpenBLAS, four times that for 8 bits (VNNI), and a stream of reads."""
    rows, inner, columns = 4096, 768, 4096
    with peer(_product, rows, inner, columns, env=TUNED) as work:
        product = min(work() for _ in range(7))
    size = 256 << 20
    with peer(_read, size) as work:
        read = min(work() for _ in range(7))
    float32 = 2.0 * rows * inner * columns / product
    return Limits(float32=float32, int8=4 * float32, memory=4.0 * size / read)


def _product(rows: int, inner: int, columns: int) -> Callable[[], Any]:
    A, B = np.ones((rows, inner), np.float32), np.ones((inner, columns), np.float32)
    out = np.empty((rows, columns), np.float32)
    return lambda: np.matmul(A, B, out=out) is None


def _read(size: int) -> Callable[[], Any]:
    """A dot product of a vector with itself, half of it on each of two threads."""
    from concurrent.futures import ThreadPoolExecutor

    halves = np.array_split(np.ones(size, np.float32), 2)
    pool = ThreadPoolExecutor(2)
    return lambda: list(pool.map(lambda half: float(half @ half), halves))
