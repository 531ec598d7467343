"""The solutions of a path, kept in a file as they are certified, so that a later call takes them up."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np

from tlengine import __version__
from tlengine.probes.record_file import append, checksum, open_records

__all__ = ["Kept", "PathJournal", "Solution", "problem_digest"]

Solution = dict[str, Any]
"""What the core found for one task and one C: arrays of length one, by name."""
Kept = dict[float, list[Solution]]
"""The solutions of every task, by C."""
_LAYOUT = 2
_SLICE = 64 << 20


def problem_digest(X: Any, tasks: Iterable[Any], settings: Any) -> str:
    """A digest of everything but C that a solution depends on, the version of tlengine included.

    Args:
        X: (n, d) features; or the arrays of a sparse matrix, as the core takes them.
        tasks: loss, columns, target, weights and held-out weights of each.
        settings: what else counts, as JSON holds it.

    >>> X = np.zeros((2, 1))
    >>> problem_digest(X, [], 1e-4) == problem_digest(X, [], 1e-4) != problem_digest(X, [], 1e-6)
    True
    """
    digest = hashlib.blake2b(json.dumps([__version__, settings]).encode(), digest_size=16)
    for part in (*(X if isinstance(X, tuple) else (X,)), *(part for task in tasks for part in task)):
        if isinstance(part, np.ndarray):
            digest.update(f"\0{part.dtype.str}{part.shape}".encode())
            data = np.ascontiguousarray(part).reshape(-1).view(np.uint8)
            # In slices: Ctrl-C is noticed between two of them.
            for first in range(0, len(data), _SLICE):
                digest.update(data[first : first + _SLICE].data)
        else:
            digest.update(f"\0{part!r}".encode())
    return digest.hexdigest()


class PathJournal:
    """A file of solutions: a line that says whose they are, then for each C a line and its arrays.

    A record that is torn or damaged, and what comes after it, is left out: those C are solved again. One
    process writes at a time.

    Args:
        path: the file, made if missing; None keeps nothing but what ``kept`` holds.
        digest: of the problem, as :func:`problem_digest` gives it.

    Raises:
        InputError: another process writes to the file, or it cannot be opened.
        RunFormatError: it belongs to another problem or another version of tlengine, or is none.
    """

    def __init__(self, path: str | Path | None, digest: str) -> None:
        self.kept: Kept = {}
        self._file: IO[bytes] | None = None
        if path is not None:
            self._file = open_records(path, "path", _LAYOUT, digest)
            try:
                self._read(self._file)
            except BaseException:
                self._file.close()
                raise

    def _read(self, file: IO[bytes]) -> None:
        whole = file.tell()
        while (found := _record(file)) is not None:
            self.kept[found[0]] = found[1]
            whole = file.tell()
        file.truncate(whole)

    def add(self, C: float, solutions: list[Solution]) -> None:
        """Keeps the solutions of all tasks for a C, in the file too."""
        self.kept[C] = solutions
        if self._file is not None:
            from safetensors.numpy import save

            named = {f"{task}.{name}": a for task, found in enumerate(solutions) for name, a in found.items()}
            body = save({name: np.ascontiguousarray(array) for name, array in named.items()})
            told = {"C": C.hex(), "bytes": len(body), "digest": checksum(C.hex().encode(), b"\0", body)}
            if not append(self._file, json.dumps(told).encode() + b"\n" + body):
                self._file = None

    def remove(self) -> None:
        """Deletes the file."""
        if self._file is not None:
            Path(self._file.name).unlink(missing_ok=True)

    def __enter__(self) -> PathJournal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()


def _record(file: IO[bytes]) -> tuple[float, list[Solution]] | None:
    """The next record, or None where there is no whole one."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        told = json.loads(file.readline())
        body = file.read(told["bytes"])
        digest = checksum(told["C"].encode(), b"\0", body)
        if (told["bytes"], told["digest"]) != (len(body), digest):
            return None
        solutions: dict[int, Solution] = {}
        for name, array in load(body).items():
            task, name = name.split(".", 1)
            solutions.setdefault(int(task), {})[name] = array
        return float.fromhex(told["C"]), [solutions[task] for task in range(len(solutions))]
    except (ValueError, LookupError, TypeError, AttributeError, SafetensorError):
        return None
