"""One label per row from users, as the solvers take them: sorted classes and numbers."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.data.scalars import is_missing, plain, short
from tlengine.data.tensors import numpy_array
from tlengine.errors import LabelError, ShapeMismatchError, SingleClassError

__all__ = ["SEVERAL", "check_labels", "encode_checked", "encode_labels", "several_labels"]

SEVERAL = "several labels per row go through sklearn.preprocessing.MultiLabelBinarizer"


def check_labels(y: Any, *, who: str = "a probe") -> npt.NDArray[Any]:
    """Labels as an array (n,): text, whole numbers or booleans, of one kind; a column is taken as (n,).

    Taken are arrays, lists, tensors on any device, and what pandas, polars and Arrow call a series.

    Args:
        y: (n,) labels.
        who: who asks, for the message.

    Raises:
        ShapeMismatchError: not one label per row.
        LabelError: labels that are missing, several in a row, of mixed kinds or continuous, with the row.

    >>> check_labels([3, 1, 3]).tolist()
    [3, 1, 3]
    >>> check_labels(["a", float("nan")])
    Traceback (most recent call last):
    tlengine.errors.LabelError: y has no label at row 1: nan
    hint: leave out such rows
    """
    labels = _as_array(y)
    if labels.ndim == 2 and labels.shape[1] == 1:
        from sklearn.utils import column_or_1d

        labels = column_or_1d(labels, warn=True)
    if labels.ndim != 1:
        raise _not_a_column(y, labels.shape, who)
    if labels.dtype.kind == "S":
        raise LabelError("y holds bytes", hint='decode them: np.char.decode(y, "utf-8")')
    if labels.dtype.kind not in "OfbiuUT":
        raise LabelError(f"y has dtype {labels.dtype}", hint="use text or whole numbers as labels")
    if labels.dtype.kind == "f":
        _check_whole(labels)
    if labels.dtype.kind == "O":
        _check_each(labels)
    return labels


def _as_array(y: Any) -> npt.NDArray[Any]:
    """``y`` as an array; a list keeps its values, which NumPy would make text if one of them is."""
    if isinstance(y, np.ma.MaskedArray) and np.ma.is_masked(y):
        row = int(np.ma.getmaskarray(y).reshape(len(y), -1).any(axis=1).argmax())
        raise _missing(row, "masked")
    if isinstance(y, list | tuple):
        several = next((row for row, label in enumerate(y) if _holds_labels(label, y[0])), None)
        if several is not None:
            raise several_labels(several, y[several])
        if any(isinstance(label, str) for label in y) and not all(isinstance(label, str) for label in y):
            labels = np.empty(len(y), object)
            labels[:] = [plain(label) for label in y]
            return labels
    return numpy_array(y, "y")


def _holds_labels(label: Any, first: Any) -> bool:
    """Whether an entry is a collection of labels, not a label nor the row of a column."""
    if isinstance(label, list | tuple):
        is_row = isinstance(first, list | tuple) and len(label) == len(first)
        return not is_row or (len(label) > 1 and isinstance(label[0], str))
    return isinstance(label, set | frozenset | dict)


def _not_a_column(y: Any, shape: tuple[int, ...], who: str) -> ShapeMismatchError:
    if not shape:
        return ShapeMismatchError(
            f"y should be a 1d array, got a {type(y).__name__}",
            hint="pass a list or an array, one label per row",
        )
    return ShapeMismatchError(
        f"{who} takes one label per row: y should be a 1d array, got shape {shape}",
        hint="all probes but NearestCentroidProbe take several labels per row, as (n, L) of 0 and 1",
    )


def _check_whole(labels: npt.NDArray[Any]) -> None:
    wrong = np.flatnonzero(~(np.isfinite(labels) & (labels == np.floor(labels))))
    if wrong.size:
        row = int(wrong[0])
        raise _missing(row, labels[row]) if np.isnan(labels[row]) else _continuous(row, labels[row])


def _check_each(labels: npt.NDArray[Any]) -> None:
    """Raises ``LabelError`` for objects that are missing, several, fractions, or of more than one kind."""
    first = _kind(labels[0]) if len(labels) else None
    for row, label in enumerate(labels):
        if is_missing(label) and not isinstance(label, str):
            raise _missing(row, label)
        kind = _kind(label)
        if kind == "bytes":
            raise LabelError(f"y holds bytes at row {row}", hint="decode them to text", row=row)
        if kind == "several":
            raise several_labels(row, label)
        if kind == "number" and not float(label).is_integer():
            raise _continuous(row, label)
        if kind != first:
            raise LabelError(
                f"y mixes labels: {short(labels[0])} is {first}, {short(label)} at row {row} is {kind}",
                hint="use one type: all text, or all whole numbers",
                row=row,
            )


def _kind(label: Any) -> str:
    if isinstance(label, str):
        return "text"
    if isinstance(label, bool | np.bool_):
        return "bool"
    if isinstance(label, int | float | np.number):
        return "number"
    return (
        "several" if isinstance(label, Collection) and not isinstance(label, bytes) else type(label).__name__
    )


def _missing(row: int, label: Any) -> LabelError:
    return LabelError(f"y has no label at row {row}: {label}", hint="leave out such rows", row=row)


def several_labels(row: int, label: Any) -> LabelError:
    """The error for a collection where one label belongs."""
    return LabelError(
        f"Unknown label type: {short(label)} at row {row} of y is a {type(label).__name__}, not one label",
        hint=SEVERAL,
        row=row,
    )


def _continuous(row: int, label: Any) -> LabelError:
    return LabelError(
        f"Unknown label type: continuous ({label} at row {row} of y); these are classifiers",
        hint="for regression use tlengine.RidgeRegressor",
        row=row,
    )


def encode_labels(
    y: Any, *, rows: int | None = None, estimator: str | None = None
) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint32]]:
    """The sorted classes (K,) and the class of each row (n,) as its index among them.

    Args:
        y: (n,) labels.
        rows: how many there must be.
        estimator: who asks, for the message.

    Raises:
        ShapeMismatchError: another number of labels than rows, or more than one per row.
        LabelError: labels that are missing, mixed or continuous.
        SingleClassError: fewer than two classes.

    >>> encode_labels(["b", "a", "b"])
    (array(['a', 'b'], dtype='<U1'), array([1, 0, 1], dtype=uint32))
    """
    return encode_checked(check_labels(y), rows=rows, estimator=estimator)


def encode_checked(
    labels: npt.NDArray[Any], *, rows: int | None = None, estimator: str | None = None
) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint32]]:
    """:func:`encode_labels` of what :func:`check_labels` has returned."""
    if rows is not None and len(labels) != rows:
        raise ShapeMismatchError(f"y has {len(labels)} labels, X has {rows} rows")
    try:
        classes, codes = np.unique(labels, return_inverse=True)
    except TypeError as error:
        raise LabelError(f"y mixes labels that have no order: {error}", hint="use one type") from None
    if len(classes) < 2:
        who = f"{estimator} needs" if estimator else "there must be"
        found = f"one class: {classes.tolist()}" if len(classes) else "no label"
        raise SingleClassError(f"{who} two classes at least; y has {found}", hint="add rows of another class")
    return classes, codes.reshape(-1).astype(np.uint32)
