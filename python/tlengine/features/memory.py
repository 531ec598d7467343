"""Large CPU buffers used again instead of returned to the system after every layer.

glibc maps each large block anew and unmaps it when it is freed, so a forward pass of a convolutional network
touches fresh pages all the time: measured on EfficientNet-Lite0, page faults took as long as the arithmetic.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["reused_buffers"]

# Parameters of mallopt(3) and their defaults.
_TRIM_THRESHOLD, _TRIM_DEFAULT = -1, 128 * 1024
_MMAP_MAX, _MMAP_DEFAULT = -4, 65_536
_NEVER = 2**31 - 1


@contextmanager
def reused_buffers() -> Iterator[bool]:
    """While it lasts, freed memory stays with the process; at its end all of it is given back.

    Yields:
        Whether it has an effect: only the allocator of glibc is known to need it, and to have the switch.

    >>> with reused_buffers() as active:
    ...     isinstance(active, bool)
    True
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if not (libc and hasattr(libc, "gnu_get_libc_version")):
        yield False
        return
    try:
        yield bool(libc.mallopt(_MMAP_MAX, 0) and libc.mallopt(_TRIM_THRESHOLD, _NEVER))
    finally:
        libc.mallopt(_MMAP_MAX, _MMAP_DEFAULT)
        libc.mallopt(_TRIM_THRESHOLD, _TRIM_DEFAULT)
        libc.malloc_trim(0)
