"""Folds as users name them, as positions among the rows that are used, without what a fold cannot learn."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.data.folds import inner_folds
from tlengine.data.tensors import numpy_array
from tlengine.errors import InputError, RareClassWarning, ShapeMismatchError, SingleClassError
from tlengine.probes.groups import check_groups
from tlengine.probes.inputs import TrainingSet
from tlengine.probes.said import users_level

__all__ = ["FOLDS", "check_folds", "check_groups", "fold_rows", "learnt_labels", "learnt_part", "positions"]

Rows = npt.NDArray[np.intp]

FOLDS = 5
"""Folds of whole groups, where single rows cannot be left out."""


def check_folds(folds: Any, name: str = "cv") -> None:
    """Refuse what is no way of naming folds.

    Raises:
        InputError: neither None, a number, a splitter nor an iterable of pairs.
    """
    is_text = isinstance(folds, str | bytes | bool | np.bool_)
    known = isinstance(folds, int | np.integer | Iterable) or hasattr(folds, "split")
    if folds is not None and (is_text or not known):
        raise InputError(
            f"{name}={folds!r:.80} names no folds, as it is of type {type(folds).__name__}",
            hint="use a number (5), a splitter of scikit-learn, or pairs of index arrays (train, test)",
        )


def fold_rows(
    folds: Any, train: TrainingSet, groups: Any = None, *, name: str = "cv"
) -> list[tuple[Rows, Rows]]:
    """(train, test) positions among the rows that are used, for every way of naming folds.

    As in scikit-learn a row that a part names twice counts twice there (a bootstrap), and one may be in both
    parts of a fold.

    Rows to test whose class has no row to train on are left out, with one ``RareClassWarning`` that names the
    classes: what a fold says of them depends on C, and says nothing about it. A fold that has no others is
    left out whole. Numbered folds have no such rows. Of several labels per row, those that all training rows
    of a fold have, or none, are left out of its scores (:func:`learnt_labels`), and the warning names them.
    Another one says that all rows that judge are of one class.

    Args:
        folds: a number, a splitter of scikit-learn, or pairs of index arrays.
        train: the rows.
        groups: (n,) for the rows of the input; those of one group are never on both sides of a fold.
        name: what users call ``folds``.
    """
    check_folds(folds, name)
    if folds is None:
        return []
    splits, unseen = [], np.zeros(train.labels.shape, dtype=bool)
    for number, (rows, test) in enumerate(_splitter(folds, train, _groups_of(groups, train))):
        rows, test = (_kept(part, train, f"fold {number}") for part in (rows, test))
        labels = train.labels[rows]
        if not len(labels) or (labels == labels[0]).all():
            raise SingleClassError(f"fold {number} has only one class to learn from", hint="use fewer folds")
        if not len(test):
            raise InputError(f"fold {number} has no row to score on", hint="use fewer folds")
        if train.multilabel:
            unseen[test] |= (train.labels[test] != labels[0]) & ~learnt_labels(train, rows)
        else:
            known = np.isin(train.labels[test], labels)
            unseen[test[~known]] = True
            test = test[known]
        splits.append((rows, test))
    if not splits:
        raise InputError("folds is empty", hint="pass a number of folds or pairs of index arrays")
    judging = [(rows, test) for rows, test in splits if len(test)]
    if not judging:
        raise InputError(
            "no fold holds out a row of a class that it trains on",
            hint="pass a number of folds, or a stratified splitter",
        )
    _warn_of_unseen(train, unseen)
    _warn_of_one_class(train, np.concatenate([test for _, test in judging]))
    return judging


def learnt_labels(train: TrainingSet, rows: Rows) -> npt.NDArray[np.bool_]:
    """(L,) whether some of these rows have the label and others do not; () True where a row has one class."""
    labels = train.labels[rows]
    return np.asarray(labels.any(axis=0) & ~labels.all(axis=0)) if train.multilabel else np.array(True)


def learnt_part(train: TrainingSet, rows: Rows) -> tuple[TrainingSet, Any]:
    """All rows with the labels alone that these rows teach, and which columns they are, as an index."""
    learnt = learnt_labels(train, rows)
    if learnt.all():
        return train, slice(None)
    return replace(train, labels=train.labels[:, learnt], classes=train.classes[learnt]), learnt


def _warn_of_unseen(train: TrainingSet, unseen: npt.NDArray[np.bool_]) -> None:
    """One warning for all folds; it names the classes."""
    if not unseen.any():
        return
    codes = np.flatnonzero(unseen.any(axis=0)) if train.multilabel else np.unique(train.labels[unseen])
    names = ", ".join(repr(label) for label in train.classes[codes[:5]].tolist())
    more = f" and {len(codes) - 5} more" if len(codes) > 5 else ""
    if train.multilabel:
        text = (
            f"{'a label does' if len(codes) == 1 else f'{len(codes)} labels do'} not count in folds whose "
            f"training rows all have it, or none: {names}{more}. Other folds keep such rows in each fit"
        )
    else:
        text = (
            f"{unseen.sum()} held-out rows do not count in the choice: their folds have no row to learn "
            f"{'their class' if len(codes) == 1 else f'these {len(codes)} classes'} from: {names}{more}. "
            "A number of folds (cv=5) keeps a row of every class in each fit"
        )
    warnings.warn(text, RareClassWarning, stacklevel=users_level())


def _warn_of_one_class(train: TrainingSet, held: Rows) -> None:
    """Whatever is chosen says nothing about classes of which no row is held out."""
    labels = train.labels[held]
    if not (labels == labels[0]).all():
        return
    if train.multilabel:
        what = "have the same labels, so the choice says nothing about what tells rows apart"
    else:
        others = len(train.classes) - 1
        rest = "the other class" if others == 1 else f"the other {others} classes"
        what = (
            f"are of class {train.classes[labels[:1]].tolist()[0]!r}, so the choice says nothing about {rest}"
        )
    warnings.warn(
        f"all {len(held)} held-out rows that judge {what}: label more rows or groups of them, take other "
        "folds, or fit one C or alpha",
        RareClassWarning,
        stacklevel=users_level(),
    )


def _groups_of(groups: Any, train: TrainingSet) -> npt.NDArray[Any] | None:
    """The group of each row that is used."""
    if groups is None or train.rows is None:
        return None if groups is None else np.asarray(groups)
    return np.asarray(np.asarray(groups)[train.rows])


def _splitter(folds: Any, train: TrainingSet, groups: npt.NDArray[Any] | None) -> Iterable[tuple[Any, Any]]:
    if isinstance(folds, int | np.integer):
        return [(_original(a, train), _original(b, train)) for a, b in _numbered(int(folds), train, groups)]
    labels = train.labels.astype(np.intp) if train.multilabel else train.classes[train.labels]
    pairs = folds.split(train.X, labels, groups) if hasattr(folds, "split") else None
    if pairs is not None:
        return [(_original(a, train), _original(b, train)) for a, b in pairs]
    if groups is not None:
        raise InputError("groups beside folds that are given as index arrays", hint="leave one of them out")
    return [(a, b) for a, b in folds]


def _numbered(
    n_folds: int, train: TrainingSet, groups: npt.NDArray[Any] | None
) -> Iterable[tuple[Rows, Rows]]:
    """So many folds: scikit-learn's where every row may be on any side, else those of the split engine."""
    from sklearn.model_selection import KFold, StratifiedKFold

    if n_folds < 2:
        raise InputError(f"{n_folds} folds; at least 2 are needed")
    codes = np.zeros(len(train.labels), dtype=np.intp) if train.multilabel else train.labels.astype(np.intp)
    if groups is None and train.multilabel:
        return list(KFold(min(n_folds, len(codes)), shuffle=True, random_state=0).split(codes))
    if groups is None and np.bincount(codes).min() >= n_folds:
        return list(StratifiedKFold(n_folds).split(train.X, codes))
    pairs = inner_folds(codes, np.arange(len(codes)) if groups is None else groups, n_folds)
    if not pairs:
        what = "rows" if groups is None else "groups"
        raise InputError(f"no class has two {what}, so nothing can be held out", hint="fit one C instead")
    return pairs


