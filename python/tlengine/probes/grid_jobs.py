"""The jobs of a grid: which rows each probe is fitted and tested on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tlengine.data.folds import assign_test, held_counts, inner_folds, turns
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
    """For each seed a stratified test part of the rows of a target, and nested draws from the rest.

    The draws are those of :mod:`tlengine.data.folds`. Where every row is a unit of its own, one random
    order of the rows, class by class, gives test part, budgets and folds at once: the same in law.
    """

    def __init__(
        self,
        target: str,
        y: npt.NDArray[Any],
        cv: int | None,
        test_size: float,
        units: npt.NDArray[np.intp] | None = None,
    ) -> None:
        counts = np.bincount(y)
        self._held = held_counts(counts, test_size)
        if not self._held.any():
            raise InputError(f"target {target!r} has too few rows to hold any out", hint="raise test_size")
        # NumPy sorts small integers by radix: ten times faster.
        self.y = y.astype(np.min_scalar_type(y.max()))
        self.target, self.cv, self.test_size = target, cv, test_size
        self.units = None if units is None or len(np.unique(units)) == len(y) else units
        rank = np.arange(len(y)) - np.repeat(np.cumsum(counts) - counts, counts)
        self._place = rank - np.repeat(self._held, counts)
        self._by_class = np.repeat(np.arange(len(counts)), counts)

    def most(self, budget: int | str) -> int:
        """Rows of a draw, at the most."""
        return len(self.y) if budget == "all" else min(len(self.y), int(budget) * (int(self.y.max()) + 1))

    def jobs(self, keys: Sequence[Key]) -> Iterator[Job]:
        """The jobs of these places, which are on the same features and target.

        Raises:
            InputError: a draw of which nothing can be held out, or nothing can be tested.
        """
        for seed, same in groupby(keys, lambda key: key.seed):
            draw = self._of_rows(seed) if self.units is None else self._of_units(seed, self.units)
            for key in same:
                job = draw(key)
                if self.cv and job.folds.max() < 0:
                    raise InputError(
                        f"target {self.target!r}, seed {seed}, budget {key.budget}: no class has two samples "
                        "(or groups) of which one could be held out to choose C",
                        hint="a larger budget, or cv=None for every C",
                    )
                yield job

    def _of_rows(self, seed: int) -> Callable[[Key], Job]:
        order = np.random.default_rng(seed).permutation(len(self.y))
        order = order[np.argsort(self.y[order], kind="stable")]
        tested = self._place < 0
        test = np.sort(order[tested])

        def draw(key: Key) -> Job:
            used = ~tested if key.budget == "all" else ~tested & (self._place < int(key.budget))
            return Job(key, order[used], self._folds(self._by_class[used]), test)

        return draw

    def _folds(self, codes: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """The fold of each of the rows, which come class by class; -1 where one is all of its class."""
        folds = np.full(len(codes), -1)
        if self.cv:
            counts = np.bincount(codes)
            several = counts[codes] > 1
            folds[several] = np.arange(np.count_nonzero(several)) % max(2, min(self.cv, int(counts.max())))
        return folds

    def _of_units(self, seed: int, units: npt.NDArray[np.intp]) -> Callable[[Key], Job]:
        rng = np.random.default_rng(seed)
        tested = assign_test(self.y, units, self.test_size, rng)
        train = np.flatnonzero(~tested)
        turn = turns(self.y[train], rng)
        test = np.flatnonzero(tested & np.isin(self.y, self.y[train]))
        if not len(test):
            raise InputError(
                f"target {self.target!r}, seed {seed}: no group of it can be both tested and trained on",
                hint="a class needs two groups at least",
            )

        def draw(key: Key) -> Job:
            rows = train if key.budget == "all" else train[turn < int(key.budget)]
            folds = np.full(len(rows), -1)
            pairs = inner_folds(self.y[rows], units[rows], self.cv) if self.cv else []
            for number, (_, held) in enumerate(pairs):
                folds[held] = number
            return Job(key, rows, folds, test)

        return draw


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
