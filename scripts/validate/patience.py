"""Paths that are ended by patience against whole paths: is the chosen C as good, and how much faster is it?

Run by ``python -m scripts.validate.patience``. Each problem is a draw of training rows (a budget of labels a
class) from real features; the other rows are the test. C is chosen from the default grid on the whole path,
and with patience, on the same folds: by ``LinearProbeCV`` by the log-loss and by the accuracy, and by
``LinearSVMProbeCV``. A problem is *kept* where both choose the same C, or the test log-loss with patience is
at most 0.5 % above that of the whole path (by accuracy: at most 0.5 points below). Prints a Markdown table,
and exits 1 where the 95 % lower limit of the share that is kept is below 95 %.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.errors import InputError, TlengineError
from tlengine.probes import LinearProbeCV, LinearSVMProbeCV

Data = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]
BUDGETS = (5, 10, 20, 50, None)
"""Labels a class; None: 70 % of all rows."""
WITHIN = 0.005
"""How much larger a log-loss may be."""
KEPT = 0.95
"""Of all problems."""


def _sklearn(name: str, *, standardised: bool = False) -> Data:
    from sklearn import datasets
    from sklearn.preprocessing import StandardScaler

    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return (StandardScaler().fit_transform(X) if standardised else X).astype(np.float32), y


@cache
def textures(features: str) -> Data:
    """2,000 simulated textile textures, 3 classes, through what is named."""
    import conformal_clip_data

    import tlengine as tl

    data = tl.load_dataset(conformal_clip_data.textile_simulated_root())
    found = tl.extract(data, features, cache=tl.EmbeddingCache(), progress=False)
    assert found.y is not None
    return found.X, np.unique(found.y, return_inverse=True)[1]


def texts() -> Data:
    """Reuters R8 through MiniLM: 5,485 x 384, 8 classes."""
    from benches.features import text

    found = text()
    if found is None:
        raise InputError("shared/data/reuters-r8-train.csv.gz is not here")
    return found


def noisy(data: Data, times: float) -> Data:
    """With Gaussian noise of so many times the standard deviation of each column."""
    X, y = data
    noise = np.random.default_rng(0).standard_normal(X.shape).astype(np.float32)
    return X + np.float32(times) * X.std(axis=0) * noise, y


SOURCES: dict[str, Callable[[], Data]] = {
    "Reuters R8 by MiniLM": texts,
    "textures by EfficientNet-Lite0": lambda: textures("efficientnet-lite0"),
    "the same with noise": lambda: noisy(textures("efficientnet-lite0"), 3.0),
    "textures by random convolutions": lambda: textures("rcf"),
    "textures by statistics": lambda: textures("stats"),
    "textures by pixels": lambda: textures("raw"),
    "digits": lambda: _sklearn("digits"),
    "digits with noise": lambda: noisy(_sklearn("digits"), 2.0),
    "wine": lambda: _sklearn("wine", standardised=True),
    "breast cancer": lambda: _sklearn("breast_cancer", standardised=True),
    "iris": lambda: _sklearn("iris"),
}
SMALL = ("iris", "wine", "breast cancer")


WAYS: dict[str, Callable[[int | None], Any]] = {
    "log-loss": lambda patience: LinearProbeCV(patience=patience),
    "accuracy": lambda patience: LinearProbeCV(patience=patience, scoring="accuracy"),
    "SVM": lambda patience: LinearSVMProbeCV(patience=patience),
}
"""By what C is chosen; the path is ended by the held-out loss in each."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One problem: (whole path, with patience)."""

    same: bool
    loss: tuple[float, float] | None
    accuracy: tuple[float, float]
    passes: tuple[int, int]
    cpu: tuple[float, float]

    @property
    def worse(self) -> float:
        """By how much patience is: of the log-loss, where it chose; else in accuracy."""
        if self.loss is not None:
            return self.loss[1] / self.loss[0] - 1
        return self.accuracy[0] - self.accuracy[1]

    @property
    def kept(self) -> bool:
        """The same C, or one that is as good on the test."""
        return self.same or self.worse <= WITHIN