def _original(rows: Rows, train: TrainingSet) -> Rows:
    return rows if train.rows is None else train.rows[rows]


def positions(part: Any, n: int, where: str) -> Rows:
    """Row numbers, or a mask, as numbers from 0; negative ones count from the end, as in NumPy.

    Args:
        part: (m,) whole numbers, or (n,) booleans.
        n: how many rows there are.
        where: of which fold, for messages.

    Raises:
        InputError: neither; a row that there is not. ShapeMismatchError: a mask of another length.

    >>> positions([0, 2, 2, -1], 3, "fold 0").tolist(), positions([True, False, True], 3, "fold 0").tolist()
    ([0, 2, 2, 2], [0, 2])
    """
    rows = numpy_array(part, "cv")
    if rows.ndim != 1 or (rows.size and rows.dtype.kind not in "iub"):
        raise InputError(
            f"{where} has a part of dtype {rows.dtype} and shape {rows.shape}",
            hint="a part is a row of whole numbers, or a mask",
        )
    if rows.dtype == bool:
        if len(rows) != n:
            raise ShapeMismatchError(f"{where} has a mask of {len(rows)}, there are {n} rows")
        return np.flatnonzero(rows)
    rows = rows.astype(np.intp)
    if len(odd := rows[(rows < -n) | (rows >= n)]):
        raise InputError(f"{where} names row {odd[0]}; rows are 0 to {n - 1}", hint="count rows from 0")
    return np.where(rows < 0, rows + n, rows)


def _kept(part: Any, train: TrainingSet, where: str) -> Rows:
    """Input positions (or a mask) as positions among the rows that were not dropped."""
    rows = positions(part, train.given, where)
    if train.rows is None:
        return rows
    at = np.minimum(np.searchsorted(train.rows, rows), len(train.rows) - 1)
    kept: Rows = at[train.rows[at] == rows]
    return kept
