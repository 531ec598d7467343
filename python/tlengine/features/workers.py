"""Processes that decode, started so that they work wherever Python runs: or a reason to do without.

A started process (``spawn``, ``forkserver``) imports the user's script again, which, without a guard
``if __name__ == "__main__"``, does everything again and starts processes of its own. Decoding needs nothing
of that script, so ours do not import it. What was defined in it cannot be sent to them; then this process
decodes.
"""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import reduction, spawn
from typing import IO, Any, cast

from tlengine.errors import InputError

__all__ = ["leave_interrupts_to_the_parent", "reason_for_none", "unsendable", "without_main"]

_lock = threading.Lock()


def reason_for_none(work: object) -> str | None:
    """Why no process can be started for ``work``; None: they can.

    Raises:
        InputError: this process is still importing the script that it was started from.
    """
    current = multiprocessing.current_process()
    if getattr(current, "_inheriting", False):
        raise InputError(
            "a process that was just started imports the script again, which calls tlengine too early",
            hint='put what the script does under: if __name__ == "__main__":',
        )
    if current.daemon:
        return "this process is a daemon, which may not start others"
    if multiprocessing.get_start_method() == "fork":
        return None
    if why := unsendable(work):
        return f"the samples or the preprocessing cannot be sent to another process: {why}"
    return None


def unsendable(thing: object) -> str | None:
    """Why ``thing`` cannot be sent to a process that does not import the user's script; None: it can.

    >>> unsendable([1, 2]), "lambda" in unsendable(lambda: 1)
    (None, True)
    """
    try:
        _Sending(cast(IO[bytes], _Nowhere())).dump(thing)
    except Exception as error:  # whatever __reduce__ of the user's objects raises
        return str(error) or type(error).__name__
    return None


class _Nowhere:
    """A file that keeps nothing."""

    def write(self, data: Any) -> int:
        return len(data)


class _Sending(reduction.ForkingPickler):
    """Pickles as a process that is started does, and refuses what only the user's script knows."""

    def reducer_override(self, thing: Any) -> Any:
        name = getattr(thing, "__qualname__", type(thing).__qualname__)
        if getattr(thing, "__module__", None) in ("__main__", "__mp_main__"):
            raise pickle.PicklingError(f"{name} is defined in the script itself; move it to a module")
        return NotImplemented


@contextmanager
def without_main() -> Iterator[None]:
    """Processes that this thread starts meanwhile do not import ``__main__``; those of others do."""
    here = threading.get_ident()
    with _lock:
        original = spawn.get_preparation_data

        def prepared(name: str) -> dict[str, Any]:
            if threading.get_ident() != here:
                return original(name)
            return {key: value for key, value in original(name).items() if not key.startswith("init_main")}

        spawn.get_preparation_data = prepared
        try:
            yield
        finally:
            spawn.get_preparation_data = original


def leave_interrupts_to_the_parent(worker: int) -> None:
    """Ctrl-C reaches the whole process group; a worker that dies of it makes the parent wait for it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
