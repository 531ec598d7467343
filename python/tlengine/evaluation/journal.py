"""Every record of a run, kept as it comes: what was fitted once is not fitted again.

``OUT/journal.jsonl`` has a line for each record, ``OUT/predictions/KEY.safetensors`` its scores. A line is
written after the scores that it names, and carries a digest of both: a torn, edited or foreign line is left
out, and its task is run again. Failures are not kept, so that the next run tries them anew. Where the disk is
full the run goes on without: the journal ends with the last line that is whole.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import time
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from tlengine.documents import lock_file, plain, replace_file
from tlengine.errors import InputError, TlengineWarning
from tlengine.plugins.contracts import Energy, HeldOut, Record, Task

__all__ = ["FileJournal", "Journal"]

FORMAT = 2
SYNC_SECONDS = 1.0
_OURS = re.compile(r"[0-9a-f]{32}\.safetensors|\.tlengine-.*\.tmp")
"""What this module writes to ``predictions/``; the second is a draft, left there by a run that was killed."""
_ARRAYS = ("scores", "held_out")
_NUMBERS = (
    "labels", "kind", "calibration", "chosen", "converged", "flops", "nbytes", "train_accuracy", "seconds",
    "cpu_seconds", "peak_bytes", "predict_seconds", "facts",
)  # fmt: skip
_MAYBE = ("gpu_seconds", "features")
"""None where a line does not say, as ``energy`` is."""


class Journal:
    """Records by key, in memory; without the scores of rows held out, which have said what they say."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}

    def take_up(self, keys: Iterable[str]) -> set[str]:
        """Which of these keys have a result, by an earlier run; their records are there from here on."""
        return set(keys) & set(self.records)

    def has(self, key: str) -> bool:
        """Whether there is a result of this key to take up."""
        return key in self.records

    def add(self, record: Record) -> None:
        """Keep a result; a failure is kept for this run alone."""
        self.records[record.key] = replace(record, held_out=None)

    def close(self) -> None:
        """Nothing is open."""


class FileJournal(Journal):
    """Records in a folder, by one writer at a time.

    Args:
        folder: where ``journal.jsonl`` and ``predictions/`` are, or will be.
        fresh: forget what is there.

    Raises:
        InputError: the folder is a file, or another run is writing to it.
    """

    def __init__(self, folder: str | os.PathLike[str], *, fresh: bool = False) -> None:
        super().__init__()
        self.folder = Path(folder).absolute()
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError(f"{self.folder} is a file, not a directory", hint="choose another --out")
        self._predictions = self.folder / "predictions"
        self._predictions.mkdir(parents=True, exist_ok=True)
        self._end = 0
        self._told: dict[str, Mapping[str, Any]] = {}
        self._file: IO[bytes] | None = self._open(fresh)
        self._unsynced: list[Path] = []
        self._synced = time.monotonic()

    def _open(self, fresh: bool) -> IO[bytes]:
        file = (self.folder / "journal.jsonl").open("ab+", buffering=0)
        lock_file(file, str(self.folder), "--out")
        if fresh:
            file.truncate(0)
        file.seek(0)
        *lines, torn = file.read().split(b"\n")
        self._told = {facts["key"]: facts for facts in map(_facts, lines) if facts is not None}
        self._clear()
        self._end = file.tell() - len(torn)
        file.truncate(self._end)
        return file

    def _clear(self) -> None:
        """Remove what this module wrote and no line names; what a user put there stays."""
        for path in self._predictions.iterdir():
            if _OURS.fullmatch(path.name) and path.stem not in self._told and path.is_file():
                path.unlink()

    def take_up(self, keys: Iterable[str]) -> set[str]:
        """See :class:`Journal`; lines of other runs are left alone, their scores unread."""
        for key in keys:
            record = _read(self._told[key], self._predictions) if key in self._told else None
            if record is not None:
                super().add(record)
        return super().take_up(keys)

    def has(self, key: str) -> bool:
        """See :class:`Journal`; by its line alone."""
        return key in self._told or super().has(key)

    def add(self, record: Record) -> None:
        """Keep a result on disk; synced at least each second."""
        super().add(record)
        if record.failed or self._file is None:
            return
        try:
            self._write(self._file, record)
            if time.monotonic() - self._synced >= SYNC_SECONDS:
                self.sync()
        except OSError as error:
            self._give_up(error)

    def _write(self, file: IO[bytes], record: Record) -> None:
        path = self._predictions / f"{record.key}.safetensors"
        data = _arrays(record)
        replace_file(path, lambda draft: draft.write(data), durable=False)
        line = _line(record, hashlib.blake2b(data, digest_size=16).hexdigest())
        written = file.write(line)
        if written != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._end += len(line)
        self._unsynced.append(path)

    def _give_up(self, error: OSError) -> None:
        """The rest of the run stays in memory."""
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.truncate(self._end)
            with contextlib.suppress(OSError):
                file.close()
        note = f"{self.folder} cannot be written to ({error}): the run goes on, but cannot be taken up again"
        warnings.warn(note, TlengineWarning, stacklevel=4)

    def sync(self) -> None:
        """Make all that was added durable: scores first, then the lines that name them."""
        if self._file is None:
            return
        for path in self._unsynced:
            with path.open("rb") as file:
                os.fsync(file.fileno())
        os.fsync(self._file.fileno())
        self._unsynced.clear()
        self._synced = time.monotonic()

    def close(self) -> None:
        """Sync, and let others write."""
        try:
            self.sync()
        except OSError as error:
            self._give_up(error)
        if self._file is not None:
            self._file.close()


