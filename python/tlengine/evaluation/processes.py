"""Tasks in fresh processes of this machine."""

from __future__ import annotations

import shutil
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tlengine.evaluation.crew import Batch, Crew, check_whole, died
from tlengine.evaluation.setup import Setup
from tlengine.evaluation.shipping import ship
from tlengine.evaluation.worker import batches
from tlengine.plugins.contracts import Record, Task
from tlengine.settings import num_threads

__all__ = ["Processes"]


class Processes:
    """Fresh processes, which read the features from memory-mapped files.

    The files lie in the run's folder where it has one, else where temporary files do. The user's script is
    not imported again, so it needs no ``__main__`` guard. A process that dies costs what it had under way one
    retry, task by task; a task that loses its process again is a failure. All of them end with this process,
    however it ends.

    A fit that reads contents gets the same share of the threads whatever is left to run, for its last digits
    depend on their number.

    Args:
        workers: how many; default: as many as there are threads to use, each with one.
    """

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers

    @property
    def at_once(self) -> int:
        """Fits that are under way at a time."""
        return self.workers or num_threads()

    def run(self, setup: Setup, tasks: Sequence[Task]) -> Iterator[Record]:
        """See :class:`~tlengine.plugins.contracts.Executor`.

        Raises:
            InputError: a strategy, or something else of the setup, cannot be sent to another process, or
                this process is still importing the script that it was started from.
            ResourceError: no process lived until it could begin, or there is no room for the features.
        """
        check_whole()
        waiting = deque(Batch(batch) for batch in batches(tasks))
        if not waiting:
            return
        count = min(self.at_once, len(waiting))
        setup = setup.sharing(self.at_once)
        with _folder(setup) as folder:
            shipped = ship(setup, {task.view for task in tasks}, folder)
            crew = Crew(shipped, count, threads=max(1, num_threads() // count))
            try:
                for task, record in crew.work(waiting):
                    yield record if record is not None else died(setup, task)
            finally:
                crew.stop()


@contextmanager
def _folder(setup: Setup) -> Iterator[Path]:
    """A folder for what the processes read, which ends with the run.

    One run at a time writes to the folder of a run: what such a folder is found there was left by one that
    was killed.
    """
    if setup.folder is None:
        with tempfile.TemporaryDirectory(prefix="tlengine-") as name:
            yield Path(name)
        return
    folder = setup.folder / ".tlengine-processes"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