def draw(data: Data, budget: int | None, seed: int) -> tuple[Data, Data] | None:
    """Training rows and test rows; None where a class has too few rows to be tested as well."""
    X, y = data
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(y))
    counts = np.bincount(y)
    if budget is None:
        train = np.concatenate([order[y[order] == k][: round(0.7 * n)] for k, n in enumerate(counts)])
    elif counts.min() < 1.4 * budget:
        return None
    else:
        train = np.concatenate([order[y[order] == k][:budget] for k in range(len(counts))])
    train = np.sort(train)
    test = np.setdiff1d(order, train)
    return (X[train], y[train]), (X[test], y[test])


def judged(train: Data, test: Data, way: str, patience: int) -> Outcome:
    """Both ways on the same rows and folds."""
    found = []
    for limit in (None, patience):
        start = time.process_time()
        probe = WAYS[way](limit).fit(*train)
        cpu = time.process_time() - start
        found.append((probe.C_, _log_loss(probe, *test), probe.score(*test), int(probe.n_passes_.sum()), cpu))
    (C, *whole), (D, *short) = found
    loss, accuracy, passes, cpu = zip(whole, short, strict=True)
    return Outcome(
        same=C == D, loss=loss if way == "log-loss" else None, accuracy=accuracy, passes=passes, cpu=cpu
    )


def _log_loss(probe: Any, X: npt.NDArray[np.float32], y: npt.NDArray[np.int64]) -> float:
    if not hasattr(probe, "predict_log_proba"):
        return float("nan")
    return -float(probe.predict_log_proba(X)[np.arange(len(y)), y].mean())


def outcomes(name: str, way: str, budgets: Sequence[int | None], seeds: int, patience: int) -> list[Outcome]:
    """The problems of one set of features; of all rows only one draw, unless there are few.

    None at all where the data, or the plugin and its weights, are not at hand.
    """
    try:
        data = SOURCES[name]()
    except TlengineError as error:
        print(f"{name} is left out: {error}", file=sys.stderr)
        return []
    found = []
    for budget in budgets:
        for seed in range(seeds if budget or name in SMALL else 1):
            drawn = draw(data, budget, seed)
            if drawn is not None:
                found.append(judged(*drawn, way, patience))
    return found


def line(way: str, name: str, found: Sequence[Outcome]) -> str:
    """One line of the table."""
    same = sum(one.same for one in found)
    kept = sum(one.kept for one in found)
    worst = max(one.worse for one in found)
    worse = f"{100 * worst:+.2f} {'%' if way == 'log-loss' else 'points'}"
    passes = [sum(one.passes[i] for one in found) for i in (0, 1)]
    cpu = [sum(one.cpu[i] for one in found) for i in (0, 1)]
    return (
        f"| {way} | {name} | {len(found)} | {same} | {kept} | {worse} | {passes[0]:,} | "
        f"{passes[0] / passes[1]:.1f} | {cpu[0]:.1f} | {cpu[0] / cpu[1]:.1f} |"
    )


def lower_limit(kept: int, n: int) -> float:
    """The 95 % lower limit of a share (Clopper and Pearson 1934).

    >>> round(lower_limit(140, 140), 3)
    0.979
    """
    from scipy.stats import beta

    return float(beta.ppf(0.05, kept, n - kept + 1))


def main() -> int:
    """Print the table; 1 where fewer are kept than the limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patience", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3, help="draws a budget")
    parser.add_argument("--sources", default=",".join(SOURCES), help="names, separated by commas")
    parser.add_argument("--ways", default=",".join(WAYS))
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print(
        "| chosen by | features | problems | same C | kept | worst | passes of whole paths | times fewer | "
        "CPU s of whole paths | times less |"
    )
    print("|" + "---|" * 10)
    broken, said = [], []
    for way in options.ways.split(","):
        every: list[Outcome] = []
        for name in options.sources.split(","):
            found = outcomes(name, way, BUDGETS, options.seeds, options.patience)
            every += found
            if found:
                print(line(way, name, found), flush=True)
        print(line(way, "**all**", every), flush=True)
        kept = sum(one.kept for one in every)
        limit = lower_limit(kept, len(every))
        said.append(f"{way}: {100 * kept / len(every):.1f} % of {len(every)}, at least {100 * limit:.1f} %")
        if limit < KEPT:
            broken.append(
                f"broken: {way}: {kept} of {len(every)} kept, a share of {100 * limit:.1f} % or more"
            )
    print(f"\nKept with patience {options.patience} (95 % lower limit): {'; '.join(said)}.")
    for fault in broken:
        print(fault, file=sys.stderr)
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
