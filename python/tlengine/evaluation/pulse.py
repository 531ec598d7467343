"""Signs of life on a shared file system: a file that its owner keeps locked, and writes to each second.

No clock of another machine is read: who watches a file counts, by its own clock, for how long nothing in it
changed. Where both use one file system of one running kernel, the lock tells at once: it ends with the
process, however that ends.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Literal

__all__ = ["BEAT", "SILENT", "Pulse", "State", "Watch"]

BEAT = 1.0
"""Seconds between two beats."""
SILENT = 60.0
"""Who does not beat for so many seconds is taken for dead."""
LEFT = "left"
"""The last word of a process that has ended its part."""
State = Literal["alive", "gone", "unknown"]


class Pulse:
    """The file of this process: it beats, from a thread, until it is stopped.

    Args:
        path: of the file, which is made; it stays there.

    Raises:
        FileExistsError: it is another one's.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._count, self._word = path, 0, ""
        self._writing, self._stopped = threading.Lock(), threading.Event()
        self._file = path.open("xb", buffering=0)
        self._machine = _machine(self._file) if _lock(self._file) else ""
        self._write()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def say(self, word: str) -> None:
        """Have ``word``, of 8 letters at the most, stand there from here on."""
        self._word = word
        self._write()

    def stop(self) -> None:
        """End, and say so."""
        self._stopped.set()
        self._thread.join(timeout=BEAT)
        self.say(LEFT)
        self._file.close()

    def _beat(self) -> None:
        while not self._stopped.wait(BEAT):
            self._write()

    def _write(self) -> None:
        """In place, by a file that is opened and closed for it: only then do network file systems pass it on.

        What cannot be written is a beat that is missed.
        """
        with self._writing, suppress(OSError):
            self._count += 1
            with self._path.open("r+b", buffering=0) as file:
                file.write(f"{self._count:020d} {self._word:8} {self._machine}\n".encode())


class Watch:
    """Looks at the pulse of another process.

    Args:
        path: of its file.

    Attributes:
        word: what it said last; "" for nothing.
    """

    def __init__(self, path: Path) -> None:
        self._path, self.word = path, ""
        self._seen: bytes | None = None
        self._heard, self._since = False, time.monotonic()

    def look(self) -> State:
        """``"unknown"`` until it was seen to change: a file that nobody writes to any more looks the same."""
        found, locked = self._read()
        if found is None:
            return "gone"
        if found != self._seen:
            self._heard, self._since = self._heard or self._seen is not None, time.monotonic()
            self._seen, self.word = found, found[21:29].decode(errors="replace").strip()
        self._heard = self._heard or bool(locked)
        if self.word == LEFT or locked is False or time.monotonic() - self._since > SILENT:
            return "gone"
        return "alive" if self._heard else "unknown"

    def _read(self) -> tuple[bytes | None, bool | None]:
        """What stands there, and whether its owner holds the lock, as far as that can be told from here."""
        try:
            with self._path.open("rb", buffering=0) as file:
                found = file.read()
                return found, _locked(file, found[30:].decode(errors="replace").strip())
        except FileNotFoundError:
            return None, None
        except OSError:  # a file system that is away for a while is not the death of who uses it
            return self._seen or b"", None


def _lock(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _locked(file: IO[bytes], machine: str) -> bool | None:
    if not machine or machine != _machine(file):
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    return False


def _machine(file: IO[bytes]) -> str:
    """Equal where one kernel keeps the locks of a file: one boot, one mount, one inode; "" if unknown."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        known = os.fstat(file.fileno())
        return f"{boot}:{known.st_dev}:{known.st_ino}"
    return ""
