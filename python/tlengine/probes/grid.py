"""Many probes at once: feature sets x targets x seeds x budgets, solved on every core."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby, product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine import _core
from tlengine.data.units import content_digests, unit_index
from tlengine.errors import InputError, ShapeMismatchError, SingleClassError
from tlengine.probes.arrays import check_finite
from tlengine.probes.grid_arguments import check_settings, checked_seeds
from tlengine.probes.grid_jobs import Draws, Job, Key, batches
from tlengine.probes.grid_journal import Finished, Journal, Record
from tlengine.probes.inputs import as_features
from tlengine.probes.labels import check_labels
from tlengine.probes.paths import regularisation_grid, target
from tlengine.settings import hidden_bar, num_threads

__all__ = ["ProbeGrid", "probe_grid"]


@dataclass(frozen=True, eq=False)
class ProbeGrid:
    """The results of :func:`probe_grid`: one flat record per probe.

    Each record has ``features, target, seed, budget, n_train, n_test, C, accuracy, log_loss, converged``.
    """

    records: tuple[Record, ...]

    def to_pandas(self) -> Any:
        """A ``pandas.DataFrame`` with one row per record.

        Raises:
            MissingPackageError: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError:
            from tlengine.errors import MissingPackageError

            raise MissingPackageError("to_pandas needs pandas", hint="pip install pandas") from None
        return pd.DataFrame.from_records(list(self.records))


def probe_grid(
    features: Mapping[str, npt.ArrayLike] | npt.ArrayLike,
    targets: Mapping[str, npt.ArrayLike] | npt.ArrayLike,
    *,
    budgets: Sequence[int | str] = ("all",),
    seeds: int | Sequence[int] = 5,
    Cs: int | npt.ArrayLike = 12,
    cv: int | None = 5,
    test_size: float = 0.25,
    groups: npt.ArrayLike | None = None,
    keys: npt.ArrayLike | None = None,
    tol: float = 1e-4,
    max_iter: int = 1000,
    resume: str | Path | None = None,
    n_jobs: int | None = None,
    progress: bool = True,
) -> ProbeGrid:
    """Fits a logistic probe for every feature set, target, seed and label budget.

    Each seed draws a stratified test part; budgets are nested draws per class from the rest. The same
    rows serve every feature set, so results are paired. Rows of one group, and rows of equal content, are
    never on both sides of a split. C is chosen by log-loss over ``cv`` folds inside the budget; with
    ``cv=None`` every C is reported.

    Args:
        features: (n, d) arrays by name (a backbone, or a layer of it), or one array named ``"X"``.
        targets: (n,) labels by name, or one array named ``"y"``.
        budgets: training labels per class, or ``"all"``; classes with fewer rows give what they have.
        seeds: how many, or which.
        Cs: as in :func:`tlengine.probes.probe_path`.
        cv: folds inside each budget (fewer for small classes, at least 2), or None. A class of one row (or
            group) is in every fit and held out in none.
        test_size: share of each class that is tested on. Test rows of a class that no training row has are
            left out; ``n_test`` counts the others.
        groups: (n,) rows of one group stay on one side, or None.
        keys: (n, 32) content digests; None: contents are equal where the rows of all features are.
        tol: certified relative gap of every solution.
        max_iter: L-BFGS steps per C.
        resume: a file to which finished records are appended; a second call with the same data and
            settings takes up where the first was interrupted.
        n_jobs: threads; None is ``TLENGINE_NUM_THREADS`` or every core. Results do not depend on it.
        progress: show a bar on stderr where that is a terminal.

    Raises:
        InputError and its kind for data that cannot be used, or where another process writes to ``resume``;
        RunFormatError where that belongs to other data or settings, or another version of tlengine.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(120, 6)).astype(np.float32)
    >>> found = probe_grid({"a": X, "b": X[:, :2]}, X[:, 0] > 0, budgets=[10, "all"], seeds=2, progress=False)
    >>> len(found.records), found.records[0]["features"], found.records[0]["budget"]
    (8, 'a', 10)
    """
    from tqdm import tqdm

    chosen = checked_seeds(seeds)
    check_settings(Cs=Cs, cv=cv, test_size=test_size, tol=tol, max_iter=max_iter, resume=resume)
    arrays = {name: as_features(X) for name, X in _named(features, "X").items()}
    labels = {
        name: np.unique(check_labels(y), return_inverse=True)[1] for name, y in _named(targets, "y").items()
    }
    budgets = _budgets(budgets)
    _check(arrays, labels, budgets, test_size)
    values = regularisation_grid(Cs)
    units = _units(arrays, groups, keys)
    told = hashlib.blake2b(units.tobytes(), digest_size=16).hexdigest()
    settings = [sorted(arrays), sorted(labels), values.tolist(), cv, test_size, tol, max_iter, told]
    draws = {name: Draws(name, y, cv, test_size, units) for name, y in labels.items()}
    places = [Key(*place) for place in product(arrays, labels, chosen, budgets)]
    work = _Work(arrays, labels, draws, values, tol=tol, max_iter=max_iter, threads=num_threads(n_jobs))
    with Journal(resume, arrays, labels, settings) as done:
        todo = [place for place in places if place not in done.records]
        before = len(places) - len(todo)
        bar = tqdm(total=len(places), initial=before, unit="probe", disable=hidden_bar(progress))

        def keep(finished: list[Finished]) -> None:
            done.add(finished)
            bar.update(len(finished))

        with bar:
            work.run(batches(todo, arrays, draws), keep)
    return ProbeGrid(tuple(record for place in places for record in done.records[place]))


