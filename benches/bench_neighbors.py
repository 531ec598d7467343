"""Exact nearest neighbours and their vote, beside faiss, torch and scikit-learn.

2,000 queries x 100,000 rows x 768 columns, unit rows with a power-law spectrum and a common offset.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial, wraps
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import threadpoolctl

from benches import peers_neighbors as peers
from benches.ratios import SHIPPED, TUNED, Ratio, in_folder, peer, take_turns, timed
from benches.roofline import limits
from tlengine import _core
from tlengine.probes import NeighborIndex, cpu_info, nearest
from tlengine.settings import num_threads

ROWS, QUERIES, COLUMNS = 100_000, 2_000, 768
CLASSES, KS, TEMPERATURE = 1_000, [10, 20, 100, 200], 0.07

PEERS: dict[str, tuple[Callable[..., Any], Mapping[str, str], dict[str, tuple[float, float]]]] = {
    "faiss as shipped": (peers.faiss_flat, SHIPPED, {"float": (3, 4.5), "8-bit": (8, 15)}),
    "faiss tuned": (peers.faiss_flat, TUNED, {"float": (0.9, 1.15), "8-bit": (1.8, 3)}),
    "torch mm+topk": (peers.torch_topk, SHIPPED, {"float": (1, 1.3), "8-bit": (2.5, 5)}),
    "scikit-learn brute": (peers.sklearn_brute, SHIPPED, {"float": (3, 5), "8-bit": (8, 15)}),
}
"""Each with its (floor, target) for the first pass in floating point and for the one in 8 bits."""
PASSES = {"float": "float", "8-bit": "int8"}
"""Both are certified: they return the ids and scores of a brute force in float64."""
SEARCHES = ["float32", "bfloat16", "int8"]


def make_data(folder: Path) -> None:
    """Writes rows, queries, labels, and the 200 nearest of each query."""
    rng = np.random.default_rng(0)
    spectrum = np.arange(1, COLUMNS + 1, dtype=np.float32) ** -0.25
    for name, rows in (("X", ROWS), ("Q", QUERIES)):
        made = rng.standard_normal((rows, COLUMNS), dtype=np.float32) * spectrum + np.float32(0.05)
        np.save(folder / f"{name}.npy", made / np.linalg.norm(made, axis=1, keepdims=True))
    X, Q = peers.load(folder)
    ids, scores = nearest(Q, X, k=max(KS))
    np.save(folder / "rows.npy", ids)
    np.save(folder / "scores.npy", scores)
    np.save(folder / "labels.npy", rng.integers(0, CLASSES, ROWS))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("neighbors")
    make_data(made)
    return made


def indexes(folder: Path) -> tuple[dict[str, NeighborIndex], Any]:
    X, Q = peers.load(folder)
    return {name: NeighborIndex(X, precision=p) for name, p in PASSES.items()}, Q


def our_vote(folder: Path) -> Callable[[], Any]:
    rows, scores, labels = (np.load(folder / f"{name}.npy") for name in ("rows", "scores", "labels"))
    codes = labels.astype(np.uint32)
    threads = num_threads()
    return lambda: _core.neighbor_vote(rows, scores, codes, CLASSES, KS, [TEMPERATURE], threads)


def assert_same_neighbors(ours: Any, theirs: Any) -> None:
    """Peers round in float32, so a few neighbours of nearly equal score may differ."""
    shared = [len(set(a) & set(b)) for a, b in zip(ours.tolist(), theirs.tolist(), strict=True)]
    assert np.mean(shared) > 0.999 * ours.shape[1], np.mean(shared)


def assert_exact(folder: Path, k: int) -> None:
    """Ids of some queries against a brute force in float64, for both passes."""
    searches, Q = indexes(folder)
    X, _ = peers.load(folder)
    some = slice(0, QUERIES, QUERIES // 10)
    wide = X.astype(np.float64)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    want = np.argsort(-(Q[some].astype(np.float64) @ wide.T), axis=1, kind="stable")[:, :k]
    for search in searches.values():
        np.testing.assert_array_equal(search.search(Q, k)[0][some], want)


def search_ratios(folder: Path) -> Iterator[Ratio]:
    """Both passes against every peer, k = 20 and 200."""
    for k in (20, 200):
        assert_exact(folder, k)
        searches, Q = indexes(folder)
        for name, (prepare, env, goals) in PEERS.items():
            with peer(prepare, folder, k, QUERIES, env=env) as theirs:
                theirs()
                assert_same_neighbors(searches["8-bit"].search(Q, k)[0], theirs.result())
                ours = {pass_: timed(partial(s.search, Q, k)) for pass_, s in searches.items()}
                best = take_turns({**ours, "peer": theirs})
            for pass_, (floor, target) in goals.items():
                work = f"exact kNN, {pass_} pass, k={k}"
                products = 2.0 * ROWS * QUERIES * COLUMNS
                least = limits().seconds(**{"float32" if pass_ == "float" else "int8": products})
                yield Ratio(
                    work=work, peer=name, ours=best[pass_], theirs=best["peer"], floor=floor, target=target,
                    least=least,
                )  # fmt: skip


def small_ratios(folder: Path) -> Iterator[Ratio]:
    """One query and a few, where memory is the limit."""
    searches, Q = indexes(folder)
    for queries in (1, 16):
        with peer(peers.faiss_flat, folder, 20, queries) as theirs:
            work = timed(partial(searches["8-bit"].search, Q[:queries], 20))
            best = take_turns({"ours": work, "peer": theirs}, rounds=9)
        yield Ratio(
            work=f"exact kNN, 8-bit pass, {queries} queries, k=20",
            peer="faiss as shipped",
            ours=best["ours"],
            theirs=best["peer"],
            floor=1.5,
            target=3,
            least=limits().seconds(memory=ROWS * COLUMNS),
        )


def vote_ratios(folder: Path) -> Iterator[Ratio]:
    """The vote alone, the neighbours given."""
    ours = our_vote(folder)
    with peer(peers.dino_vote, folder, KS, CLASSES, TEMPERATURE) as theirs:
        theirs()
        mine, wanted = ours()[0], theirs.result()
        for proba, k in zip(mine, KS, strict=True):
            shares = wanted[k] / wanted[k].sum(axis=1, keepdims=True)
            np.testing.assert_allclose(proba, (shares * k + 1 / CLASSES) / (k + 1), rtol=1e-9)
        best = take_turns({"ours": timed(ours), "peer": theirs})
    yield Ratio(
        work=f"DINO vote, k={','.join(map(str, KS))}, K={CLASSES}",
        peer="DINOv2's, anew",
        ours=best["ours"],
        theirs=best["peer"],
        floor=5,
        target=20,
    )


def prepared(group: Callable[[Path], Iterator[Ratio]]) -> Callable[[], Iterator[Ratio]]:
    """The ratios of a group, once the data are there."""

    @wraps(group)
    def run(folder: Path) -> Iterator[Ratio]:
        make_data(folder)
        yield from group(folder)

    return in_folder(run)


GROUPS = [prepared(group) for group in (search_ratios, small_ratios, vote_ratios)]
"""Everything that `make bench-check` asserts."""


def describe(benchmark: Any, operations: float = 0) -> None:
    """Notes what the figures were taken with."""
    info = cpu_info()
    blas = {library["filepath"]: library.get("architecture") for library in threadpoolctl.threadpool_info()}
    benchmark.extra_info.update(model=info["model"], isa=info["isa"], threads=info["threads"], blas=blas)
    if operations and benchmark.stats:
        benchmark.extra_info["gops"] = operations / benchmark.stats.stats.min / 1e9


@pytest.mark.parametrize("k", [20, 200])
@pytest.mark.parametrize("name", SEARCHES)
def test_search(benchmark: Any, folder: Path, name: Any, k: int) -> None:
    X, Q = peers.load(folder)
    index = NeighborIndex(X, precision=name)
    benchmark.group = f"exact kNN, k={k}"
    benchmark.pedantic(lambda: index.search(Q, k), rounds=5, warmup_rounds=1)
    describe(benchmark, 2.0 * ROWS * QUERIES * COLUMNS)


@pytest.mark.parametrize("k", [20, 200])
@pytest.mark.parametrize("name", PEERS)
def test_search_of_peers(benchmark: Any, folder: Path, name: str, k: int) -> None:
    prepare, env, _ = PEERS[name]
    benchmark.group = f"exact kNN, k={k}"
    with peer(prepare, folder, k, QUERIES, env=env) as theirs:
        benchmark.pedantic(theirs, rounds=3, warmup_rounds=1)
    describe(benchmark, 2.0 * ROWS * QUERIES * COLUMNS)


@pytest.mark.parametrize("name", SEARCHES)
def test_build(benchmark: Any, folder: Path, name: Any) -> None:
    X, _ = peers.load(folder)
    benchmark.group = "index"
    benchmark.pedantic(lambda: NeighborIndex(X, precision=name), rounds=3, warmup_rounds=1)
    describe(benchmark)


def test_leave_one_out(benchmark: Any, folder: Path) -> None:
    X, _ = peers.load(folder)
    index = NeighborIndex(X[:20_000])
    benchmark.group = "leave-one-out"
    benchmark.pedantic(lambda: index.search(k=20), rounds=3, warmup_rounds=1)
    describe(benchmark, 2.0 * 20_000**2 * COLUMNS)


def test_vote(benchmark: Any, folder: Path) -> None:
    benchmark.group = "vote"
    benchmark.pedantic(our_vote(folder), rounds=5, warmup_rounds=1)
    describe(benchmark)
