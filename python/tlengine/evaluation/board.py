"""A queue of batches in a folder: a batch is taken by moving its file, and of several that try, one has it.

::

    open/NAME             a batch that anyone may take; those whose names come first go first
    taken/NAME.RANK       a batch at work
    done/NAME.NUMBER      what came of a task
    faults/RANK           why a rank can run nothing

No file has two writers, and none is seen before it is whole.
"""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from tlengine.documents import replace_file
from tlengine.errors import ResourceError, TlengineError
from tlengine.plugins.contracts import Record, Task

__all__ = ["Board", "Taken", "names_in"]


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A batch that this rank has to run.

    Attributes:
        name: of it; what ends in ``-1`` was lost once.
        tasks: one strategy's on one view.
        file: tells rank 0 who has it.
    """

    name: str
    tasks: list[Task]
    file: Path

    @property
    def again(self) -> bool:
        """Whether it was lost once."""
        return self.name.endswith("-1")


class Board:
    """Batches to be run and what came of them, as files in a folder of this run.

    Args:
        folder: is there, or is to be made by :meth:`make`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open, self._taken, self._done = (folder / name for name in ("open", "taken", "done"))
        self._faults = folder / "faults"

    def make(self) -> None:
        """Make the folders; this user alone can write to them, for what lies there is unpickled."""
        self.folder.mkdir(mode=0o700)
        for folder in (self._open, self._taken, self._done, self._faults):
            folder.mkdir()

    def post(self, name: str, tasks: Sequence[Task]) -> None:
        """Let a batch be taken.

        Raises:
            ResourceError: no room.
        """
        text = json.dumps([asdict(task) for task in tasks]).encode()
        _put(self._open / name, lambda file: file.write(text))

    def take(self, rank: int) -> Taken | None:
        """The first batch that no other rank takes meanwhile; None where there is none."""
        for name in names_in(self._open):
            file = self._taken / f"{name}.{rank}"
            # Whether the move was done is not told by its error: a file server may be asked twice.
            with suppress(FileNotFoundError):
                (self._open / name).rename(file)
            with suppress(FileNotFoundError):
                tasks = [Task(**facts) for facts in json.loads(file.read_bytes())]
                return Taken(name=name, tasks=tasks, file=file)
        return None

    def put(self, taken: Taken, task: Task, record: Record | None) -> None:
        """Tell what came of a task; None where it killed its process twice.

        Raises:
            ResourceError: no room, or the run is over.
        """
        name = f"{taken.name}.{taken.tasks.index(task):06d}"
        _put(self._done / name, lambda file: pickle.dump((task, record), file))

    def finish(self, taken: Taken) -> None:
        """All of a batch is told."""
        taken.file.unlink(missing_ok=True)

    def found(self) -> Iterator[tuple[Task, Record | None]]:
        """What was told since the last call."""
        for name in names_in(self._done):
            # Written by a rank of this run, into a folder that rank 0 made for it.
            task, record = pickle.loads((self._done / name).read_bytes())  # noqa: S301
            (self._done / name).unlink()
            yield task, record

    def lost(self, gone: Callable[[int], bool]) -> Iterator[str]:
        """The names of batches whose ranks are gone, each once."""
        for file in names_in(self._taken):
            name, _, rank = file.rpartition(".")
            if gone(int(rank)):
                (self._taken / file).unlink(missing_ok=True)
                yield name

    def withdraw(self) -> None:
        """Leave nothing to be taken."""
        for name in names_in(self._open):
            (self._open / name).unlink(missing_ok=True)

    def complain(self, rank: int, error: TlengineError) -> None:
        """Tell rank 0 that this rank can run nothing.

        Raises:
            ResourceError: no room, or the run is over.
        """
        _put(self._faults / f"{rank}", lambda file: pickle.dump(error, file))

    def check(self) -> None:
        """Raise what a rank has complained of."""
        for name in names_in(self._faults):
            error = pickle.loads((self._faults / name).read_bytes())  # noqa: S301 - as above
            raise type(error)(f"rank {name}: {error.message}", hint=error.hint)


def names_in(folder: Path) -> list[str]:
    """What lies in a folder, in order, without drafts; nothing where it is gone."""
    with suppress(FileNotFoundError):
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))
    return []


def _put(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """A file that is whole, or not there."""
    try:
        replace_file(path, write, durable=False)
    except OSError as error:
        raise ResourceError(
            f"{path.parent} cannot be written to: {error}", hint="choose a place with room by --out"
        ) from error
