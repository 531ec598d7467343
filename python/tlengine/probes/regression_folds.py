"""Rows held out while a regression chooses its penalty: every way of naming folds, groups kept whole."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.data.folds import inner_folds
from tlengine.data.tensors import numpy_array
from tlengine.errors import InputError, ShapeMismatchError
from tlengine.probes.groups import check_known
from tlengine.probes.splits import FOLDS, check_folds, positions

__all__ = ["regression_folds"]

Pairs = list[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]


def regression_folds(
    cv: Any, groups: Any, X: npt.NDArray[Any], y: npt.NDArray[Any], weight: npt.NDArray[np.float64]
) -> Pairs | None:
    """(rows to fit, rows held out), none of weight 0; None where every row is left out alone.

    A row that a part names twice is in it twice.

    Args:
        cv: None, a number of folds, a splitter of scikit-learn, or pairs of index arrays or masks.
        groups: (n,) or None; rows of one group are never on both sides of a fold.
        X: (n, d).
        y: (n, m).
        weight: (n,).

    Raises:
        InputError: nothing can be held out; groups beside folds that are given as index arrays.
        ShapeMismatchError: not one group for each row.
    """
    check_folds(cv)
    used = np.flatnonzero(weight)
    if groups is not None:
        found = numpy_array(groups, "groups")
        if found.shape != weight.shape:
            raise ShapeMismatchError(f"groups have shape {found.shape}, X has {len(weight)} rows")
        check_known(groups)
        groups = np.unique(found[used], return_inverse=True)[1]
    if cv is None and (groups is None or len(np.unique(groups)) == len(groups)):
        return None
    if cv is None or isinstance(cv, int | np.integer):
        pairs = _numbered(FOLDS if cv is None else int(cv), groups, len(used))
    elif hasattr(cv, "split"):
        pairs = cv.split(X[used], y[used], groups)
    elif groups is not None:
        raise InputError("groups beside folds that are given as index arrays", hint="leave one of them out")
    else:
        return _checked(_given(cv, weight))
    return _checked((used[part] for part in pair) for pair in pairs)


def _given(cv: Iterable[Any], weight: npt.NDArray[np.float64]) -> Iterable[Iterable[npt.NDArray[np.intp]]]:
    for number, pair in enumerate(cv):
        parts = [positions(part, len(weight), f"fold {number}") for part in pair]
        yield [part[weight[part] > 0] for part in parts]


def _numbered(count: int, groups: npt.NDArray[Any] | None, rows: int) -> Iterable[tuple[Any, Any]]:
    from sklearn.model_selection import KFold

    if isinstance(count, bool) or not 2 <= count <= rows:
        raise InputError(f"cv={count}; at least 2 folds, and no more than the {rows} rows used")
    if groups is None:
        return list(KFold(count, shuffle=True, random_state=0).split(np.empty((rows, 0))))
    pairs = inner_folds(np.zeros(rows, dtype=np.intp), groups, count)
    if not pairs:
        raise InputError("there are no two groups, so nothing can be held out", hint="leave groups out")
    return pairs


def _checked(pairs: Iterable[Iterable[npt.NDArray[np.intp]]]) -> Pairs:
    found = [(rows, held) for rows, held in pairs]
    if not found:
        raise InputError("cv is empty", hint="pass a number of folds or pairs of index arrays")
    for number, (rows, held) in enumerate(found):
        if not len(rows) or not len(held):
            what = "score on" if len(rows) else "learn from"
            raise InputError(f"fold {number} has no row to {what}", hint="use fewer folds")
    return found
