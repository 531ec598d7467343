"""The jobs of a grid: which rows each probe is fitted and tested on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tlengine.errors import InputError

__all__ = ["Draws", "Job", "Key", "batches"]

_BATCH_BYTES = 256 << 20
_BATCH = 64


class Key(NamedTuple):
    """The place of a probe in the grid."""

    features: str
    target: str
    seed: int
    budget: int | str


@dataclass(frozen=True, eq=False)
class Job:
    """One probe: its place in the grid, its training rows with their folds, and its test rows."""

    key: Key
    rows: npt.NDArray[np.intp]
    folds: npt.NDArray[np.intp]
    test: npt.NDArray[np.intp]


class Draws:
    """For each seed a stratified test part of the rows of a target, and nested draws from the rest."""

    def __init__(self, target: str, y: npt.NDArray[Any], cv: int | None, test_size: float) -> None:
        counts = np.bincount(y)
        held = np.minimum(np.round(counts * test_size).astype(int), counts - 1)
        if not held.any():
            raise InputError(f"target {target!r} has too few rows to hold any out", hint="raise test_size")
        # NumPy sorts small integers by radix: ten times faster.
        self.y = y.astype(np.min_scalar_type(y.max()))
        self.cv = cv
        rank = np.arange(len(y)) - np.repeat(np.cumsum(counts) - counts, counts)
        self._place = rank - np.repeat(held, counts)
        self._test = self._place < 0

    def most(self, budget: int | str) -> int:
        """Rows of a draw, at the most."""
        return len(self.y) if budget == "all" else min(len(self.y), int(budget) * (int(self.y.max()) + 1))

    def jobs(self, keys: Sequence[Key]) -> Iterator[Job]:
        """The jobs of these places, which are on the same features and target."""
        for seed, same in groupby(keys, lambda key: key.seed):
            order = np.random.default_rng(seed).permutation(len(self.y))
            order = order[np.argsort(self.y[order], kind="stable")]
            test = np.sort(order[self._test])
            for key in same:
                used, folds = self._used(key.budget)
                yield Job(key, order[used], folds, test)

    def _used(self, budget: int | str) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.intp]]:
        """Which places of an order by class are trained on, and the fold of each."""
        used = ~self._test
        if budget != "all":
            used &= self._place < int(budget)
        place = self._place[used]
        if not self.cv:
            return used, np.full(len(place), -1)
        # Ranks start anew with each class: the smallest class has as many as there are of the largest rank.
        fewest = np.diff(np.flatnonzero(np.append(place == 0, True))).min()
        return used, place % max(2, min(self.cv, int(fewest)))


def batches(
    keys: Sequence[Key], arrays: Mapping[str, npt.NDArray[Any]], draws: Mapping[str, Draws]
) -> Iterator[list[Key]]:
    """Places on the same features and target, as many as fit in memory at a time."""
    batch: list[Key] = []
    size = 0
    for key in keys:
        cost = draws[key.target].most(key.budget) * arrays[key.features][:1].nbytes
        other = batch and batch[0][:2] != key[:2]
        if batch and (other or len(batch) == _BATCH or size + cost > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(key)
        size += cost
    if batch:
        yield batch