def _arrays(record: Record) -> bytes:
    from safetensors.numpy import save

    found = {name: getattr(record, name) for name in _ARRAYS}
    return bytes(save({n: np.ascontiguousarray(a) for n, a in found.items() if a is not None}))


def _line(record: Record, predictions: str) -> bytes:
    facts = {
        "format": FORMAT,
        "key": record.key,
        "task": asdict(record.task),
        **{name: getattr(record, name) for name in (*_NUMBERS, *_MAYBE)},
        "energy": None if record.energy is None else asdict(record.energy),
        "held": None if record.held is None else asdict(record.held),
        "predictions": predictions,
    }
    body = json.dumps(plain(facts), sort_keys=True)
    return json.dumps({"sum": _sum(body), "record": json.loads(body)}, sort_keys=True).encode() + b"\n"


def _sum(body: str) -> str:
    return hashlib.blake2b(body.encode(), digest_size=16).hexdigest()


def _facts(line: bytes) -> Mapping[str, Any] | None:
    """What a line tells, or None where it is not what was written."""
    try:
        found = json.loads(line)
        facts: Mapping[str, Any] = found["record"]
        whole = found["sum"] == _sum(json.dumps(facts, sort_keys=True))
        return facts if whole and facts["format"] == FORMAT and isinstance(facts["key"], str) else None
    except Exception:  # whatever is wrong with it, its task is run again
        return None


def _read(facts: Mapping[str, Any], predictions: Path) -> Record | None:
    """The record of a line with its scores, or None where they are not what was written."""
    try:
        data = (predictions / f"{facts['key']}.safetensors").read_bytes()
        if hashlib.blake2b(data, digest_size=16).hexdigest() != facts["predictions"]:
            return None
        from safetensors.numpy import load

        arrays = load(data)
        told: dict[str, Any] = {name: facts[name] for name in _NUMBERS}
        told |= {name: arrays.get(name) for name in _ARRAYS}
        told |= {name: facts.get(name) for name in _MAYBE}
        told["energy"] = None if facts.get("energy") is None else Energy(**facts["energy"])
        told["held"] = None if facts["held"] is None else HeldOut(**facts["held"])
        return Record(task=Task(**facts["task"]), key=facts["key"], taken_up=True, **told)
    except Exception:  # whatever is wrong with it, its task is run again
        return None
