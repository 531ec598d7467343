"""Whole C paths, single fits, ridge paths and many small probes, beside scikit-learn.

Logistic peers run to the same objective: within 1e-4 of an optimum that our solver in float64, certified to
1e-8, and scikit-learn's newton-cg agree on. The two largest works need ``TLENGINE_BENCH_FULL=1``.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benches import features
from benches import peers_probes as peers
from benches.bench_neighbors import describe
from benches.ratios import TUNED, Ratio, peer, take_turns, timed
from tlengine.probes import LinearProbe, probe_grid, probe_path, ridge_path

DINO = np.logspace(-6, 5, 45)
SHORT = np.logspace(-3, 2, 11)
ALPHAS = np.logspace(-2, 4, 25)
BUILDS = {"as shipped": {}, "tuned": TUNED}
FULL = os.environ.get("TLENGINE_BENCH_FULL") == "1"


def save(data: features.Data, folder: Path) -> Path:
    """Where a peer's process finds the features."""
    folder.mkdir(exist_ok=True)
    np.save(folder / "X.npy", data[0])
    np.save(folder / "y.npy", data[1])
    return folder


def goals(data: features.Data, Cs: Any) -> list[float]:
    """Objectives that count as solved, after two independent solvers agreed on the optimum."""
    from sklearn.linear_model import LogisticRegression

    X, y = data[0].astype(np.float64), data[1]
    best = probe_path(X, y, Cs, tol=1e-8).objective_
    middle = int(np.argmin(np.abs(np.log(Cs))))
    check = LogisticRegression(C=Cs[middle], solver="newton-cg", tol=1e-8, max_iter=1000).fit(X, y)
    other = peers.objective(check.coef_, check.intercept_, X, y, Cs[middle])
    assert abs(other / best[middle] - 1) < 1e-6
    found = probe_path(*data, Cs)
    reached = [
        peers.objective(W, b, *data, C) for W, b, C in zip(found.coef_, found.intercept_, Cs, strict=True)
    ]
    assert (np.array(reached) <= best * (1 + 1e-4)).all()
    return (best * (1 + 1e-4)).tolist()


def compared(
    work: str, ours: Callable[[], Any], prepare: Any, args: Any, floor: float, target: float, rounds: int
) -> Iterator[Ratio]:
    """Ours against one peer, as shipped and tuned."""
    for build, env in BUILDS.items():
        with peer(prepare, *args, env=env) as theirs:
            best = take_turns({"ours": timed(ours), "peer": theirs}, rounds=rounds)
        name = f"{prepare.__name__} {build}"
        yield Ratio(work=work, peer=name, ours=best["ours"], theirs=best["peer"], floor=floor, target=target)


def path_ratios(folder: Path) -> Iterator[Ratio]:
    """C paths on real features."""
    sets = {"text": (features.text(), 25), "image": (features.image(), 20)}
    for name, (data, floor) in sets.items():
        if data is None:
            continue
        where = save(data, folder / name)
        for Cs in (SHORT, DINO):
            wanted = goals(data, Cs)
            work, args = f"{len(Cs)}-point path, {name}", (where, Cs.tolist(), wanted)
            ours = lambda d=data, c=Cs: probe_path(*d, c)  # noqa: E731
            yield from compared(work, ours, peers.logistic_loop, args, floor, 60, 1)
            if name == "text" and Cs is DINO:
                yield from compared(work, ours, peers.logistic_warm, args, 8, 20, 1)


def fit_ratios(folder: Path) -> Iterator[Ratio]:
    """One C, against every solver of scikit-learn that can."""
    for name, data in {"text": features.text(), "image": features.image()}.items():
        if data is None:
            continue
        where, wanted = save(data, folder / name), goals(data, [1.0])
        ours = lambda d=data: LinearProbe(tol=1e-4).fit(*d)  # noqa: E731
        for solver in ("lbfgs", "newton-cg", "newton-cholesky"):
            yield from compared(
                f"one fit at C=1, {name}, {solver}",
                ours,
                peers.logistic_loop,
                (where, [1.0], wanted, solver),
                1.5,
                3,
                3,
            )


def ridge_ratios(folder: Path) -> Iterator[Ratio]:
    """Ridge with leave-one-out, 25 penalties."""
    for n, classes in ((50_000, 10), (50_000, 100)) if FULL else ((10_000, 10),):
        data = features.synthetic(n, 768, classes)
        where = save(data, folder / f"ridge-{classes}")
        Y = np.where(data[1][:, None] == np.arange(classes), 1.0, -1.0)
        ours = lambda X=data[0], Y=Y: ridge_path(X, Y, ALPHAS)  # noqa: E731
        work = f"ridge and leave-one-out, n={n}, K={classes}"
        yield from compared(work, ours, peers.ridge_cv, (where, ALPHAS.tolist()), 20, 50, 1)


def small_ratios(folder: Path) -> Iterator[Ratio]:
    """Many small probes; the peer does a part of them, its time is scaled."""
    count, part, rows = 1000, 50, 200
    data = features.synthetic(5000, 384, 5)
    where = save(data, folder / "small")
    size = {
        "budgets": [rows // 5],
        "seeds": count,
        "Cs": SHORT,
        "cv": None,
        "test_size": 0.02,
        "progress": False,
    }
    theirs = timed(peers.small_probes(where, part, rows, SHORT.tolist()))
    best = take_turns({"ours": timed(lambda: probe_grid(*data, **size)), "peer": theirs}, rounds=1)
    yield Ratio(
        work=f"{count:,} small probes",
        peer="joblib loop, 2 jobs",
        ours=best["ours"],
        theirs=best["peer"] * count / part,
        floor=50,
        target=200,
    )


def synthetic_ratios(folder: Path) -> Iterator[Ratio]:
    """The 11-point path at n = 50,000, d = 768, K = 100."""
    if FULL:
        data = features.synthetic(50_000, 768, 100)
        where = save(data, folder / "large")
        args = (where, SHORT.tolist(), goals(data, SHORT))
        yield from compared(
            "11-point path, synthetic",
            lambda: probe_path(*data, SHORT),
            peers.logistic_loop,
            args,
            40,
            100,
            1,
        )


def ratios() -> Iterator[Ratio]:
    """Everything that `make bench-check` asserts."""
    with tempfile.TemporaryDirectory() as name:
        for group in (fit_ratios, path_ratios, ridge_ratios, small_ratios, synthetic_ratios):
            yield from group(Path(name))


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


def test_ridge(benchmark: Any) -> None:
    X, y = features.synthetic(10_000, 768, 10)
    benchmark.group = "ridge"
    benchmark.pedantic(lambda: ridge_path(X, np.eye(10)[y], ALPHAS), rounds=3, warmup_rounds=1)
    describe(benchmark)


def test_memory_has_no_n_by_k_array() -> None:
    """The peak above the copy of X stays far below n x K."""
    import resource

    X, y = features.synthetic(40_000, 64, 400)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    probe_path(X, y, [1e-4], max_iter=3, tol=1.0)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < X.nbytes + 0.5 * 4 * len(X) * 400
