"""Many probes at once: feature sets x targets x seeds x budgets, solved on every core."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine import _core
from tlengine.errors import InputError, RunFormatError, ShapeMismatchError, SingleClassError
from tlengine.probes.inputs import as_features, check_finite
from tlengine.probes.labels import check_labels
from tlengine.probes.paths import grid, target
from tlengine.settings import num_threads

__all__ = ["ProbeGrid", "probe_grid"]

_BATCH_BYTES = 256 << 20
_BATCH = 64
Record = dict[str, Any]


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


@dataclass(frozen=True, eq=False)
class _Job:
    features: str
    target: str
    seed: int
    budget: int | str
    rows: npt.NDArray[np.intp]
    folds: npt.NDArray[np.intp]
    test: npt.NDArray[np.intp]

    @property
    def key(self) -> tuple[str, str, int, int | str]:
        return self.features, self.target, self.seed, self.budget


def probe_grid(
    features: Mapping[str, npt.ArrayLike] | npt.ArrayLike,
    targets: Mapping[str, npt.ArrayLike] | npt.ArrayLike,
    *,
    budgets: Sequence[int | str] = ("all",),
    seeds: int | Sequence[int] = 5,
    Cs: int | npt.ArrayLike = 12,
    cv: int | None = 5,
    test_size: float = 0.25,
    tol: float = 1e-4,
    max_iter: int = 1000,
    resume: str | Path | None = None,
    n_jobs: int | None = None,
    progress: bool = True,
) -> ProbeGrid:
    """Fits a logistic probe for every feature set, target, seed and label budget.

    Each seed draws a stratified test part; budgets are nested draws per class from the rest. The same
    rows serve every feature set, so results are paired. C is chosen by log-loss over ``cv`` folds inside
    the budget; with ``cv=None`` every C is reported.

    Args:
        features: (n, d) arrays by name (a backbone, or a layer of it), or one array named ``"X"``.
        targets: (n,) labels by name, or one array named ``"y"``.
        budgets: training labels per class, or ``"all"``; classes with fewer rows give what they have.
        seeds: how many, or which.
        Cs: as in :func:`tlengine.probes.probe_path`.
        cv: folds inside each budget (fewer for small classes, at least 2), or None.
        test_size: share of each class that is tested on.
        tol: certified relative gap of every solution.
        max_iter: L-BFGS steps per C.
        resume: a file to which finished records are appended; a second call with the same data and
            settings takes up where the first was interrupted.
        n_jobs: threads; None is ``TLENGINE_NUM_THREADS`` or every core. Results do not depend on it.
        progress: show a bar on stderr where that is a terminal.

    Raises:
        InputError and its kind for data that cannot be used; RunFormatError where ``resume`` belongs to
        other data or settings.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(120, 6)).astype(np.float32)
    >>> found = probe_grid({"a": X, "b": X[:, :2]}, X[:, 0] > 0, budgets=[10, "all"], seeds=2, progress=False)
    >>> len(found.records), found.records[0]["features"], found.records[0]["budget"]
    (8, 'a', 10)
    """
    from tqdm import tqdm

    arrays = {name: as_features(X) for name, X in _named(features, "X").items()}
    labels = {
        name: np.unique(check_labels(y), return_inverse=True)[1] for name, y in _named(targets, "y").items()
    }
    _check(arrays, labels, budgets, test_size)
    values = grid(Cs)
    chosen = list(range(seeds)) if isinstance(seeds, int | np.integer) else [int(seed) for seed in seeds]
    settings = [sorted(arrays), sorted(labels), values.tolist(), cv, test_size, tol, max_iter]
    done = _Journal(resume, arrays, labels, settings)
    jobs = [
        job
        for name in arrays
        for target, y in labels.items()
        for seed in chosen
        for job in _draw(name, target, y, seed, budgets, cv, test_size)
    ]
    todo = [job for job in jobs if job.key not in done.records]
    bar = tqdm(
        total=len(jobs), initial=len(jobs) - len(todo), unit="probe", disable=None if progress else True
    )
    with bar:
        for batch in _batches(todo, arrays):
            X, y = arrays[batch[0].features], labels[batch[0].target]
            found = _core.solve_paths(
                [_problem(X, y, job) for job in batch], values.tolist(), tol=tol, max_iter=max_iter,
                fit_intercept=True, threads=num_threads(n_jobs),
            )  # fmt: skip
            done.add([(job.key, _records(job, X, y, f, values)) for job, f in zip(batch, found, strict=True)])
            bar.update(len(batch))
    return ProbeGrid(tuple(record for job in jobs for record in done.records[job.key]))


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
    for budget in budgets:
        if budget != "all" and not (isinstance(budget, int | np.integer) and budget >= 1):
            raise InputError(f"budget {budget!r}", hint="use whole numbers from 1, or 'all'")
    if not 0 < test_size < 1:
        raise InputError(f"test_size={test_size}; it must be between 0 and 1")


def _draw(
    name: str,
    target: str,
    y: npt.NDArray[Any],
    seed: int,
    budgets: Sequence[int | str],
    cv: int | None,
    test_size: float,
) -> Iterator[_Job]:
    """The jobs of one seed: a stratified test part, then nested draws from the rest."""
    order = np.random.default_rng(seed).permutation(len(y))
    # NumPy sorts small integers by radix: ten times faster.
    order = order[np.argsort(y.astype(np.min_scalar_type(y.max()))[order], kind="stable")]
    counts = np.bincount(y)
    rank = np.arange(len(y)) - np.repeat(np.cumsum(counts) - counts, counts)
    held = np.repeat(np.minimum(np.round(counts * test_size).astype(int), counts - 1), counts)
    test = np.sort(order[rank < held])
    if not len(test):
        raise InputError(f"target {target!r} has too few rows to hold any out", hint="raise test_size")
    place = rank - held
    for budget in budgets:
        used = (place >= 0) & (place < (len(y) if budget == "all" else int(budget)))
        rows = order[used]
        folds = np.full(len(rows), -1)
        if cv:
            folds = place[used] % max(2, min(cv, int(np.bincount(y[rows]).min())))
        yield _Job(name, target, seed, budget, rows, folds, test)


def _batches(jobs: Sequence[_Job], arrays: Mapping[str, npt.NDArray[Any]]) -> Iterator[list[_Job]]:
    """Jobs on the same features and target, as many as fit in memory at a time."""
    batch: list[_Job] = []
    size = 0
    for job in jobs:
        cost = len(job.rows) * arrays[job.features][:1].nbytes
        other = batch and (batch[0].features, batch[0].target) != (job.features, job.target)
        if batch and (other or len(batch) == _BATCH or size + cost > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(job)
        size += cost
    if batch:
        yield batch


def _problem(X: npt.NDArray[Any], y: npt.NDArray[Any], job: _Job) -> Any:
    labels = y[job.rows].astype(np.uint32)
    classes = int(y.max()) + 1
    every = np.ones(len(labels))
    goal = target(labels, classes)
    tasks: list[Any] = [(*goal, every, None)]
    for fold in range(job.folds.max() + 1):
        held_out = (job.folds == fold).astype(np.float64)
        tasks.append((*goal, every - held_out, held_out))
    return X[job.rows], tasks


def _records(
    job: _Job,
    X: npt.NDArray[Any],
    y: npt.NDArray[Any],
    found: Sequence[dict[str, Any]],
    Cs: npt.NDArray[np.float64],
) -> list[Record]:
    """One record for the chosen C, or for each C where nothing chooses."""
    path = found[0]
    reported: Sequence[int] = range(len(Cs))
    if len(found) > 1:
        loss = np.mean(
            [fold["held_out_loss"] / (job.folds == i).sum() for i, fold in enumerate(found[1:])], axis=0
        )
        reported = [int(np.lexsort((Cs, loss))[0])]
    accuracy, log_loss = _scores(
        X[job.test], y[job.test], path["coef"][reported], path["intercept"][reported]
    )
    return [
        {
            "features": job.features,
            "target": job.target,
            "seed": job.seed,
            "budget": job.budget,
            "n_train": len(job.rows),
            "n_test": len(job.test),
            "C": float(Cs[c]),
            "accuracy": float(accuracy[i]),
            "log_loss": float(log_loss[i]),
            "converged": bool(path["converged"][c]),
        }
        for i, c in enumerate(reported)
    ]


def _scores(
    X: npt.NDArray[Any], y: npt.NDArray[Any], coef: npt.NDArray[Any], intercept: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Accuracy and log-loss of each of n_C solutions, (n_C, K, d) and (n_C, K)."""
    count, columns, d = coef.shape
    # Classes come first: reductions over the first axis are whole-array operations.
    logits = coef.transpose(1, 0, 2).reshape(-1, d) @ X.T + intercept.T.reshape(-1, 1)
    logits = logits.reshape(columns, count, len(X))
    if columns == 1:
        logits = np.concatenate([np.zeros_like(logits), logits])
    own = logits[y, :, np.arange(len(y))].T
    top = logits.max(axis=0)
    first = np.full(top.shape, len(logits))
    for k in reversed(range(len(logits))):
        first[logits[k] == top] = k
    np.exp(np.subtract(logits, top, out=logits), out=logits)
    loss = np.log(logits.sum(axis=0)) + (top - own)
    return (first == y).mean(axis=1), loss.mean(axis=1)