class _Work:
    """Solves batches of jobs. A second thread meanwhile readies the next batch and scores the last."""

    def __init__(
        self,
        arrays: Mapping[str, npt.NDArray[Any]],
        labels: Mapping[str, npt.NDArray[Any]],
        draws: Mapping[str, Draws],
        Cs: npt.NDArray[np.float64],
        *,
        tol: float,
        max_iter: int,
        threads: int,
    ) -> None:
        self.arrays, self.draws, self.Cs = arrays, draws, Cs
        self.labels = {name: y.astype(np.uint32) for name, y in labels.items()}
        self.settings: dict[str, Any] = {"tol": tol, "max_iter": max_iter, "threads": threads}

    def run(self, batches: Iterable[list[Key]], keep: Callable[[list[Finished]], object]) -> None:
        """Hands the records of one batch after the other to ``keep``."""
        rest = iter(batches)
        scored: Future[list[Finished]] | None = None
        with ThreadPoolExecutor(1) as beside:
            ready = beside.submit(self.problems, next(rest, []))
            try:
                while (batch := ready.result())[0]:
                    jobs, problems = batch
                    ready = beside.submit(self.problems, next(rest, []))
                    found = _core.solve_paths(problems, self.Cs.tolist(), fit_intercept=True, **self.settings)
                    last, scored = scored, beside.submit(self.scores, jobs, found)
                    if last:
                        keep(last.result())
            finally:
                if scored:
                    keep(scored.result())

    def problems(self, keys: Sequence[Key]) -> tuple[list[Job], list[Any]]:
        """The jobs of a batch, and what the core solves for them."""
        if not keys:
            return [], []
        X, y = self.data(keys[0])
        jobs = list(self.draws[keys[0].target].jobs(keys))
        return jobs, [_problem(X, y, job) for job in jobs]

    def scores(self, jobs: Sequence[Job], found: Sequence[Any]) -> list[Finished]:
        """The records of each job, from its solutions."""
        X, y = self.data(jobs[0].key)
        reported = [_reported(job, paths, self.Cs) for job, paths in zip(jobs, found, strict=True)]
        records: list[Finished] = []
        # Test parts are scored together as far as they have the same size: with groups they need not.
        for _, same in groupby(range(len(jobs)), lambda i: len(jobs[i].test)):
            places = list(same)
            paths = [found[i][0] for i in places]
            logits = np.stack([
                _core.solution_logits(
                    X, jobs[i].test, path["coef"][reported[i]], path["intercept"][reported[i]]
                )
                for i, path in zip(places, paths, strict=True)
            ])  # fmt: skip
            accuracy, log_loss = _scores(logits, y[[jobs[i].test for i in places]])
            records += [
                (jobs[i].key, _records(jobs[i], path, self.Cs, reported[i], *scores))
                for i, path, *scores in zip(places, paths, accuracy, log_loss, strict=True)
            ]
        return records

    def data(self, key: Key) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        return self.arrays[key.features], self.labels[key.target]


