"""The jobs of a grid: which rows each probe is fitted and tested on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tlengine.data.folds import assign_test, held_counts, inner_folds, turns
from tlengine.errors import InputError

__all__ = ["Draws", "Job", "Key", "label_turns", "where"]

Rows = npt.NDArray[np.intp]

_SEEDS = 4
"""Seeds of which the order of all rows is kept, for the other feature sets and budgets."""


class Key(NamedTuple):
    """The place of a probe in the grid."""

    features: str
    target: str
    seed: int
    budget: int | str


def where(key: Key) -> str:
    """The place of a job, for messages."""
    return f"at features {key.features!r}, target {key.target!r}, seed {key.seed}, budget {key.budget}"


@dataclass(frozen=True, eq=False)
class Job:
    """One probe: its place in the grid, its training rows with their folds, and its test rows."""

    key: Key
    rows: Rows
    folds: Rows
    test: Rows


class Draws:
    """For each seed a test part of the rows of a target, and nested draws from the rest.

    The draws are those of :mod:`tlengine.data.folds`. Where every row is a unit of its own, one random
    order of the rows, class by class, gives test part, budgets and folds at once: the same in law.

    Args:
        target: its name, for messages.
        y: (n,) class numbers; or (n, L), which labels each row has: test part and folds are then drawn
            without strata, and budgets by :func:`label_turns`.
        cv: folds inside each budget, or None.
        test_size: share of each class (or of all rows) that is tested.
        units: (n,) rows of one unit stay on one side; None: every row is a unit.
        splits: seed -> (training rows, test rows) from the user, taken as given.

    Attributes:
        tested: test rows of a seed, about.
    """

    def __init__(
        self,
        target: str,
        y: npt.NDArray[Any],
        cv: int | None,
        test_size: float,
        units: Rows | None = None,
        splits: Mapping[int, tuple[Rows, Rows]] | None = None,
    ) -> None:
        self.target, self.cv, self.test_size, self.splits = target, cv, test_size, splits
        self.units = None if units is None or len(np.unique(units)) == len(y) else units
        self.several = y.ndim == 2
        # NumPy sorts small integers by radix: ten times faster.
        self.y = y if self.several else y.astype(np.min_scalar_type(y.max()))
        self._strata = y.shape[1] + 1 if self.several else int(y.max()) + 1
        self.tested = (
            round(len(y) * test_size) if splits is None else max(len(test) for _, test in splits.values())
        )
        if not self.several and splits is None:
            self._lay_out()
        self._seed = lru_cache(_SEEDS)(self._of_seed)

    def _lay_out(self) -> None:
        """Where in an order class by class the test part and the budgets of each class are."""
        counts = np.bincount(self.y)
        held = held_counts(counts, self.test_size)
        if not held.any():
            raise InputError(
                f"target {self.target!r} has too few rows to hold any out", hint="raise test_size"
            )
        rank = np.arange(len(self.y)) - np.repeat(np.cumsum(counts) - counts, counts)
        self._place = rank - np.repeat(held, counts)
        self._by_class = np.repeat(np.arange(len(counts)), counts)

    def most(self, budget: int | str) -> int:
        """Rows of a draw, at the most."""
        return len(self.y) if budget == "all" else min(len(self.y), int(budget) * self._strata)

    def is_seeded(self, budget: int | str) -> bool:
        """Whether a draw may depend on the seed: not where one split of the user's is used whole."""
        parts = (
            [] if self.splits is None else list({id(pair): pair for pair in self.splits.values()}.values())
        )
        if len(parts) != 1 or budget == "all":
            return len(parts) != 1
        y = self.y[parts[0][0]]
        kinds = [*y.sum(axis=0), (~y.any(axis=1)).sum()] if self.several else np.bincount(y)
        return int(max(kinds)) > int(budget)

    def jobs(self, keys: Sequence[Key]) -> Iterator[Job]:
        """The jobs of these places, which are on this target.

        Raises:
            InputError: a draw of which nothing can be held out, or nothing can be tested.
        """
        for key in keys:
            job = self._seed(key.seed)(key)
            if self.cv and (not len(job.folds) or job.folds.max() < 0):
                raise InputError(
                    f"target {self.target!r}, seed {key.seed}, budget {key.budget}: no class has two samples "
                    "(or groups) of which one could be held out to choose C",
                    hint="a larger budget, or cv=None for every C",
                )
            yield job

    def _of_seed(self, seed: int) -> Callable[[Key], Job]:
        quick = self.units is None and self.splits is None and not self.several
        return self._of_rows(seed) if quick else self._of_units(seed)

    def _of_rows(self, seed: int) -> Callable[[Key], Job]:
        order = np.random.default_rng(seed).permutation(len(self.y))
        order = order[np.argsort(self.y[order], kind="stable")]
        tested = self._place < 0
        test = np.sort(order[tested])

        def draw(key: Key) -> Job:
            used = ~tested if key.budget == "all" else ~tested & (self._place < int(key.budget))
            return Job(key, order[used], self._folds(self._by_class[used]), test)

        return draw

    def _folds(self, codes: Rows) -> Rows:
        """The fold of each of the rows, which come class by class; -1 where one is all of its class.

        Rows of a class are in folds that follow each other, so a class of two rows or more is in every fit.
        """
        folds = np.full(len(codes), -1)
        if self.cv:
            counts = np.bincount(codes)
            several = counts[codes] > 1
            folds[several] = np.arange(np.count_nonzero(several)) % max(2, min(self.cv, int(counts.max())))
        return folds

    def _of_units(self, seed: int) -> Callable[[Key], Job]:
        rng = np.random.default_rng(seed)
        units = np.arange(len(self.y)) if self.units is None else self.units
        train, test = self._parts(seed, units, rng)
        turn = label_turns(self.y[train], rng) if self.several else turns(self.y[train], rng)

        def draw(key: Key) -> Job:
            rows = train if key.budget == "all" else train[turn < int(key.budget)]
            return Job(key, rows, self._inner(rows, units[rows]), test)

        return draw

    def _parts(self, seed: int, units: Rows, rng: np.random.Generator) -> tuple[Rows, Rows]:
        """Rows to draw budgets from, and the test rows, all of classes that the former have."""
        if self.splits is not None:
            train, test = self.splits[seed]
        else:
            strata = np.zeros(len(self.y), dtype=np.intp) if self.several else self.y
            tested = assign_test(strata, units, self.test_size, rng)
            train, test = np.flatnonzero(~tested), np.flatnonzero(tested)
        if not self.several:
            test = test[np.isin(self.y[test], self.y[train])]
        if not len(test) or not len(train):
            raise InputError(
                f"target {self.target!r}, seed {seed}: no group of it can be both tested and trained on",
                hint="a class needs two groups at least",
            )
        return train, test

    def _inner(self, rows: Rows, units: Rows) -> Rows:
        """The fold of each of the rows; -1 where a row is held out in none."""
        folds = np.full(len(rows), -1)
        codes = np.zeros(len(rows), dtype=np.intp) if self.several else self.y[rows]
        pairs = inner_folds(codes, units, self.cv) if self.cv else []
        for number, (_, held) in enumerate(pairs):
            folds[held] = number
        return folds


def label_turns(Y: npt.NDArray[np.bool_], rng: np.random.Generator) -> Rows:
    """For each row the least of its places among the rows of each of its labels, in one random order.

    Rows without a label are a label of their own. So the rows whose turn is below b are, for every label, b
    random rows that have it, or all of them; a row that was drawn for one label counts for its others too.
    With one label per row these are the draws of :func:`tlengine.data.folds.turns`.

    >>> label_turns(np.array([[1, 1], [1, 0], [0, 0]], dtype=bool), np.random.default_rng(1)).tolist()
    [0, 1, 0]
    """
    order = rng.permutation(len(Y))
    kinds = np.column_stack([Y, ~Y.any(axis=1)])[order]
    places = np.where(kinds, np.cumsum(kinds, axis=0) - 1, len(Y))
    found = np.empty(len(Y), dtype=np.intp)
    found[order] = places.min(axis=1)
    return found
