"""Ratios against peers: contenders take turns, the best of five counts, and results come first."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

from tlengine import _core

Contender = Callable[[], float]
"""Does the work once and returns the seconds it took."""

SHIPPED: Mapping[str, str] = {}
"""No settings: also none that this process happens to have."""
TUNED: Mapping[str, str] = {"OPENBLAS_CORETYPE": "SkylakeX"}
"""What makes an OpenBLAS that does not know this chip use its 512-bit kernels."""


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """How many times faster than a peer, and how many times it has to be.

    ``partial``: the peer was stopped when it had done a part of the work, so the ratio is at least this.
    ``least``: seconds that this machine needs for the work at its peak rates; None where none was counted.
    ``unit``: of ``ours`` and ``theirs``.
    """

    work: str
    peer: str
    ours: float
    theirs: float
    floor: float
    target: float
    partial: bool = False
    least: float | None = None
    unit: str = "s"

    @property
    def value(self) -> float:
        """Theirs over ours: how many times less we need."""
        return self.theirs / self.ours

    @property
    def roofline(self) -> float | None:
        """The share of the machine's peak that we reach."""
        return None if self.least is None else self.least / self.ours

    def __str__(self) -> str:
        mark = "ok  " if self.value >= self.floor else "FAIL"
        roofline = "" if self.roofline is None else f"  {self.roofline:4.0%} of the roofline"
        measured = f"({self.ours:.4f} {self.unit} / {self.theirs:.4f} {self.unit})"
        return (
            f"{mark} {self.work:<44} {self.peer:<26} {'>' if self.partial else ' '}{self.value:7.2f}x  "
            f"floor {self.floor:g}x  target {self.target:g}x  {measured}"
            f"{roofline}"
        )


def in_folder(group: Callable[[Path], Iterator[Ratio]]) -> Callable[[], Iterator[Ratio]]:
    """The ratios of a group that needs a directory for its files."""

    @wraps(group)
    def run() -> Iterator[Ratio]:
        with tempfile.TemporaryDirectory() as name:
            yield from group(Path(name))

    return run


def timed(work: Callable[[], Any]) -> Contender:
    """A contender that runs in this process."""

    def run() -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return run


def grown(work: Callable[[], Any]) -> int:
    """Bytes by which the peak of this process rises above what it holds while ``work`` runs."""

    def status(field: str) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith(field))

    Path("/proc/self/clear_refs").write_text("5")  # The peak starts anew.
    before = status("VmRSS")
    work()
    return status("VmHWM") - before


def take_turns(
    contenders: Mapping[str, Contender], rounds: int = 5, *, warm_up: bool = True
) -> dict[str, float]:
    """Seconds of each contender: A B A B ..., the best of ``rounds``, after one that does not count.

    Raises:
        RuntimeError: the core is a debug build.
    """
    if _core.build_profile != "release":
        raise RuntimeError(f"this is a {_core.build_profile} build; benchmarks need `make dev`")
    best = {name: float("inf") for name in contenders}
    for counts in [*[False] * warm_up, *[True] * rounds]:
        for name, contender in contenders.items():
            seconds = contender()
            if counts:
                best[name] = min(best[name], seconds)
    return best


class Peer:
    """A contender in a process of its own, so that its threads and its BLAS meet no other's."""

    def __init__(self, process: Any, pipe: Any) -> None:
        self._process = process
        self._pipe = pipe

    def __call__(self) -> float:
        """Does the work once; seconds as the peer's own process measured them."""
        return float(self._ask("run"))

    def result(self) -> Any:
        """What the last run returned."""
        return self._ask("result")

    def _ask(self, what: str) -> Any:
        self._pipe.send(what)
        outcome, value = self._pipe.recv()
        if outcome == "error":
            raise RuntimeError(value)
        return value


@contextmanager
def peer(
    prepare: Callable[..., Callable[[], Any]], *args: Any, env: Mapping[str, str] = SHIPPED
) -> Iterator[Peer]:
    """A process in which ``prepare(*args)`` has returned the work to be timed."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    # Not a daemon: those may not start workers, and joblib would do with one.
    process = context.Process(target=serve, args=(theirs, prepare, args))
    with _environment(env):
        process.start()
    theirs.close()
    try:
        yield Peer(process, mine)
    finally:
        process.terminate()
        process.join()


@contextmanager
def _environment(env: Mapping[str, str]) -> Iterator[None]:
    """The settings of a peer for the moment in which its process starts, and no other of OpenBLAS."""
    kept = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("OPENBLAS_")]:
        del os.environ[name]
    os.environ.update(env)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(kept)


def serve(
    pipe: Any,
    prepare: Callable[..., Callable[[], Any]],
    args: tuple[Any, ...],
    clock: Contender = time.perf_counter,
) -> None:
    """What the process of a :class:`Peer` does: the work, again and again, and the seconds of ``clock``."""
    try:
        work, found = prepare(*args), None
        while True:
            if pipe.recv() == "result":
                pipe.send(("value", found))
                continue
            start = clock()
            found = work()
            pipe.send(("value", clock() - start))
    except EOFError:
        return
    except Exception as error:
        pipe.send(("error", f"{type(error).__name__}: {error}"))