def _units(
    arrays: Mapping[str, npt.NDArray[Any]], groups: npt.ArrayLike | None, keys: npt.ArrayLike | None
) -> npt.NDArray[np.intp]:
    """The unit of each row, by the user's groups and keys, or by the rows of all features."""
    first = next(iter(arrays.values()))
    digests = content_digests(*arrays.values()) if keys is None else np.asarray(keys, dtype=np.uint8)
    return unit_index(len(first), groups=groups, keys=digests)


def _budgets(given: Any) -> list[int | str]:
    """Budgets in Python's own types, from a row of any kind.

    Raises:
        InputError: something else than whole numbers from 1 and ``"all"``.
    """
    if isinstance(given, str) or not np.iterable(given):
        given = [given]
    for budget in given:
        is_number = isinstance(budget, int | np.integer) and not isinstance(budget, bool)
        if not (isinstance(budget, str) and budget == "all") and not (is_number and budget >= 1):
            raise InputError(f"budget {budget!r}", hint="use whole numbers from 1, or 'all'")
    return ["all" if budget == "all" else int(budget) for budget in given]


def _named(values: Any, name: str) -> dict[str, Any]:
    return (
        {str(key): value for key, value in values.items()} if isinstance(values, Mapping) else {name: values}
    )


def _check(
    arrays: Mapping[str, npt.NDArray[Any]],
    labels: Mapping[str, npt.NDArray[Any]],
    budgets: Sequence[int | str],
    test_size: float,
) -> None:
    if not arrays or not labels or not budgets:
        raise InputError("nothing to do: no features, no targets or no budgets")
    lengths = {name: len(array) for name, array in (*arrays.items(), *labels.items())}
    if len(set(lengths.values())) > 1:
        raise ShapeMismatchError(f"features and targets of different lengths: {lengths}")
    for name, array in arrays.items():
        check_finite(array, name)
    for name, y in labels.items():
        if y.max() < 1:
            raise SingleClassError(f"target {name!r} has only one class", hint="leave it out")
    if not 0 < test_size < 1:
        raise InputError(f"test_size={test_size}; it must be between 0 and 1")


def _problem(X: npt.NDArray[Any], y: npt.NDArray[Any], job: Job) -> Any:
    labels = y[job.rows]
    every = np.ones(len(labels))
    goal = target(labels, int(y.max()) + 1)
    tasks: list[Any] = [(*goal, every, None)]
    for fold in range(job.folds.max() + 1):
        held_out = (job.folds == fold).astype(np.float64)
        tasks.append((*goal, every - held_out, held_out))
    return X, job.rows, tasks


def _reported(job: Job, found: Sequence[dict[str, Any]], Cs: npt.NDArray[np.float64]) -> slice:
    """The chosen C, or each C where nothing chooses."""
    if len(found) == 1:
        return slice(None)
    losses = [fold["held_out_loss"] / (job.folds == i).sum() for i, fold in enumerate(found[1:])]
    best = int(np.lexsort((Cs, np.mean(losses, axis=0)))[0])
    return slice(best, best + 1)


def _records(
    job: Job,
    path: dict[str, Any],
    Cs: npt.NDArray[np.float64],
    reported: slice,
    accuracy: npt.NDArray[np.float64],
    log_loss: npt.NDArray[np.float64],
) -> list[Record]:
    """One record for each reported C."""
    place = {**job.key._asdict(), "n_train": len(job.rows), "n_test": len(job.test)}
    names = ("C", "accuracy", "log_loss", "converged")
    columns = (Cs[reported], accuracy, log_loss, path["converged"][reported])
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [place | dict(zip(names, row, strict=True)) for row in rows]


def _scores(
    logits: npt.NDArray[Any], y: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Accuracy and log-loss (jobs, n_C) from logits (jobs, n_C, K, n) and labels (jobs, n)."""
    if logits.shape[2] == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=2)
    top = logits.max(axis=2)
    own = np.take_along_axis(logits, y[:, None, None, :], axis=2)[:, :, 0]
    # Where several classes have the highest logit the first of them counts, as for argmax.
    first = np.full(top.shape, logits.shape[2], dtype=np.int32)
    for k in reversed(range(logits.shape[2])):
        first[logits[:, :, k] == top] = k
    np.exp(np.subtract(logits, top[:, :, None], out=logits), out=logits)
    loss = np.log(logits.sum(axis=2)) + (top - own)
    return (first == y[:, None]).mean(axis=2), loss.mean(axis=2, dtype=np.float64)
