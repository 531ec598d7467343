"""Whole C paths, single fits, ridge paths and many small probes, beside scikit-learn.

Logistic peers run to the same objective: within 1e-4 of an optimum that our solver finds in float64, that
NumPy proves from the gradient there, and that scikit-learn's newton-cg finds too where that takes minutes at
most. A peer that takes far longer than the target is stopped, and the ratio is then a lower bound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benches import features
from benches import peers_probes as peers
from benches.bench_neighbors import describe
from benches.ratios import SHIPPED, TUNED, Ratio, grown, in_folder, peer, take_turns, timed
from benches.roofline import limits
from tlengine.probes import LinearProbe, ProbePath, probe_grid, probe_path, ridge_path

DINO = np.logspace(-6, 5, 45)
SHORT = np.logspace(-3, 2, 11)
ALPHAS = np.logspace(-2, 4, 25)
BUILDS: Mapping[str, Mapping[str, str]] = {"as shipped": SHIPPED, "tuned": TUNED}
SMALL = {"rows": 200, "classes": 5, "count": 1000, "part": 50}


def save(data: features.Data, folder: Path) -> Path:
    """Where a peer's process finds the features."""
    from scipy.sparse import issparse, save_npz

    folder.mkdir(exist_ok=True)
    save_npz(folder / "X.npz", data[0]) if issparse(data[0]) else np.save(folder / "X.npy", data[0])
    np.save(folder / "y.npy", data[1])
    return folder


def goals(data: features.Data, Cs: Any, *, solvers: bool = True) -> list[float]:
    """Objectives that count as solved: 1e-4 above an optimum that others than our solver vouch for.

    The optimum comes from our solver in float64. NumPy proves for every C how near it is, from the gradient
    alone (:func:`benches.peers_probes.lower_bound`), and where ``solvers``, scikit-learn's newton-cg has to
    find the same.
    """
    X, y = data[0].astype(np.float64), data[1]
    path = probe_path(X, y, Cs, tol=1e-8 if solvers else 1e-6, max_iter=20_000)
    best = path.objective_
    for i, C in enumerate(Cs):
        proven = peers.lower_bound(path.coef_[i], path.intercept_[i], X, y, C)
        assert proven <= best[i] * (1 + 1e-9) <= proven * (1 + 2e-6)
    if solvers:
        middle = int(np.argmin(np.abs(np.log(Cs))))
        other = peers.newton_cg(X, y, Cs[middle])
        assert abs(other / best[middle] - 1) < 1e-6
    found = probe_path(*data, Cs)
    reached = [
        peers.objective(W, b, *data, C) for W, b, C in zip(found.coef_, found.intercept_, Cs, strict=True)
    ]
    assert (np.array(reached) <= best * (1 + 1e-4)).all()
    return [float(value) for value in best * (1 + 1e-4)]


def path_seconds(data: features.Data, path: ProbePath) -> float:
    """The least time for the passes of a path: two products each, and X read once.

    The certificate of each C is a pass in float64, for which a chip takes twice as long.
    """
    passes = float(path.n_passes_.sum())
    work = 4.0 * data[0].size * path.coef_.shape[1] * (passes + len(path.Cs))
    return limits().seconds(float32=work, memory=4.0 * data[0].size * passes)


def against(
    work: str,
    ours: Callable[[], Any],
    prepare: Any,
    args: tuple[Any, ...],
    *,
    floor: float,
    target: float,
    enough: float = 70,
    least: float | None = None,
    solver: str = "",
) -> Iterator[Ratio]:
    """Ours against one logistic peer, as shipped and tuned; it is stopped at ``enough`` times our seconds."""
    limit = enough * take_turns({"ours": timed(ours)}, rounds=3)["ours"]
    more = (limit, solver) if solver else (limit,)
    for build, env in BUILDS.items():
        with peer(prepare, *args, *more, env=env) as theirs:
            best = take_turns({"ours": timed(ours), "peer": theirs}, rounds=1, warm_up=False)
            again = take_turns({"ours": timed(ours)}, rounds=2, warm_up=False)["ours"]
            partial = not theirs.result()
        yield Ratio(
            work=work,
            peer=f"{solver or prepare.__name__.replace('_', ' ')} {build}",
            ours=min(best["ours"], again),
            theirs=best["peer"],
            floor=floor,
            target=target,
            partial=partial,
            least=least,
        )


