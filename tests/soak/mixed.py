"""Writers beside readers: nothing wrong, nothing missing, and how long a gather takes."""

import multiprocessing
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tlengine.features.cache import EmbeddingCache

RECIPE = {"backbone": "soak"}
DIM, BATCH, ASKED = 384, 256, 4
"""Numbers per row, rows per commit, commits per gather."""


@dataclass
class Mixed:
    """What writers and readers did: rows, seconds of each gather, and what was not as it should be.

    ``queued`` is the part of the seconds that the gather was ready to run and no processor was free.
    """

    rows: int
    seconds: np.ndarray
    queued: np.ndarray
    wrong: int
    missing: int
    damaged: int


def keys_of(writer: int, batch: int) -> np.ndarray:
    return np.random.default_rng([writer, batch]).integers(0, 256, (BATCH, 32)).astype(np.uint8)


def rows_of(keys: np.ndarray) -> np.ndarray:
    """Self-checking: the row follows from its key."""
    return np.tile(keys.astype(np.float32), DIM // 32) - 7


def queueing() -> float:
    """Seconds that this thread was ready to run and waited for a processor, since it began."""
    return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) * 1e-9


def write(path: str, number: int, progress: Any, barrier: Any, seconds: float) -> None:
    barrier.wait()
    until = time.monotonic() + seconds
    with EmbeddingCache(path) as cache:
        table = cache.table(RECIPE, dim=DIM)
        batch = 0
        while time.monotonic() < until:
            keys = keys_of(number, batch)
            table.put(keys, rows_of(keys))
            table.flush()
            batch += 1
            progress[number] = batch


def read(path: str, seed: int, progress: Any, barrier: Any, seconds: float, report: Any) -> None:
    barrier.wait()
    until = time.monotonic() + seconds
    chance = random.Random(seed)
    times, wrong, missing = [], 0, 0
    table = EmbeddingCache(path).table(RECIPE, dim=DIM)
    while time.monotonic() < until:
        number = chance.randrange(len(progress))
        if not progress[number]:
            time.sleep(0.01)
            continue
        keys = np.concatenate([keys_of(number, chance.randrange(progress[number])) for _ in range(ASKED)])
        start, queued = time.perf_counter(), queueing()
        X, hit = table.get(keys)
        times.append((time.perf_counter() - start, queueing() - queued))
        missing += int((~hit).sum())
        wrong += int((rows_of(keys)[hit] != X[hit]).any(1).sum())
    report.put((times, wrong, missing))


def mixed(folder: Path, seconds: float, writers: int = 4, readers: int = 8) -> Mixed:
    """``writers`` processes commit 256 rows at a time while ``readers`` gather 1,024 rows at random."""
    context = multiprocessing.get_context("spawn")
    barrier, report = context.Barrier(writers + readers), context.Queue()
    progress = context.Array("q", writers)
    shared = (progress, barrier, seconds)
    running = [context.Process(target=write, args=(str(folder), n, *shared)) for n in range(writers)]
    running += [context.Process(target=read, args=(str(folder), n, *shared, report)) for n in range(readers)]
    for process in running:
        process.start()
    reports = [report.get() for _ in range(readers)]
    for process in running:
        process.join()
    times = np.concatenate([np.array(times).reshape(-1, 2) for times, *_ in reports])
    wrong, missing = sum(r[1] for r in reports), sum(r[2] for r in reports)
    checks = EmbeddingCache(folder, read_only=True).verify()
    damaged = sum(not check.is_sound for check in checks)
    return Mixed(sum(progress) * BATCH, *times.T, wrong, missing, damaged)
