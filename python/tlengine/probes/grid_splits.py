"""The user's own split of a grid: taken as given, checked, and looked over for rows on both sides."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.data.roles import role_column
from tlengine.data.tensors import numpy_array
from tlengine.errors import InputError, ShapeMismatchError, TlengineWarning
from tlengine.probes.grid_targets import Target
from tlengine.types import ROLES

__all__ = ["Parts", "check_apart", "read_splits"]

Rows = npt.NDArray[np.intp]
Parts = tuple[Rows, Rows]
"""Training rows and test rows."""

_WAY = 'pass a word for each row ("train", "test", "val"), or pairs (train rows, test rows)'


def read_splits(
    split: Any, targets: Mapping[str, Target], seeds: Sequence[int]
) -> dict[str, dict[int, Parts]]:
    """The parts of each target and seed.

    Args:
        split: (n,) words; or one pair of row numbers (or masks), or one pair for each seed; or any of these
            by target. Validation rows are left out; where there is no test part they are the test.
        targets: by name.
        seeds: which.

    Raises:
        InputError: it is nothing of this kind; a part is empty, or tests no class that it trains; a row is
            named twice; not one pair for each seed; a target is left out.
        ShapeMismatchError: not one word for each row.
        DatasetError: a word that is no split.

    >>> target = Target(np.array([0, 1, 0]), np.array(["a", "b"]))
    >>> parts = read_splits(["train", "Train", "test"], {"y": target}, [0])["y"][0]
    >>> [part.tolist() for part in parts]
    [[0, 1], [2]]
    """
    if not isinstance(split, Mapping):
        split = dict.fromkeys(targets, split if _is_row_of_words(split) else _listed(split))
    by_name = {str(name): value for name, value in split.items()}
    if set(by_name) != set(targets):
        odd = sorted(set(by_name) ^ set(targets))
        raise InputError(
            f"split and targets differ in {odd[0]!r}", hint=f"give a split for each of {', '.join(targets)}"
        )
    return {name: _for_seeds(name, by_name[name], target, seeds) for name, target in targets.items()}


def _for_seeds(name: str, split: Any, target: Target, seeds: Sequence[int]) -> dict[int, Parts]:
    pairs = _pairs(split, len(target.codes))
    if len(pairs) not in (1, len(seeds)):
        raise InputError(
            f"split has {len(pairs)} pairs, there are {len(seeds)} seeds", hint=f"seeds={len(pairs)}"
        )
    for train, test in pairs:
        _check_classes(name, target, train, test)
    return dict(zip(seeds, pairs if len(pairs) > 1 else pairs * len(seeds), strict=True))


def _check_classes(name: str, target: Target, train: Rows, test: Rows) -> None:
    """Both parts have rows, the first of two classes, the second of one of them."""
    if not len(train) or not len(test):
        raise InputError(f"split has {len(train)} training rows and {len(test)} test rows", hint=_WAY)
    codes = target.codes[train]
    if (codes == codes[0]).all():
        raise InputError(f"target {name!r}: the training rows of split are all of one class", hint=_WAY)
    if target.several:
        return
    lost = ~np.isin(target.codes[test], codes)
    if lost.all():
        raise InputError(f"target {name!r}: split tests no class that it trains", hint=_WAY)
    if lost.any():
        warnings.warn(
            f"target {name!r}: {lost.sum()} of {len(test)} test rows are left out: their classes have no "
            "training row",
            TlengineWarning,
            stacklevel=5,
        )


def _is_row_of_words(split: Any) -> bool:
    try:
        words = np.asarray(split)
    except ValueError:  # parts of different lengths
        return False
    return words.ndim == 1 and words.dtype.kind in "OUST" and any(isinstance(word, str) for word in words)


def _listed(split: Any) -> list[Any]:
    if isinstance(split, str | bytes) or not isinstance(split, Iterable):
        raise InputError(f"split is {split!r:.40}", hint=_WAY)
    return list(split)


def _pairs(split: Any, n: int) -> list[Parts]:
    if _is_row_of_words(split):
        return [_by_words(split, n)]
    given = _listed(split)
    if len(given) == 2 and all(_is_row_list(part) for part in given):
        given = [given]
    if not given or not all(
        isinstance(pair, Sequence | np.ndarray) and len(pair) == 2 and all(map(_is_row_list, pair))
        for pair in given
    ):
        raise InputError("split holds something else than pairs of row numbers", hint=_WAY)
    return [_checked(_rows(train, n), _rows(test, n)) for train, test in given]


def _by_words(split: Any, n: int) -> Parts:
    words = list(split)
    if len(words) != n:
        raise ShapeMismatchError(f"split has {len(words)} words, there are {n} rows", hint=_WAY)
    if set(map(str, words)) <= set(ROLES):
        roles = np.array(words, dtype=str)
    else:
        known = role_column(words, "split", lambda row: f"row {row}")
        assert known is not None, "all values are splits"
        roles = known
    tested = roles == ("test" if (roles == "test").any() else "select")
    return np.flatnonzero(roles == "train"), np.flatnonzero(tested)


def _is_row_list(part: Any) -> bool:
    try:
        rows = numpy_array(part, "split")
    except (ValueError, TypeError):
        return False
    return rows.ndim == 1 and (rows.dtype.kind in "iub" or not rows.size)


def _rows(part: Any, n: int) -> Rows:
    rows = numpy_array(part, "split")
    if rows.dtype == bool:
        if len(rows) != n:
            raise ShapeMismatchError(f"split has a mask of {len(rows)}, there are {n} rows")
        return np.flatnonzero(rows)
    if rows.size and (rows.min() < 0 or rows.max() >= n):
        odd = rows[(rows < 0) | (rows >= n)][0]
        raise InputError(f"split names row {odd}; rows are 0 to {n - 1}", hint=_WAY)
    return rows.astype(np.intp)


def _checked(train: Rows, test: Rows) -> Parts:
    """Sorted, each row once: a budget counts labels, and a row that is named twice is one."""
    for what, part in (("training", train), ("test", test)):
        rows, counts = np.unique(part, return_counts=True)
        if (counts > 1).any():
            raise InputError(
                f"split names {what} row {rows[counts > 1][0]} twice",
                hint="name each row once; sample_weight says how much it counts",
            )
    if len(both := np.intersect1d(train, test)):
        raise InputError(f"split names row {both[0]} on both sides", hint="a row is on one side")
    return np.sort(train), np.sort(test)


def check_apart(splits: Mapping[str, Mapping[int, Parts]], groups: Any, contents: Rows) -> None:
    """Refuse groups on both sides; say how many test rows have a twin among the training rows.

    Args:
        splits: as :func:`read_splits` returns them.
        groups: (n,) of the user, or None.
        contents: (n,) rows of equal content have one number.

    Raises:
        InputError: a group has training rows and test rows.
    """
    named = None if groups is None else np.asarray(groups)
    twins: list[tuple[int, int, str]] = []
    for name, seeds in splits.items():
        for train, test in {id(parts[0]): parts for parts in seeds.values()}.values():
            if named is not None and len(both := np.intersect1d(named[train], named[test])):
                raise InputError(
                    f"target {name!r}: group {both[0]!s:.40} is on both sides of split, one of {len(both)}",
                    hint="move such groups to one side, or leave out groups",
                )
            count = int(np.isin(contents[test], contents[train]).sum())
            twins.append((count, len(test), name))
    count, rows, name = max(twins)
    if count:
        warnings.warn(
            f"target {name!r}: {count} of {rows} test rows of split have the same content as a training row; "
            "they stay where they are, and their scores are too good",
            TlengineWarning,
            stacklevel=3,
        )
