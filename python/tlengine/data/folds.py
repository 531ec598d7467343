"""Deals whole units to folds, to a test part, and to the inner folds of a budget, class by class.

The one place where rows are told apart at random: resamples, inner folds, ``probe``, ``knn`` and
``probe_grid`` all come here.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["MIN_TRAIN", "assign_folds", "assign_test", "held_counts", "inner_folds", "turns"]

Rows = npt.NDArray[np.intp]
Codes = npt.NDArray[np.integer[Any]]
Mask = npt.NDArray[np.bool_]
Contents = list[tuple[int, int]]
"""What a unit holds: (class, how many rows) for each class that it has."""

MIN_TRAIN = 2
"""Rows of a class that every training part needs: one to learn from while the other one checks."""
JITTER = 4.0
"""Units are placed by falling log2(size) + U(0, JITTER): before others of up to 16 times their size."""


def assign_folds(codes: Codes, units: Rows, n_folds: int, rng: np.random.Generator) -> Rows:
    """Deal whole units to folds so that every fold has its share of every class.

    Units of several rows are placed first, the larger ones early, each where its classes are scarcest;
    single rows are then dealt class by class to the folds that have the fewest of that class.

    Args:
        codes: (n,) class numbers from 0.
        units: (n,) unit of each row.
        n_folds: how many folds.
        rng: decides about the order of the units, within bounds, and of the single rows.

    Returns:
        (n,) the fold of each row.
    """
    sizes = np.bincount(units)
    if not len(codes) or sizes.max() == 1:
        return _dealt_evenly(codes, n_folds, rng)
    home, counts = _placed(codes, units, _by_falling_size(sizes, rng), n_folds)
    folds = home[units]
    single = rng.permutation(np.flatnonzero(folds < 0))
    for code in np.unique(codes[single]).tolist():
        rows = single[codes[single] == code]
        dealt = _deal(counts, code, len(rows))
        folds[rows] = dealt
        counts[:, code] += np.bincount(dealt, minlength=n_folds)
    return folds


def _by_falling_size(sizes: Rows, rng: np.random.Generator) -> Rows:
    """The units of several rows, larger ones early."""
    several = np.flatnonzero(sizes > 1)
    return several[np.argsort(-np.log2(sizes[several]) - rng.uniform(0, JITTER, len(several)))]


def _dealt_evenly(codes: Codes, n_folds: int, rng: np.random.Generator) -> Rows:
    """Where each row is a unit: class after class, one to each fold in turn."""
    order = rng.permutation(len(codes))
    order = order[np.argsort(codes[order], kind="stable")]
    folds = np.empty(len(codes), dtype=np.intp)
    folds[order] = np.arange(len(codes)) % n_folds
    return folds


def _placed(
    codes: Codes, units: Rows, order: Rows, n_folds: int, *, in_step: bool = False
) -> tuple[Rows, Rows]:
    """The fold of each unit (-1 for those not in ``order``), and the rows (n_folds, K) in each fold so far.

    A unit goes where sum_c(rows of c there x rows of c in the unit / rows of c) is least, which keeps the
    sum of squared class shares small; among equals to the fold with the fewest rows or, ``in_step``, to the
    first: classes that share no unit are then in the same folds.
    """
    weight = (1 / np.maximum(np.bincount(codes), 1)).tolist()
    counts = [[0] * len(weight) for _ in range(n_folds)]
    totals = [0] * n_folds
    home = np.full(int(units.max()) + 1, -1, dtype=np.intp)
    for unit, contents in _contents(codes, units, order):
        crowded = [sum([row[c] * k * weight[c] for c, k in contents]) for row in counts]
        fold = min(range(n_folds), key=lambda f: (crowded[f], 0 if in_step else totals[f]))
        for c, k in contents:
            counts[fold][c] += k
            totals[fold] += k
        home[unit] = fold
    return home, np.array(counts, dtype=np.intp)


def _contents(codes: Codes, units: Rows, order: Rows) -> Iterator[tuple[int, Contents]]:
    """What the units in ``order`` hold, in that order."""
    n_classes = int(codes.max()) + 1
    rank = np.full(int(units.max()) + 1, -1, dtype=np.intp)
    rank[order] = np.arange(len(order))
    ranks = rank[units]
    there = ranks >= 0
    pairs, sizes = np.unique(ranks[there] * n_classes + codes[there], return_counts=True)
    starts = np.flatnonzero(np.diff(pairs // n_classes, prepend=-1))
    held = list(zip((pairs % n_classes).tolist(), sizes.tolist(), strict=True))
    ends = [*starts[1:].tolist(), len(held)]
    for unit, start, end in zip(order.tolist(), starts.tolist(), ends, strict=True):
        yield unit, held[start:end]


def _deal(counts: Rows, code: int, n: int) -> Rows:
    """Folds for n single rows of a class: where it is scarcest first, among equals in the smallest fold."""
    tie = np.argsort(np.argsort(counts.sum(axis=1), kind="stable"))
    turn = np.arange(n)
    levels = [
        np.stack([counts[f, code] + turn, np.full(n, tie[f]), np.full(n, f)]) for f in range(len(counts))
    ]
    slots = np.concatenate(levels, axis=1)
    return np.asarray(slots[2][np.lexsort((slots[1], slots[0]))[:n]], dtype=np.intp)


def assign_test(codes: Codes, units: Rows, share: float, rng: np.random.Generator) -> Mask:
    """Draw whole units into a test part that has about ``share`` of every class.

    Units of several rows are dealt to folds, of which as many as make up the share are drawn: each unit is
    tested as often as any other. Among draws those are preferred that test, and leave to train on, every
    class. Single rows then fill up what is missing, class by class.

    Args:
        codes: (n,) class numbers from 0.
        units: (n,) unit of each row.
        share: of each class, between 0 and 1; as a fraction with a denominator up to 20.
        rng: decides.

    Returns:
        (n,) whether a row is tested. A class of which nothing can be spared is not, or is tested alone.
    """
    total = np.bincount(codes)
    sizes = np.bincount(units)
    single = sizes[units] == 1
    taken = np.zeros(len(total), dtype=np.intp)
    test = np.zeros(len(codes), dtype=bool)
    if not single.all():
        singles = np.bincount(codes[single], minlength=len(total))
        part = Fraction(share).limit_denominator(20) or Fraction(1, 20)
        n_folds = max(2, part.denominator)
        home, counts = _placed(codes, units, _by_falling_size(sizes, rng), n_folds, in_step=True)
        drawn = _drawn_folds(counts, total, singles, min(part.numerator, n_folds - 1), rng)
        taken = counts[drawn].sum(axis=0)
        test = np.isin(home[units], drawn)
    wanted = held_counts(total, share, taken)
    rows = np.flatnonzero(single)
    test[rows[turns(codes[rows], rng) < wanted[codes[rows]]]] = True
    return test


def held_counts(total: Rows, share: float, taken: Rows | int = 0) -> Rows:
    """How many rows of each class (K,) are still to be tested, where ``taken`` are.

    The share of the class, rounded, and one at least, as far as :data:`MIN_TRAIN` are left to train on.

    >>> held_counts(np.array([2, 3, 10, 30]), 0.25).tolist()
    [0, 1, 3, 8]
    """
    wanted = np.maximum(np.floor(share * total + 0.5).astype(np.intp), 1) - taken
    return np.asarray(np.clip(wanted, 0, np.maximum(total - taken - MIN_TRAIN, 0)))


def _drawn_folds(counts: Rows, total: Rows, singles: Rows, n: int, rng: np.random.Generator) -> Rows:
    """As many folds as asked for, drawn until every class is tested and trained on, if it ever is."""
    best, least = np.arange(n), len(total) + 1
    for draw in _draws(len(counts), n, rng):
        taken = counts[draw].sum(axis=0)
        missing = int((((taken == 0) & (singles == 0)) | (total - taken < MIN_TRAIN)).sum())
        if missing < least:
            best, least = draw, missing
        if not missing:
            break
    return best


def _draws(n_folds: int, n: int, rng: np.random.Generator) -> Iterator[Rows]:
    """Each fold alone in random order; for several at a time 100 draws."""
    if n == 1:
        yield from rng.permutation(n_folds)[:, None]
    else:
        yield from (rng.permutation(n_folds)[:n] for _ in range(100))


def turns(codes: Codes, rng: np.random.Generator) -> Rows:
    """For each row its place in a random order of its class, from 0.

    >>> sorted(turns(np.array([0, 0, 0]), np.random.default_rng(0)).tolist())
    [0, 1, 2]
    """
    order = rng.permutation(len(codes))
    by_class = order[np.argsort(codes[order], kind="stable")]
    sizes = np.bincount(codes)
    starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
    found = np.empty(len(codes), dtype=np.intp)
    found[by_class] = np.arange(len(codes)) - starts
    return found


def inner_folds(codes: Codes, units: Rows, n_folds: int = 5) -> list[tuple[Rows, Rows]]:
    """Folds of a training part by which hyper-parameters are chosen: (positions to fit, positions held out).

    Every part to fit has every class. A class with a single unit is in all of them and is held out in none;
    the other classes are cross-validated all the same. Equal rows give equal folds.

    Args:
        codes: (m,) class numbers from 0.
        units: (m,) unit of each row.
        n_folds: at the most; fewer where no class has so many units.

    Returns:
        Pairs of sorted positions; no pair where nothing can be held out.

    >>> [held.tolist() for _, held in inner_folds(np.array([0, 0, 1, 1, 2]), np.arange(5))]
    [[0, 2], [1, 3]]
    """
    codes, units = (np.unique(column, return_inverse=True)[1] for column in (codes, units))
    if not len(codes):
        return []
    n_classes = int(codes.max()) + 1
    pairs = np.unique(units * n_classes + codes)
    of, held = pairs // n_classes, pairs % n_classes
    locked = np.zeros(int(units.max()) + 1, dtype=bool)
    locked[of[np.bincount(held)[held] == 1]] = True
    free = np.flatnonzero(~locked[units])
    if not len(free):
        return []
    most = int(np.bincount(held[~locked[of]]).max())
    folds = np.full(len(codes), -1, dtype=np.intp)
    rng = np.random.default_rng(0)
    folds[free] = assign_folds(codes[free], units[free], max(2, min(n_folds, most)), rng)
    folds[np.isin(units, _keepers(codes, units, folds))] = -1
    rows = np.arange(len(codes))
    return [(rows[folds != f], rows[folds == f]) for f in np.unique(folds[folds >= 0]).tolist()]


def _keepers(codes: Rows, units: Rows, folds: Rows) -> Rows:
    """A unit of each class of which every unit is in one and the same fold."""
    first = np.unique(codes, return_index=True)[1]
    apart = np.bincount(codes, weights=folds != folds[first][codes])
    alone = first[(apart == 0) & (folds[first] >= 0)]
    return np.unique(units[alone])
