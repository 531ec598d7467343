"""The jobs of a grid: which rows each probe is fitted and tested on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.errors import InputError

__all__ = ["Job", "batches", "draw"]

_BATCH_BYTES = 256 << 20
_BATCH = 64


@dataclass(frozen=True, eq=False)
class Job:
    """One probe: its place in the grid, its training rows with their folds, and its test rows."""

    features: str
    target: str
    seed: int
    budget: int | str
    rows: npt.NDArray[np.intp]
    folds: npt.NDArray[np.intp]
    test: npt.NDArray[np.intp]

    @property
    def key(self) -> tuple[str, str, int, int | str]:
        """What tells it from the others."""
        return self.features, self.target, self.seed, self.budget


def draw(
    name: str,
    target: str,
    y: npt.NDArray[Any],
    seed: int,
    budgets: Sequence[int | str],
    cv: int | None,
    test_size: float,
) -> Iterator[Job]:
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
        yield Job(name, target, seed, budget, rows, folds, test)


def batches(jobs: Sequence[Job], arrays: Mapping[str, npt.NDArray[Any]]) -> Iterator[list[Job]]:
    """Jobs on the same features and target, as many as fit in memory at a time."""
    batch: list[Job] = []
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
