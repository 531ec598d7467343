"""Large CPU buffers used again instead of returned to the system after every layer.

glibc maps each large block anew and unmaps it when it is freed, so a forward pass of a convolutional network
touches fresh pages all the time: measured on EfficientNet-Lite0, page faults took as long as the arithmetic.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["reused_buffers"]

# Parameters of mallopt(3) and their defaults.
_TRIM_THRESHOLD, _TRIM_DEFAULT = -1, 128 * 1024
_MMAP_MAX, _MMAP_DEFAULT = -4, 65_536
_NEVER = 2**31 - 1

_lock = threading.Lock()
_inside = 0
"""How many blocks are under way: the settings are those of the process."""


@contextmanager
def reused_buffers() -> Iterator[bool]:
    """While it lasts, freed memory stays with the process; when the last of them ends, it is given back.

    Yields:
        Whether it has an effect: only the allocator of glibc is known to need it, and to have the switch.
        Where the environment tunes that allocator (``MALLOC_MMAP_MAX_`` and the like), it is left alone:
        its settings could not be read and put back.

    >>> with reused_buffers() as active:
    ...     isinstance(active, bool)
    True
    """
    libc = _glibc()
    if libc is None:
        yield False
        return
    _enter(libc)
    try:
        yield True
    finally:
        _leave(libc)


def _glibc() -> Any:
    """The C library, if it is glibc with the settings that it starts with."""
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    tuned = any(name.startswith("MALLOC_") for name in os.environ)
    tuned |= "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", "")
    return libc if hasattr(libc, "gnu_get_libc_version") and not tuned else None


def _enter(libc: Any) -> None:
    global _inside
    with _lock:
        _inside += 1
        if _inside == 1:
            libc.mallopt(_MMAP_MAX, 0)
            libc.mallopt(_TRIM_THRESHOLD, _NEVER)


def _leave(libc: Any) -> None:
    global _inside
    with _lock:
        _inside -= 1
        if not _inside:
            libc.mallopt(_MMAP_MAX, _MMAP_DEFAULT)
            libc.mallopt(_TRIM_THRESHOLD, _TRIM_DEFAULT)
            libc.malloc_trim(0)
