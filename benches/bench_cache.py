"""The embedding cache beside LMDB, SQLite, the pattern of MTEB's cache, and plain memory.

100,000 rows x 768 float32 (307 MB) on the disk that holds the temporary directory.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benches.peers_cache import LMDB, NumpyCache, SQLite, batches
from benches.ratios import Ratio, in_folder, take_turns, timed
from tlengine.features.cache import EmbeddingCache, Table

ROWS, DIM, BATCH, ASKED = 100_000, 768, 4096, 20_000
RECIPE = {"backbone": "bench"}
WRITERS, THREADS, COMMITS, COMMIT_ROWS, SMALL_DIM = 8, 2, 24, 256, 384


@cache
def data() -> tuple[np.ndarray[Any, Any], list[bytes], np.ndarray[Any, Any]]:
    """Keys as an array and as bytes, and rows."""
    rng = np.random.default_rng(0)
    keys = rng.integers(0, 256, (ROWS, 32)).astype(np.uint8)
    return keys, [key.tobytes() for key in keys], rng.standard_normal((ROWS, DIM), dtype=np.float32)


def fresh(work: Callable[[Path], None]) -> Callable[[], float]:
    """A contender that starts with an empty directory, whose making and removal do not count."""

    def run() -> float:
        folder = Path(tempfile.mkdtemp())
        try:
            start = time.perf_counter()
            work(folder)
            return time.perf_counter() - start
        finally:
            shutil.rmtree(folder)

    return run


def append_ours(folder: Path) -> None:
    keys, _, X = data()
    with EmbeddingCache(folder) as opened:
        table = opened.table(RECIPE, dim=DIM)
        for part in batches(ROWS, BATCH):
            table.put(keys[part], X[part])
            table.flush()


def append_peer(store: Callable[[Path], Any]) -> Callable[[Path], None]:
    def work(folder: Path) -> None:
        _, keys, X = data()
        opened = store(folder)
        for part in batches(ROWS, BATCH):
            opened.put(keys[part], X[part])

    return work


def ratio(work: str, peer: str, best: dict[str, float], floor: float, target: float) -> Ratio:
    return Ratio(work=work, peer=peer, ours=best["ours"], theirs=best[peer], floor=floor, target=target)


def append_ratios() -> Iterator[Ratio]:
    contenders = {"LMDB": fresh(append_peer(LMDB)), "SQLite WAL": fresh(append_peer(SQLite))}
    best = take_turns({"ours": fresh(append_ours), **contenders}, rounds=3)
    yield ratio("durable append, 100k x 768", "LMDB", best, 1.5, 2.5)
    yield ratio("durable append, 100k x 768", "SQLite WAL", best, 8, 15)


def read_ratios(folder: Path) -> Iterator[Ratio]:
    keys, names, X = data()
    for name in ("ours", "lmdb", "mteb"):
        (folder / name).mkdir()
    append_ours(folder / "ours")
    table = EmbeddingCache(folder / "ours").table(RECIPE, dim=DIM)
    theirs = LMDB(folder / "lmdb")
    for part in batches(ROWS, BATCH):
        theirs.put(names[part], X[part])
    pattern = NumpyCache(folder / "mteb", names, X)
    chosen = np.random.default_rng(1).permutation(ROWS)[:ASKED]
    asked, asked_names = keys[chosen], [names[row] for row in chosen]
    asked_hex = [name.hex() for name in asked_names]
    for found in (table.get(asked)[0], theirs.get(asked_names, DIM), pattern.get(asked_hex)):
        assert (found == X[chosen]).all()
    out = np.empty((ASKED, DIM), np.float32)
    best = take_turns(
        {
            "ours": timed(lambda: table.get(asked)),
            "into an array": timed(lambda: table.get(asked, out=out)),
            "LMDB": timed(lambda: theirs.get(asked_names, DIM)),
            "MTEB's pattern": timed(lambda: pattern.get(asked_hex)),
        }
    )
    yield ratio("gather 20k of 100k x 768", "LMDB", best, 2, 5)
    yield ratio("gather 20k of 100k x 768", "MTEB's pattern", best, 10, 20)
    again = best | {"ours": best["into an array"]}
    yield ratio("gather 20k into an array that is there", "MTEB's pattern", again, 10, 20)
    yield from view_ratios(table, X, folder)


def view_ratios(table: Table, X: np.ndarray[Any, Any], folder: Path) -> Iterator[Ratio]:
    view, out = table.view(), np.empty_like(X)
    best = take_turns(
        {"ours": timed(lambda: np.copyto(out, view)), "memcpy": timed(lambda: np.copyto(out, X))}
    )
    yield ratio("contiguous read, verified once", "memcpy", best, 0.7, 0.9)

    def open_and_check() -> None:
        assert EmbeddingCache(folder / "ours").table(RECIPE, dim=DIM).view().shape == X.shape

    best = take_turns({"ours": timed(open_and_check), "memcpy": timed(lambda: np.copyto(out, X))})
    yield ratio("open, check and view 307 MB", "memcpy", best, 0.3, 0.6)
    used = sum(path.stat().st_size for path in (folder / "ours").rglob("*") if path.is_file())
    best = {"ours": float(used), "the rows": float(X.nbytes)}
    yield ratio("size of the files (bytes)", "the rows", best, 1 / 1.05, 1 / 1.03)


def open_ratios(folder: Path) -> Iterator[Ratio]:
    """1.28 million rows, opened and viewed without a look at their bytes; against the promised 20 ms."""
    rows, dim = 1_280_000, 32
    rng = np.random.default_rng(2)
    with EmbeddingCache(folder / "large", durability="process") as opened:
        table = opened.table(RECIPE, dim=dim)
        for _ in batches(rows, rows // 8):
            keys = rng.integers(0, 256, (rows // 8, 32)).astype(np.uint8)
            table.put(keys, rng.standard_normal((rows // 8, dim), dtype=np.float32))

    def work() -> None:
        view = EmbeddingCache(folder / "large").table(RECIPE, dim=dim).view(check=False)
        assert view.shape == (rows, dim)

    best = take_turns({"ours": timed(work)})
    yield ratio("open 1.28 M rows, view them unchecked", "20 ms", best | {"20 ms": 0.02}, 1, 10)


def write(folder: str, number: int, kind: str, barrier: Any) -> None:
    """One writing process: two threads, 256-row durable commits."""
    rng = np.random.default_rng(number)
    X = rng.standard_normal((COMMIT_ROWS, SMALL_DIM), dtype=np.float32)
    keys = rng.integers(0, 256, (THREADS, COMMITS, COMMIT_ROWS, 32)).astype(np.uint8)
    if kind == "ours":
        table = EmbeddingCache(folder).table(RECIPE, dim=SMALL_DIM)
    else:
        store = LMDB(Path(folder))

    def work(thread: int) -> None:
        for commit in range(COMMITS):
            if kind == "ours":
                table.put(keys[thread, commit], X)
                table.flush()
            else:
                store.put([key.tobytes() for key in keys[thread, commit]], X)

    barrier.wait()
    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    barrier.wait()


def many_writers(kind: str) -> Callable[[], float]:
    def run() -> float:
        folder = tempfile.mkdtemp()
        context = get_context("spawn")
        barrier = context.Barrier(WRITERS + 1)
        workers = [context.Process(target=write, args=(folder, n, kind, barrier)) for n in range(WRITERS)]
        for worker in workers:
            worker.start()
        barrier.wait()
        start = time.perf_counter()
        barrier.wait()
        seconds = time.perf_counter() - start
        for worker in workers:
            worker.join()
        if kind == "ours":
            expected = WRITERS * THREADS * COMMITS * COMMIT_ROWS
            assert EmbeddingCache(folder).stats().rows == expected
        shutil.rmtree(folder)
        return seconds

    return run


def writers_ratio() -> Iterator[Ratio]:
    best = take_turns({"ours": many_writers("ours"), "LMDB": many_writers("LMDB")}, rounds=2)
    yield ratio("8 processes x 2 threads, 256-row commits", "LMDB", best, 1.5, 2.5)


GROUPS = [append_ratios, in_folder(read_ratios), in_folder(open_ratios), writers_ratio]
"""Everything that `make bench-check` asserts."""


@pytest.mark.parametrize("name", ["ours", "LMDB", "SQLite WAL"])
def test_append(benchmark: Any, tmp_path: Path, name: str) -> None:
    work = {"ours": append_ours, "LMDB": append_peer(LMDB), "SQLite WAL": append_peer(SQLite)}[name]
    numbers = iter(range(100))

    def setup() -> tuple[tuple[Path], dict[str, Any]]:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        return (folder,), {}

    benchmark.group = "durable append, 100k x 768"
    benchmark.pedantic(work, setup=setup, rounds=3)


def test_gather(benchmark: Any, tmp_path: Path) -> None:
    append_ours(tmp_path)
    table = EmbeddingCache(tmp_path).table(RECIPE, dim=DIM)
    asked = data()[0][np.random.default_rng(1).permutation(ROWS)[:ASKED]]
    benchmark.group = "gather 20k of 100k x 768"
    benchmark.pedantic(lambda: table.get(asked), rounds=7, warmup_rounds=1)
