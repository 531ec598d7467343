"""Paths that are ended by patience against whole paths: is the chosen C as good, and how much faster is it?

Run by ``python -m scripts.validate.patience``. Each problem is a draw of training rows (a budget of labels a
class) from the features of a source; the other rows are the test. C is chosen on the whole path, and with
patience, on the same folds, in five ways: by ``LinearProbeCV`` by the log-loss and by the accuracy, by
``LinearSVMProbeCV``, and by the log-loss on the values of C of ``probe_grid`` and of the logistic strategy of
``compare``. A problem is *kept* where both choose the same C, or the test log-loss with patience is at most
0.5 % above that of the whole path (by accuracy and SVM: the test accuracy at most 0.5 points below).

Problems of a source share rows, and sources of a data set share samples: no interval is put around a share,
as neither are independent and there are few data sets. Prints a Markdown table by source and what it says;
exits 1 where less than 95 % of the problems are kept.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.errors import GridEdgeWarning, InputError, TlengineError
from tlengine.evaluation.strategies.logistic import GRID, PATIENCE, ROUGH
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


def digit_pairs() -> Data:
    """Two digits side by side: 898 x 128, 20 classes: the first digit, and whether the second one is odd.

    No picture is in two pairs.
    """
    X, y = _sklearn("digits")
    first, second = np.random.default_rng(0).permutation(len(y) // 2 * 2).reshape(2, -1)
    return np.hstack([X[first], X[second]]) / np.float32(16), 2 * y[first] + y[second] % 2


def many_classes() -> Data:
    """Gaussian classes: 4,000 x 32, 100 classes; a tenth of the labels is drawn at random."""
    from benches.features import synthetic

    return synthetic(4000, 32, 100, turned=True, signal=1.5, noise=0.1)


SOURCES: dict[str, tuple[str, Callable[[], Data]]] = {
    "Reuters R8 by MiniLM": ("Reuters R8", texts),
    "textures by EfficientNet-Lite0": ("textures", lambda: textures("efficientnet-lite0")),
    "the same with noise": ("textures", lambda: noisy(textures("efficientnet-lite0"), 3.0)),
    "textures by random convolutions": ("textures", lambda: textures("rcf")),
    "textures by statistics": ("textures", lambda: textures("stats")),
    "textures by pixels": ("textures", lambda: textures("raw")),
    "digits": ("digits", lambda: _sklearn("digits")),
    "digits with noise": ("digits", lambda: noisy(_sklearn("digits"), 2.0)),
    "pairs of digits, 20 classes": ("digits", digit_pairs),
    "wine": ("wine", lambda: _sklearn("wine", standardised=True)),
    "breast cancer": ("breast cancer", lambda: _sklearn("breast_cancer", standardised=True)),
    "iris": ("iris", lambda: _sklearn("iris")),
    "synthetic, 100 classes": ("synthetic", many_classes),
}
"""The data set of each source, and its rows."""
SMALL = ("iris", "wine", "breast cancer")


def _strategy(patience: int | None, X: npt.NDArray[np.float32]) -> Any:
    """As ``evaluation/strategies/logistic.py`` chooses: a grid relative to the scale of the features."""
    return LinearProbeCV(GRID / X.var(axis=0, dtype=np.float64).sum(), patience=patience, tol=ROUGH)


@dataclass(frozen=True)
class Way:
    """How C is chosen; the path is ended by the held-out loss in each.

    Attributes:
        make: (patience or None, X) -> an estimator.
        patience: its default.
        by_loss: whether what is kept is the log-loss; else the accuracy.
    """

    make: Callable[[int | None, npt.NDArray[np.float32]], Any]
    patience: int = 2
    by_loss: bool = True


WAYS = {
    "log-loss": Way(lambda patience, _: LinearProbeCV(patience=patience)),
    "accuracy": Way(lambda patience, _: LinearProbeCV(patience=patience, scoring="accuracy"), by_loss=False),
    "SVM": Way(lambda patience, _: LinearSVMProbeCV(patience=patience), by_loss=False),
    "grid": Way(lambda patience, _: LinearProbeCV(12, patience=patience)),
    "compare": Way(_strategy, PATIENCE),
}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One problem: (whole path, with patience); whether patience gave a ``GridEdgeWarning``."""

    same: bool
    loss: tuple[float, float] | None
    accuracy: tuple[float, float]
    passes: tuple[int, int]
    cpu: tuple[float, float]
    said: bool

    @property
    def worse(self) -> float:
        """By how much patience is: a share of the log-loss where that counts, else of the rows."""
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


