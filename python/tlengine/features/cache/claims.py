"""Who computes: of the processes that want the same rows at the same time, one; the others wait for it."""

from __future__ import annotations

import contextlib
import os
import struct
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tlengine.features.cache.keys import blake3_hex

__all__ = ["Claim"]

_F_OFD_SETLK = 37
_WRITE_LOCK = 1


class Claim:
    """The right to compute one set of rows, which one process of a machine holds at a time.

    It is a lock on one byte of a file, and the kernel frees it with its holder, so nobody waits for the
    dead. Losing it, or not having it, costs time and never correctness: where a system or a file system
    has no such locks, everybody gets it.

    Args:
        folder: of the cache.
        digest: of what is to be computed.
    """

    def __init__(self, folder: Path, digest: bytes) -> None:
        self._path, self._offset = folder / "claims", int.from_bytes(digest[:8], "little") >> 2
        self._descriptor: int | None = None

    @classmethod
    def on(cls, folder: Path, table: str, keys: npt.NDArray[np.uint8]) -> Claim:
        """The claim on rows of the table of that name, which need not exist yet."""
        return cls(folder, bytes.fromhex(blake3_hex([table.encode(), keys])))

    def take(self) -> bool:
        """Try to get it, without waiting; True where this process holds it now."""
        if sys.platform != "linux":
            return True
        try:
            self._lock()
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def release(self) -> None:
        """Let the next one have it."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def _lock(self) -> None:
        import fcntl

        if self._descriptor is None:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._descriptor = os.open(self._path, flags, 0o666)  # less the umask
        fcntl.fcntl(self._descriptor, _F_OFD_SETLK, struct.pack("hhqqi", _WRITE_LOCK, 0, self._offset, 1, 0))
