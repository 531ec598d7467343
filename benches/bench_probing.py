"""What people wait for: a probe with its C chosen, PreVal, a thousand classes, sparse rows."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benches import features
from benches import peers_probing as peers
from benches.bench_probes import BUILDS, path_seconds, save
from benches.peers_probes import lower_bound
from benches.ratios import Ratio, in_folder, peer, take_turns, timed
from tlengine.errors import GridEdgeWarning
from tlengine.probes import LinearProbeCV, PreValProbe, probe_path

PATH = [0.01, 0.1, 1.0]
ALPHAS = np.logspace(-1, 4, 6)


def thousand(n: int = 20_000) -> features.Data:
    """Gaussian classes in 1,024 correlated columns, as of a network, with an offset and label noise."""
    return features.synthetic(n, 1024, 1000, turned=True, signal=0.3, scale=10, noise=0.05)


def thousand_ratios(folder: Path) -> Iterator[Ratio]:
    """Three values of C at K = 1,000 beside torch, to the same objective."""
    data = thousand()
    path = probe_path(*data, PATH, progress=False)
    assert path.converged_.all()
    X, y = data[0].astype(np.float64), data[1]
    for i, C in enumerate(PATH):
        proven = lower_bound(path.coef_[i].astype(np.float64), path.intercept_[i], X, y, C)
        assert proven <= path.objective_[i] <= proven * (1 + 1e-4)
    ours = timed(partial(probe_path, *data, PATH, progress=False))
    seconds = ours()
    args = (save(data, folder / "thousand"), PATH, path.objective_.tolist(), 4 * seconds)
    with peer(peers.torch_lbfgs, *args) as theirs:
        best = take_turns({"ours": ours, "peer": theirs}, rounds=1, warm_up=False)
        partial_work = not theirs.result()
    yield Ratio(
        work="3-point path, n=20,000, d=1,024, K=1,000",
        peer="torch L-BFGS",
        ours=min(seconds, best["ours"]),
        theirs=best["peer"],
        floor=3,
        target=5,
        partial=partial_work,
        least=path_seconds(data, path),
    )


def choice_ratios(folder: Path) -> Iterator[Ratio]:
    """The default ``LinearProbeCV()`` beside scikit-learn's choice among ten values of C."""
    for name, data in {"text": features.text(), "image": features.image()}.items():
        if data is None:
            print(f"skipped: the {name} features are not at hand")
            continue
        where = save(data, folder / name)
        X, y, unseen, told = peers.split(*data)
        probe = LinearProbeCV(progress=False)
        ours = timed(partial(probe.fit, X, y))
        for prepare in (peers.logistic_cv, peers.grid_search):
            for build, env in BUILDS.items():
                with peer(prepare, where, env=env) as theirs:
                    best = take_turns({"ours": ours, "peer": theirs}, rounds=2)
                    assert peers.judged(probe, unseen, told) <= theirs.result()
                yield Ratio(
                    work=f"C chosen, {name}",
                    peer=f"{prepare.__name__} {build}",
                    ours=best["ours"],
                    theirs=best["peer"],
                    floor=2,
                    target=5,
                )


def preval_ratios(folder: Path) -> Iterator[Ratio]:
    """``PreValProbe`` beside ``RidgeProbeCV``, which has no probabilities: at most half as long again.

    Where classes are apart no row is wrong when it is left out, and the best temperature hangs on very few.
    """
    warnings.simplefilter("ignore", GridEdgeWarning)
    sets = {"classes overlap": thousand(), "classes apart": features.synthetic(20_000, 1024, 1000)}
    for name, data in sets.items():
        ours = timed(partial(PreValProbe(ALPHAS).fit, *data))
        with peer(peers.ridge_probe_cv, save(data, folder / name), ALPHAS.tolist()) as theirs:
            best = take_turns({"ours": ours, "peer": theirs}, rounds=3)
        yield Ratio(
            work=f"PreVal, n=20,000, d=1,024, K=1,000, {name}",
            peer="RidgeProbeCV",
            ours=best["ours"],
            theirs=best["peer"],
            floor=1 / 1.5,
            target=1,
        )


GROUPS = [in_folder(group) for group in (choice_ratios, preval_ratios, thousand_ratios)]
"""Everything that `make bench-check` asserts."""


@pytest.mark.parametrize("name", ["text", "image"])
def test_choice(benchmark: Any, name: str) -> None:
    data = features.text() if name == "text" else features.image()
    if data is None:
        pytest.skip("the text features need the Reuters files in ../shared/data")
    benchmark.group = f"C chosen, {name}"
    benchmark.pedantic(partial(LinearProbeCV(progress=False).fit, *data), rounds=3, warmup_rounds=1)


def test_preval(benchmark: Any) -> None:
    data = features.synthetic(5_000, 512, 300)
    benchmark.group = "PreVal"
    benchmark.pedantic(partial(PreValProbe(ALPHAS).fit, *data), rounds=3, warmup_rounds=1)