def judged(train: Data, test: Data, way: Way, patience: int) -> Outcome:
    """Both ways on the same rows and folds."""
    found, said = [], False
    for limit in (None, patience):
        start = time.process_time()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            probe = way.make(limit, train[0]).fit(*train)
        cpu = time.process_time() - start
        said = any(one.category is GridEdgeWarning for one in caught)
        found.append((probe.C_, _log_loss(probe, *test), probe.score(*test), int(probe.n_passes_.sum()), cpu))
    (C, *whole), (D, *short) = found
    loss, accuracy, passes, cpu = zip(whole, short, strict=True)
    return Outcome(
        same=C == D, loss=loss if way.by_loss else None, accuracy=accuracy, passes=passes, cpu=cpu, said=said
    )


def _log_loss(probe: Any, X: npt.NDArray[np.float32], y: npt.NDArray[np.int64]) -> float:
    if not hasattr(probe, "predict_log_proba"):
        return float("nan")
    return -float(probe.predict_log_proba(X)[np.arange(len(y)), y].mean())


def outcomes(name: str, way: Way, budgets: Sequence[int | None], seeds: int, patience: int) -> list[Outcome]:
    """The problems of one set of features; of all rows only one draw, unless there are few.

    None at all where the data, or the plugin and its weights, are not at hand.
    """
    try:
        data = SOURCES[name][1]()
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
    same, kept, said = (
        sum(values) for values in zip(*((o.same, o.kept, o.said) for o in found), strict=True)
    )
    worse = f"{100 * max(one.worse for one in found):+.2f} {'%' if WAYS[way].by_loss else 'points'}"
    passes = [sum(one.passes[i] for one in found) for i in (0, 1)]
    cpu = [sum(one.cpu[i] for one in found) for i in (0, 1)]
    return (
        f"| {way} | {name} | {len(found)} | {same} | {kept} | {worse} | {said} | {passes[0]:,} | "
        f"{passes[0] / passes[1]:.1f} | {cpu[0]:.1f} | {cpu[0] / cpu[1]:.1f} |"
    )


def summary(found: Mapping[str, Sequence[Outcome]]) -> str:
    """What the outcomes by source say in words, without a claim about other data.

    >>> one = Outcome(same=True, loss=None, accuracy=(1, 1), passes=(9, 3), cpu=(4, 2), said=False)
    >>> summary({"iris": [one], "wine": [one, one]})
    '3 of 3 kept (100.0 %); CPU time by source 2.0 to 2.0 times less'
    """
    every = [one for outcomes in found.values() for one in outcomes]
    lost = [one for one in every if not one.kept]
    kept = len(every) - len(lost)
    times = [sum(one.cpu[0] for one in of) / sum(one.cpu[1] for one in of) for of in found.values()]
    words = f"{kept} of {len(every)} kept ({100 * kept / len(every):.1f} %)"
    if lost:
        words += f", {sum(one.said for one in lost)} of the {len(lost)} others with a GridEdgeWarning"
    for name, of in found.items():
        share = sum(one.kept for one in of) / len(of)
        if share < KEPT:
            words += f"; {name}: {100 * share:.0f} %"
    return f"{words}; CPU time by source {min(times):.1f} to {max(times):.1f} times less"


def main() -> int:
    """Print the table; 1 where fewer are kept than the limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patience", type=int, help="another one than each way's default")
    parser.add_argument("--seeds", type=int, default=3, help="draws a budget")
    parser.add_argument("--sources", default=";".join(SOURCES), help="names, separated by semicolons")
    parser.add_argument("--ways", default=",".join(WAYS))
    options = parser.parse_args()
    print(
        "| chosen by | features | problems | same C | kept | worst | edge said | passes of whole paths | "
        "times fewer | CPU s of whole paths | times less |"
    )
    print("|" + "---|" * 11)
    broken, said, sets = [], [], set()
    for way in options.ways.split(","):
        found: dict[str, list[Outcome]] = {}
        for name in options.sources.split(";"):
            of = outcomes(name, WAYS[way], BUDGETS, options.seeds, options.patience or WAYS[way].patience)
            if of:
                found[name] = of
                sets.add(SOURCES[name][0])
                print(line(way, name, of), flush=True)
        every = [one for of in found.values() for one in of]
        print(line(way, "**all**", every), flush=True)
        said.append(f"- {way}: {summary(found)}.")
        if (kept := sum(one.kept for one in every)) < KEPT * len(every):
            broken.append(f"broken: {way}: {kept} of {len(every)} kept")
    print(f"\nOf {len(sets)} data sets ({', '.join(sorted(sets))}):\n")
    print("\n".join(said))
    for fault in broken:
        print(fault, file=sys.stderr)
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