def path_ratios(folder: Path) -> Iterator[Ratio]:
    """C paths on real features, and on a larger synthetic set."""
    sets = {"text": (features.text(), 25), "image": (features.image(), 20)}
    for name, (data, floor) in sets.items():
        if data is None:
            print(f"skipped: the {name} features are not at hand")
            continue
        where = save(data, folder / name)
        for Cs in (SHORT, DINO):
            args = (where, Cs.tolist(), goals(data, Cs))
            work, least = f"{len(Cs)}-point path, {name}", path_seconds(data, probe_path(*data, Cs))
            ours = partial(probe_path, *data, Cs)
            yield from against(work, ours, peers.logistic_loop, args, floor=floor, target=60, least=least)
            if name == "text" and Cs is DINO:
                yield from against(work, ours, peers.logistic_warm, args, floor=8, target=20, least=least)


def sparse_ratios(folder: Path) -> Iterator[Ratio]:
    """A path on TF-IDF as it is, beside scikit-learn's two solvers that take sparse X for many classes."""
    data = features.tfidf()
    if data is None:
        print("skipped: the texts are not at hand")
        return
    Cs = np.array([0.1, 1.0, 10.0, 100.0])
    args = (save(data, folder / "tfidf"), Cs.tolist(), goals(data, Cs))
    ours = partial(probe_path, *data, Cs)
    work = "4-point path, sparse TF-IDF"
    yield from against(work, ours, peers.logistic_warm, args, floor=2, target=5)
    yield from against(work, ours, peers.logistic_loop, args, floor=1, target=2, solver="newton-cg")


def large_ratios(folder: Path) -> Iterator[Ratio]:
    """The 11-point path at n = 50,000, d = 768, K = 100, power-law spectrum and offset."""
    data = features.synthetic(50_000, 768, 100)
    args = (save(data, folder / "large"), SHORT.tolist(), goals(data, SHORT, solvers=False))
    least = path_seconds(data, probe_path(*data, SHORT))
    yield from against(
        "11-point path, n=50,000, d=768, K=100",
        lambda: probe_path(*data, SHORT),
        peers.logistic_loop,
        args,
        floor=40,
        target=100,
        enough=45,
        least=least,
    )


def fit_ratios(folder: Path) -> Iterator[Ratio]:
    """One C, against the best of scikit-learn's solvers."""
    for name, data in {"text": features.text(), "image": features.image()}.items():
        if data is None:
            print(f"skipped: the {name} features are not at hand")
            continue
        args = (save(data, folder / name), [1.0], goals(data, [1.0]))
        ours = partial(LinearProbe(tol=1e-4).fit, *data)
        for solver in ("lbfgs", "newton-cg", "newton-cholesky"):
            yield from against(
                f"one fit at C=1, {name}",
                ours,
                peers.logistic_loop,
                args,
                floor=1.5,
                target=3,
                enough=10,
                solver=solver,
            )


def ridge_ratios(folder: Path) -> Iterator[Ratio]:
    """Ridge with leave-one-out, 25 penalties."""
    n, d = 50_000, 768
    for classes in (10, 100):
        data = features.synthetic(n, d, classes)
        where = save(data, folder / f"ridge-{classes}")
        Y = np.where(data[1][:, None] == np.arange(classes), 1.0, -1.0)
        ours = partial(ridge_path, data[0], Y, ALPHAS)
        per_alpha = 2.0 * n * d * (1 + classes) * len(ALPHAS)
        # Upper triangle of the Gram matrix, rotation, eigenvectors, leverages and fitted values.
        least = limits().seconds(float32=n * d * d + 2.0 * n * d * d + 9.0 * d**3 + per_alpha)
        for build, env in BUILDS.items():
            with peer(peers.ridge_cv, where, ALPHAS.tolist(), env=env) as theirs:
                best = take_turns({"ours": timed(ours), "peer": theirs}, rounds=2)
                found = ridge_path(data[0], Y, ALPHAS)
                assert ALPHAS[found.loo_error_.mean(axis=1).argmin()] == theirs.result()
            yield Ratio(
                work=f"ridge and leave-one-out, n={n:,}, K={classes}",
                peer=f"RidgeCV {build}",
                ours=best["ours"],
                theirs=best["peer"],
                floor=20,
                target=50,
                least=least,
            )


