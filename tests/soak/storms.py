"""Kill storm, power cuts, and writers beside readers; each gets a third of the time."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import resource
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests import test_crash_consistency as storms
from tlengine.features.cache import EmbeddingCache

DIM, BATCH = 384, 256


def keys_of(writer: int, batch: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng([writer, batch]).integers(0, 256, (BATCH, 32)).astype(np.uint8)


def rows_of(keys: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Self-checking: the row follows from its key."""
    return np.tile(keys.astype(np.float32), DIM // 32) - 7


def write(path: str, number: int, progress: Any, barrier: Any, seconds: float) -> None:
    barrier.wait()
    until = time.monotonic() + seconds
    with EmbeddingCache(path) as cache:
        table = cache.table(storms.RECIPE, dim=DIM)
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
    table = EmbeddingCache(path).table(storms.RECIPE, dim=DIM)
    while time.monotonic() < until:
        number = chance.randrange(len(progress))
        if not progress[number]:
            time.sleep(0.01)
            continue
        keys = np.concatenate([keys_of(number, chance.randrange(progress[number])) for _ in range(4)])
        start = time.perf_counter()
        X, hit = table.get(keys)
        times.append(time.perf_counter() - start)
        missing += int((~hit).sum())
        wrong += int((rows_of(keys)[hit] != X[hit]).any(1).sum())
    report.put((times, wrong, missing, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))


def mixed(folder: Path, seconds: float, writers: int = 4, readers: int = 8) -> None:
    """Writers and readers at once: nothing wrong, nothing missing, and how long a gather takes."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(writers + readers)
    progress, report = context.Array("q", writers), context.Queue()
    running = [
        context.Process(target=write, args=(str(folder), n, progress, barrier, seconds))
        for n in range(writers)
    ]
    running += [
        context.Process(target=read, args=(str(folder), n, progress, barrier, seconds, report))
        for n in range(readers)
    ]
    for process in running:
        process.start()
    reports = [report.get() for _ in range(readers)]
    for process in running:
        process.join()
    times = np.concatenate([np.array(times) for times, *_ in reports]) * 1000
    wrong, missing = sum(r[1] for r in reports), sum(r[2] for r in reports)
    rows = sum(progress) * BATCH
    p50, p99 = np.quantile(times, [0.5, 0.99])
    print(f"mixed: {rows:,} rows written, {len(times):,} gathers: wrong {wrong}, missing {missing}")
    print(f"       1,024 rows: p50 {p50:.1f} ms, p99 {p99:.1f} ms, max {times.max():.0f} ms")
    assert wrong == missing == 0
    assert all(report.is_sound for report in EmbeddingCache(folder, read_only=True).verify())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    share = parser.parse_args().seconds / 3
    folder = Path(tempfile.mkdtemp())
    try:
        mixed(folder / "mixed", share)
        os.environ["TLENGINE_STORM_SECONDS"] = str(share)
        storms.test_kill_storm(folder / "kills")
        os.environ["TLENGINE_POWER_CUTS"] = str(max(10, round(share / 0.5)))
        (folder / "power").mkdir()
        storms.test_power_cut("at any time", folder / "power")
        print(f"power: {os.environ['TLENGINE_POWER_CUTS']} cuts, nothing lost")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