class _Journal:
    """Finished records by job, kept in a JSON-lines file if there is one."""

    def __init__(
        self, path: str | Path | None, arrays: Mapping[str, Any], labels: Mapping[str, Any], settings: Any
    ) -> None:
        self.path = None if path is None else Path(path)
        self.records: dict[tuple[Any, ...], list[Record]] = {}
        if self.path is None:
            return
        digest = hashlib.blake2b(json.dumps(settings).encode(), digest_size=16)
        for name, array in sorted((*arrays.items(), *labels.items())):
            digest.update(f"\0{name}\0{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        header = json.dumps({"format": "tlengine-grid", "digest": digest.hexdigest()})
        if not self.path.exists() or not self.path.stat().st_size:
            self.path.write_text(header + "\n", encoding="utf-8")
        self._read(self.path, header)

    def _read(self, path: Path, header: str) -> None:
        first, *lines = path.read_text(encoding="utf-8").split("\n")
        if first != header:
            raise RunFormatError(
                f"{path} belongs to other data or settings", hint="name another file, or delete this one"
            )
        whole = len(first) + 1
        for line in lines[:-1]:
            key, records = json.loads(line)
            self.records[tuple(key)] = records
            whole += len(line.encode()) + 1
        # A line that was cut off by a crash has no newline: it is computed again.
        with path.open("r+b") as file:
            file.truncate(whole)

    def add(self, finished: Sequence[tuple[tuple[Any, ...], list[Record]]]) -> None:
        self.records.update(finished)
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps([key, records]) + "\n" for key, records in finished)
