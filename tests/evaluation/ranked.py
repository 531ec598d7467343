"""Ranks of a launch as processes of a test, and estimators that tell which rank they are fitted by."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.evaluation.fragile import Kills

ROOT = Path(__file__).parents[2]


class Stalls(Kills):
    """The first fit says in ``mark`` which rank and process it is in, and takes its time.

    A rank that is spared, by the id of its process, waits until another one has got there.
    """

    def __init__(self, mark: str, spared: int = 0) -> None:
        self.mark, self.spared = mark, spared

    def fit(self, X: Any, y: Any) -> "Stalls":
        mark = Path(self.mark or "")
        if os.getppid() == self.spared:
            wait_for(mark.exists)
        elif not mark.exists():
            draft = mark.with_suffix(f".{os.getpid()}")
            draft.write_text(f"{os.getppid()} {os.getpid()}")
            draft.rename(mark)
            time.sleep(60)
        super().fit(X, y)
        return self


def environment(rank: int, size: int, **more: Any) -> dict[str, str]:
    """As a launcher sets it."""
    facts = {
        "RANK": rank, "WORLD_SIZE": size, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": size, "OMP_NUM_THREADS": 1,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]), **more,
    }  # fmt: skip
    return {**os.environ, **{name: str(value) for name, value in facts.items()}}


def launch(
    words: Sequence[str], size: int, ranks: Sequence[int] | None = None, **more: Any
) -> "list[subprocess.Popen[str]]":
    """The same command as several ranks; with ``ranks``, these alone."""
    return [
        subprocess.Popen(
            [sys.executable, *words], env=environment(rank, size, **more), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )
        for rank in (range(size) if ranks is None else ranks)
    ]  # fmt: skip


def ended(ranks: "Sequence[subprocess.Popen[str]]", seconds: float = 120) -> list[tuple[int, str, str]]:
    """Exit code, stdout and stderr of each; none is left running."""
    try:
        told = [rank.communicate(timeout=seconds) for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
            rank.wait()
    return [(rank.returncode, *said) for rank, said in zip(ranks, told, strict=True)]


def wait_for(what: Callable[[], Any], seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