def small_probes() -> Any:
    """1,000 probes on 200 rows each, every C reported."""
    data = features.synthetic(5000, 384, SMALL["classes"])
    return probe_grid(
        *data, budgets=[SMALL["rows"] // SMALL["classes"]], seeds=SMALL["count"], Cs=SHORT, cv=None,
        test_size=0.02, progress=False,
    )  # fmt: skip


def small_ratios(folder: Path) -> Iterator[Ratio]:
    """Many small probes; the peer does a part of them, its time is scaled."""
    where = save(features.synthetic(5000, 384, SMALL["classes"]), folder / "small")
    scale = SMALL["count"] / SMALL["part"]
    for build, env in BUILDS.items():
        with peer(peers.small_probes, where, SMALL["part"], SMALL["rows"], SHORT.tolist(), env=env) as theirs:
            best = take_turns({"ours": timed(small_probes), "peer": theirs}, rounds=3)
        yield Ratio(
            work=f"{SMALL['count']:,} small probes",
            peer=f"joblib, 2 jobs, {build}",
            ours=best["ours"],
            theirs=best["peer"] * scale,
            floor=50,
            target=200,
        )


GROUPS = [
    in_folder(group)
    for group in (fit_ratios, path_ratios, sparse_ratios, ridge_ratios, small_ratios, large_ratios)
]
"""Everything that `make bench-check` asserts."""


@pytest.mark.parametrize("points", [11, 45])
@pytest.mark.parametrize("name", ["text", "image"])
def test_path(benchmark: Any, name: str, points: int) -> None:
    data = features.text() if name == "text" else features.image()
    if data is None:
        pytest.skip("the text features need the Reuters files in ../shared/data")
    Cs = SHORT if points == 11 else DINO
    benchmark.group = f"{points}-point path, {name}"
    path = benchmark.pedantic(lambda: probe_path(*data, Cs), rounds=5, warmup_rounds=1)
    assert path.converged_.all()
    # A pass reads X once and makes two products with it.
    describe(benchmark, 4.0 * data[0].size * path.coef_.shape[1] * path.n_passes_.sum())


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("points", [11, 45])
@pytest.mark.parametrize("name", ["text", "image"])
def test_path_of_peers(benchmark: Any, tmp_path: Path, name: str, points: int, build: str) -> None:
    data = features.text() if name == "text" else features.image()
    if data is None:
        pytest.skip("the text features need the Reuters files in ../shared/data")
    Cs = SHORT if points == 11 else DINO
    benchmark.group = f"{points}-point path, {name}"
    args = (save(data, tmp_path / name), Cs.tolist(), goals(data, Cs), 30.0)
    with peer(peers.logistic_loop, *args, env=BUILDS[build]) as theirs:
        benchmark.pedantic(theirs, rounds=1)
        benchmark.extra_info["complete"] = theirs.result()


def test_ridge(benchmark: Any) -> None:
    X, y = features.synthetic(10_000, 768, 10)
    benchmark.group = "ridge"
    benchmark.pedantic(lambda: ridge_path(X, np.eye(10)[y], ALPHAS), rounds=3, warmup_rounds=1)
    describe(benchmark)


def test_memory_has_no_n_by_k_array() -> None:
    """The peak above the copy of X is a matter of K (d + K), far below n x K."""
    X, y = features.synthetic(120_000, 32, 400)
    whole = 4 * len(X) * 400
    assert grown(lambda: np.ones((len(X), 400), dtype=np.float32)) > 0.9 * whole
    assert grown(lambda: probe_path(X, y, [1e-4, 1e-3], tol=1e-2)) < X.nbytes + 0.4 * whole
    assert grown(lambda: ridge_path(X, np.eye(3)[y % 3], ALPHAS)) < X.nbytes
