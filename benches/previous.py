"""This build beside an earlier one: ``python -m benches.previous ../old/python [part of a work's name ...]``.

For chips that the record does not know: each work is done by both builds in turns, in one process each, and
the ratio is the earlier build's least CPU seconds over this one's. A busy host moves those less than wall
time, but waiting for the disk is not in them. The earlier tree needs its extension in it.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benches.ratios import Peer, serve, take_turns

FLOOR = 0.9
THIS = Path(__file__).parents[1] / "python"


def append(folder: Path) -> Callable[[], Any]:
    from benches.bench_cache import append_ours

    def work() -> None:
        with tempfile.TemporaryDirectory(dir=folder) as name:
            append_ours(Path(name))

    return work


def writers(folder: Path) -> Callable[[], Any]:
    from benches.bench_cache import many_writers

    return many_writers("ours")


def gather(folder: Path) -> Callable[[], Any]:
    from benches.bench_cache import ASKED, DIM, RECIPE, ROWS, append_ours, data
    from tlengine.features.cache import EmbeddingCache

    append_ours(folder)
    table = EmbeddingCache(folder).table(RECIPE, dim=DIM)
    asked = data()[0][np.random.default_rng(1).permutation(ROWS)[:ASKED]]
    return lambda: [table.get(asked) for _ in range(10)]


def opening(folder: Path) -> Callable[[], Any]:
    from benches.bench_cache import DIM, RECIPE, append_ours
    from tlengine.features.cache import EmbeddingCache

    append_ours(folder)
    return lambda: [EmbeddingCache(folder).table(RECIPE, dim=DIM).view() for _ in range(10)]


def search(folder: Path, precision: Any, k: int, queries: int) -> Callable[[], Any]:
    from benches.bench_neighbors import make_data, peers
    from tlengine.probes import NeighborIndex

    make_data(folder)
    X, Q = peers.load(folder)
    index = NeighborIndex(X, precision=precision)
    return lambda: [index.search(Q[:queries], k) for _ in range(max(1, 40 // queries))]


def path(folder: Path, which: str, points: int) -> Callable[[], Any]:
    from benches import features
    from benches.bench_probes import DINO, SHORT
    from tlengine.probes import probe_path

    data = {"text": features.text, "image": features.image}[which]()
    assert data is not None, "the features are not at hand"
    return lambda: probe_path(*data, SHORT if points == 11 else DINO)


def large_path(folder: Path) -> Callable[[], Any]:
    from benches import features
    from benches.bench_probes import SHORT
    from tlengine.probes import probe_path

    data = features.synthetic(50_000, 768, 100)
    return lambda: probe_path(*data, SHORT)


def thousand(folder: Path) -> Callable[[], Any]:
    from benches.bench_probing import PATH, thousand
    from tlengine.probes import probe_path

    data = thousand()
    return lambda: probe_path(*data, PATH)


def ridge(folder: Path, classes: int) -> Callable[[], Any]:
    from benches import features
    from benches.bench_probes import ALPHAS
    from tlengine.probes import ridge_path

    data = features.synthetic(50_000, 768, classes)
    Y = np.where(data[1][:, None] == np.arange(classes), 1.0, -1.0)
    return lambda: ridge_path(data[0], Y, ALPHAS)


def small(folder: Path) -> Callable[[], Any]:
    from benches.bench_probes import small_probes

    return small_probes


WORKS: dict[str, tuple[Callable[..., Callable[[], Any]], tuple[Any, ...]]] = {
    "durable append, 100k x 768": (append, ()),
    "8 processes x 2 threads, 256-row commits": (writers, ()),
    "gather 20k of 100k x 768": (gather, ()),
    "open, check and view 307 MB": (opening, ()),
    "exact kNN, float pass, k=20": (search, ("float", 20, 2000)),
    "exact kNN, 8-bit pass, k=20": (search, ("int8", 20, 2000)),
    "exact kNN, float pass, k=200": (search, ("float", 200, 2000)),
    "exact kNN, 8-bit pass, k=200": (search, ("int8", 200, 2000)),
    "exact kNN, 8-bit pass, 1 query": (search, ("int8", 20, 1)),
    "exact kNN, 8-bit pass, 16 queries": (search, ("int8", 20, 16)),
    "11-point path, text": (path, ("text", 11)),
    "45-point path, text": (path, ("text", 45)),
    "11-point path, image": (path, ("image", 11)),
    "45-point path, image": (path, ("image", 45)),
    "11-point path, n=50,000, d=768, K=100": (large_path, ()),
    "3-point path, n=20,000, d=1,024, K=1,000": (thousand, ()),
    "ridge and leave-one-out, K=10": (ridge, (10,)),
    "ridge and leave-one-out, K=100": (ridge, (100,)),
    "1,000 small probes": (small, ()),
}


def main(earlier: str, *parts: str) -> int:
    """Prints every ratio; 1 where one is below 0.9 twice, else 0."""
    with tempfile.TemporaryDirectory() as name:
        os.environ["TLENGINE_BENCH_DATA"] = _save_features(Path(name))
        return _compare(earlier, parts)


def _save_features(folder: Path) -> str:
    """Both builds read the features that this one extracts: plugins of today need not fit another."""
    from benches import features

    for name, data, X, y in (
        ("reuters-minilm.npz", features.text(), "X_train", "y_train"),
        ("textile-lite0.npz", features.image(), "X", "y"),
    ):
        if data is not None:
            np.savez(folder / name, **{X: data[0], y: data[1]})
    return str(folder)


def _compare(earlier: str, parts: tuple[str, ...]) -> int:
    below = 0
    for work, (prepare, args) in WORKS.items():
        if parts and not any(part in work for part in parts):
            continue
        ratio = _ratio(Path(earlier), prepare, args)
        ratio = ratio if ratio >= FLOOR else max(ratio, _ratio(Path(earlier), prepare, args))
        below += ratio < FLOOR
        print(
            f"{'ok  ' if ratio >= FLOOR else 'FAIL'} {work:<44} {ratio:6.3f}x  the earlier build", flush=True
        )
    return int(below > 0)


def _ratio(earlier: Path, prepare: Callable[..., Any], args: tuple[Any, ...]) -> float:
    with tempfile.TemporaryDirectory() as name:
        sides = {}
        for side, tree in {"this": THIS, "earlier": earlier.resolve()}.items():
            folder = Path(name) / side
            folder.mkdir()
            sides[side] = _start(tree, prepare, (folder, *args))
        best = take_turns({side: contender for side, (_, contender) in sides.items()})
        for process, _ in sides.values():
            process.terminate()
            process.join()
    return best["earlier"] / best["this"]


def _start(tree: Path, prepare: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Any, Peer]:
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=_serve_tree, args=(str(tree), theirs, prepare, args))
    sys.path.insert(0, str(tree))  # a spawned process starts with this one's path
    try:
        process.start()
    finally:
        sys.path.remove(str(tree))
    theirs.close()
    return process, Peer(process, mine)


def _serve_tree(tree: str, pipe: Any, prepare: Callable[..., Any], args: tuple[Any, ...]) -> None:
    import tlengine

    found = Path(tlengine.__file__).parents[1]
    if str(found) != tree:
        pipe.send(("error", f"tlengine comes from {found}, not from {tree}"))
        return
    serve(pipe, prepare, args, time.process_time)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
