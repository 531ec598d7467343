"""What ``probe_grid`` is asked for, refused with a way out before anything is fitted."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tlengine.errors import InputError, ShapeMismatchError
from tlengine.probes.arrays import check_finite
from tlengine.probes.grid_targets import Target
from tlengine.probes.sparse import check_finite_numbers, is_sparse

__all__ = ["check_data", "check_settings", "checked_budgets", "checked_seeds"]


def checked_seeds(seeds: Any) -> list[int]:
    """Which seeds, each once: those given, or as many as a whole number says.

    Raises:
        InputError: neither.

    >>> checked_seeds(2), checked_seeds([7])
    ([0, 1], [7])
    """
    if _is_whole(seeds, 0):
        return list(range(seeds))
    listed = isinstance(seeds, Iterable) and not isinstance(seeds, str | bytes)
    given: list[Any] = list(seeds) if listed else [None]
    if not all(_is_whole(seed, 0) for seed in given):
        raise InputError(f"seeds are {seeds!r:.40}", hint="say how many, or which: seeds=5, seeds=[0, 1]")
    return list(dict.fromkeys(int(seed) for seed in given))


def checked_budgets(given: Any) -> list[int | str]:
    """Budgets in Python's own types, from a row of any kind, each once.

    Raises:
        InputError: something else than whole numbers from 1 and ``"all"``.

    >>> checked_budgets(np.array([5, 10])), checked_budgets("all")
    ([5, 10], ['all'])
    """
    if isinstance(given, str) or not np.iterable(given):
        given = [given]
    for budget in given:
        is_number = isinstance(budget, int | np.integer) and not isinstance(budget, bool)
        if not (isinstance(budget, str) and budget == "all") and not (is_number and budget >= 1):
            raise InputError(f"budget {budget!r}", hint="use whole numbers from 1, or 'all'")
    return list(dict.fromkeys("all" if budget == "all" else int(budget) for budget in given))


def check_data(
    arrays: Mapping[str, Any],
    targets: Mapping[str, Target],
    budgets: Sequence[int | str],
    test_size: float,
) -> None:
    """Refuse data that do not belong together, or hold what is no number.

    Raises:
        InputError: nothing to do, or a share outside (0, 1).
        ShapeMismatchError: features and targets of different lengths.
        NonFiniteError: NaN or infinity, with its place.
    """
    if not arrays or not targets or not budgets:
        raise InputError("nothing to do: no features, no targets or no budgets")
    lengths = {name: array.shape[0] for name, array in arrays.items()}
    lengths |= {name: len(target.codes) for name, target in targets.items()}
    if len(set(lengths.values())) > 1:
        raise ShapeMismatchError(f"features and targets of different lengths: {lengths}")
    for name, array in arrays.items():
        (check_finite_numbers if is_sparse(array) else check_finite)(array, name)
    if not 0 < test_size < 1:
        raise InputError(f"test_size={test_size}; it must be between 0 and 1")


def check_settings(
    *,
    Cs: Any,
    cv: Any,
    test_size: Any,
    tol: Any,
    max_iter: Any,
    resume: Any,
    callback: Any = None,
    predictions: Any = False,
    patience: Any = None,
) -> None:
    """Refuse what is of another kind; ranges are looked at where the numbers are used.

    Raises:
        InputError: it is.
    """
    if not (_is_whole(Cs, 1) or _are_numbers(Cs)):
        raise InputError(f"Cs are {Cs!r:.40}", hint="say how many, or which: Cs=12, Cs=[0.1, 1.0]")
    if not (cv is None or _is_whole(cv, 2)):
        raise InputError(f"cv={cv!r:.40}", hint="a number of folds, 2 or more, or None")
    if not (patience is None or _is_whole(patience, 1)):
        raise InputError(f"patience={patience!r:.40}; it must be None or 1 or more")
    if not _is_number(test_size):
        raise InputError(f"test_size={test_size!r:.40}; it must be between 0 and 1")
    if not (_is_number(tol) and tol > 0):
        raise InputError(f"tol={tol!r:.40}", hint="a number above 0")
    if not _is_whole(max_iter, 1):
        raise InputError(f"max_iter={max_iter!r:.40}", hint="a whole number, 1 or more")
    if not isinstance(resume, str | os.PathLike | None):
        raise InputError(f"resume is a {type(resume).__name__}, no path", hint="pass the path of a file")
    if not (callback is None or callable(callback)):
        raise InputError(f"callback is a {type(callback).__name__}", hint="pass a function of a record")
    if not isinstance(predictions, bool | np.bool_):
        raise InputError(f"predictions={predictions!r:.40}", hint="True or False")


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and least <= int(value) < 2**31


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _are_numbers(values: Any) -> bool:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        return False
    return array.ndim == 1 and not isinstance(values, str | bytes)
