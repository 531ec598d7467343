"""Less at a time where memory is short."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import torch

from tlengine.errors import ResourceError
from tlengine.features.forward import is_out_of_memory
from tlengine.plugins.contracts import Rows

__all__ = ["SHORT", "halved", "in_parts", "is_short"]

SHORT = (RuntimeError, MemoryError)
"""Errors that may say that memory is short; :func:`is_short` tells."""
T = TypeVar("T")


def is_short(error: Exception) -> bool:
    """Whether an error says that memory is short: of torch on any device, or of NumPy and Python."""
    return isinstance(error, MemoryError) or is_out_of_memory(error)


def halved(size: int, error: Exception, device: torch.device | str, what: str, *, least: int = 1) -> int:
    """Half as many rows at a time, rounded up.

    Raises:
        ResourceError: ``size`` is ``least`` already.
    """
    device = torch.device(device)
    if size <= least:
        raise ResourceError(
            f"no memory on {device} to {what} {'a single row' if size == 1 else f'{size} rows'}",
            hint="train fewer blocks (last-block), take a smaller backbone, or another device",
        ) from error
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return -(-size // 2)


def in_parts(rows: Rows, size: int, work: Callable[[Rows], T], device: torch.device | str) -> Iterator[T]:
    """What ``work`` returns for at most ``size`` rows at a time; for fewer where memory is short.

    Args:
        rows: (n,) numbers.
        size: at least 1.
        work: may be called again with a part of the rows that it failed on.
        device: of the memory.

    Raises:
        ResourceError: no memory for a single row.

    >>> import numpy as np
    >>> [part.tolist() for part in in_parts(np.arange(5), 2, lambda rows: rows, "cpu")]
    [[0, 1], [2, 3], [4]]
    """
    start = 0
    while start < len(rows):
        try:
            found = work(rows[start : start + size])
        except SHORT as error:
            if not is_short(error):
                raise
            size = halved(min(size, len(rows) - start), error, device, "compute")
            continue  # outside of the handler, whose error holds on to what was computed
        yield found
        start += size
