"""Real features with shuffled labels: nothing can be learnt, so neither gain nor loss is to be found.

Run by ``python -m scripts.validate.shuffled``. Classes are equally frequent, so that any classifier is right
in one of K rows. It calls ``compare``, prints a Markdown table, and exits 1 where more than 18 of 400 runs
have p < .05 in one direction against one control, or are called negative: a true rate of 2.5 % shows more
in 0.7 % of such experiments.
"""

from __future__ import annotations

import argparse
import gzip
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

import tlengine as tl
from tlengine.errors import TlengineError
from tlengine.evaluation import Verdict

Matrix = npt.NDArray[np.float32]
STRATEGIES = ("knn", "probe", "ridge", "centroid")
RATE = 0.025
"""Of p < .05 in one direction where nothing differs."""
TEXTS = "shared/data/reuters-r8-test.csv.gz"
"""Beside the repository, or above."""


def limit(runs: int, alpha: float = 0.01) -> int:
    """The most often that a true rate of 2.5 % shows, but in less than ``alpha`` of the experiments.

    >>> limit(400)
    18
    """
    from scipy.stats import binom

    return int(binom.ppf(1 - alpha, runs, RATE))


@dataclass(frozen=True, eq=False)
class Case:
    """Features, labels of equally frequent classes, and what the controls look at."""

    name: str
    X: Matrix
    y: npt.NDArray[np.intp]
    controls: Mapping[str, Matrix]


def iris() -> Case:
    """150 flowers, four lengths; the controls have the petals alone, and the sepals alone."""
    from sklearn.datasets import load_iris

    X, y = load_iris(return_X_y=True)
    X = X.astype(np.float32)
    return Case("iris", X, y, {"petals": X[:, 2:], "sepals": X[:, :2]})


def digits() -> Case:
    """240 written digits of four classes, 64 pixels; controls: a quarter of the pixels, and sums by line."""
    from sklearn.datasets import load_digits

    X, y = load_digits(n_class=4, return_X_y=True)
    rows = _even(y, 60)
    X, y = X[rows].astype(np.float32), y[rows]
    pictures = X.reshape(-1, 8, 8)
    small = pictures.reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4)).reshape(len(X), -1)
    sums = np.concatenate([pictures.sum(axis=1), pictures.sum(axis=2)], axis=1)
    return Case("digits", X, y, {"small": small, "sums": sums})


def reuters() -> Case | None:
    """200 news of four classes as MiniLM sees them; controls: words, and n-grams, in 256 columns.

    None where the texts, or the plugin and its weights, are not at hand.
    """
    table = next((path for up in Path(__file__).resolve().parents if (path := up / TEXTS).is_file()), None)
    if table is None:
        print(f"Reuters is left out: {TEXTS} is not here", file=sys.stderr)
        return None
    with tempfile.NamedTemporaryFile(suffix=".csv") as file:
        file.write(gzip.decompress(table.read_bytes()))
        file.flush()
        data = tl.load_dataset(file.name)
    labels = np.asarray(data.labels())
    names, counts = np.unique(labels, return_counts=True)
    largest = np.isin(labels, names[np.argsort(-counts)[:4]])
    rows = np.flatnonzero(largest)
    rows = rows[_even(labels[rows], 50)]
    chosen = data.take(rows)
    try:
        seen = {name: tl.extract(chosen, name, progress=False).X for name in ("minilm", "raw", "stats")}
    except TlengineError as error:
        print(f"Reuters is left out: {error}", file=sys.stderr)
        return None
    y = np.unique(labels[rows], return_inverse=True)[1]
    folded = {name: seen[name].reshape(len(y), -1, 256).sum(axis=1) for name in ("raw", "stats")}
    return Case("Reuters, MiniLM", seen["minilm"], y, folded)


def _even(y: npt.NDArray[np.generic], each: int) -> npt.NDArray[np.intp]:
    """The first rows of each class, as many of each."""
    return np.sort(np.concatenate([np.flatnonzero(y == name)[:each] for name in np.unique(y)]))


CASES: tuple[Callable[[], Case | None], ...] = (iris, digits, reuters)


def judged(case: Case, y: npt.NDArray[np.intp], seeds: int) -> Verdict:
    """The verdict of a run with these labels."""
    options = {"strategies": STRATEGIES, "budgets": ["all"], "seeds": seeds, "progress": False}
    return tl.compare((case.X, y), controls=case.controls, **options).verdict


def shuffled(case: Case, runs: int, seed: int, seeds: int = 5) -> Counter[str]:
    """How often p < .05 in each direction against each control, and how often each outcome."""
    found: Counter[str] = Counter()
    for run in range(runs):
        verdict = judged(case, np.random.default_rng([seed, run]).permutation(case.y), seeds)
        found[verdict.outcome] += 1
        for control in verdict.controls:
            if control["p_value"] < 0.05:
                found[f"{'gain' if control['effect'] > 0 else 'loss'} {control['control']}"] += 1
    return found


def print_case(case: Case, runs: int, seed: int, seeds: int) -> list[str]:
    """The lines of one case; what is broken."""
    found, most, broken = shuffled(case, runs, seed, seeds), limit(runs), []
    counted = [f"{way} {name}" for name in case.controls for way in ("gain", "loss")]
    for what in (*counted, "negative"):
        if found[what] > most:
            broken.append(f"{case.name}: {what} in {found[what]} of {runs} runs, at most {most}")
    gains = " | ".join(f"{name}: {found[f'gain {name}']}, {found[f'loss {name}']}" for name in case.controls)
    outcomes = " | ".join(str(found[name]) for name in ("positive", "negative", "none", "undecided"))
    print(f"| {case.name} | {len(case.y)} | {len(np.unique(case.y))} | {gains} | {outcomes} |", flush=True)
    return broken


def main() -> int:
    """Print the table; 1 where a limit is broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=400, help="shuffles a case")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=20261130)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    error = (RATE * (1 - RATE) * options.runs) ** 0.5
    print(
        f"Labels shuffled {options.runs} times (seed {options.seed}): how often p < .05 with a gain, with a "
        f"loss, against each of two controls; {RATE * options.runs:.0f} ± {error:.1f} are expected at the "
        f"most, {limit(options.runs)} are allowed.\n"
    )
    print("| features | rows | classes | control 1 | control 2 | positive | negative | none | undecided |")
    print("|" + "---|" * 9)
    broken = []
    for make in CASES:
        case = make()
        if case is not None:
            broken += print_case(case, options.runs, options.seed, options.seeds)
    print()
    for fault in broken:
        print(f"broken: {fault}", file=sys.stderr)
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
