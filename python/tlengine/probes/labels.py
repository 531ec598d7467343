"""Labels from users as the solvers take them: sorted classes and numbers, or a matrix of 0 and 1."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.errors import LabelError, ShapeMismatchError, SingleClassError

__all__ = ["check_labels", "encode_indicators", "encode_labels", "is_multilabel"]


def check_labels(y: npt.ArrayLike) -> npt.NDArray[Any]:
    """Labels as an array (n,): text, whole numbers, booleans or objects; a column is taken as (n,).

    Raises:
        ShapeMismatchError: not one label per row.
        LabelError: labels that are missing or continuous, with the row.

    >>> check_labels([3, 1, 3]).tolist()
    [3, 1, 3]
    """
    labels = np.asarray(y)
    if labels.ndim == 2 and labels.shape[1] == 1:
        from sklearn.utils import column_or_1d

        labels = column_or_1d(labels, warn=True)
    if labels.ndim != 1:
        hint = "pass one label per row; LinearProbe and LinearSVMProbe take (n, L) of 0 and 1 as well"
        raise ShapeMismatchError(f"y should be a 1d array, got shape {labels.shape}", hint=hint)
    if labels.dtype.kind not in "OfbiuUST":
        raise LabelError(f"y has dtype {labels.dtype}", hint="use text or whole numbers as labels")
    if labels.dtype.kind in "Of":
        _check_each(labels)
    return labels


def _check_each(labels: npt.NDArray[Any]) -> None:
    """Raises ``LabelError`` for labels that are missing, or numbers with a fraction."""
    missing = np.fromiter((label is None or label != label for label in labels), bool, len(labels))
    if missing.any():
        row = int(missing.argmax())
        raise LabelError(f"y has no label at row {row}: {labels[row]}", hint="leave out such rows", row=row)
    floats = (float, np.floating)
    fraction = np.fromiter(
        (isinstance(x, floats) and not float(x).is_integer() for x in labels), bool, len(labels)
    )
    if fraction.any():
        row = int(fraction.argmax())
        raise LabelError(
            f"Unknown label type: continuous ({labels[row]} at row {row} of y); these are classifiers",
            hint="for regression use tlengine.ridge_path",
            row=row,
        )


def encode_labels(
    y: npt.ArrayLike, *, rows: int | None = None, estimator: str | None = None
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
    labels = check_labels(y)
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


def is_multilabel(y: Any) -> bool:
    """Whether ``y`` has a column per label, two or more.

    >>> is_multilabel([[0, 1], [1, 1]]), is_multilabel([0, 1]), is_multilabel([[0], [1]])
    (True, False, False)
    """
    shape = np.asarray(y).shape
    return len(shape) == 2 and shape[1] > 1


def encode_indicators(Y: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Which labels each row has, (n, L), from zeros and ones.

    Raises:
        LabelError: anything else than 0 and 1, with row and column.
        SingleClassError: no label differs between rows.

    >>> encode_indicators([[0, 1], [1, 1]]).tolist()
    [[False, True], [True, True]]
    """
    values = np.asarray(Y)
    wrong = np.argwhere(~((values == 0) | (values == 1)))
    if len(wrong):
        row, column = (int(i) for i in wrong[0])
        raise LabelError(
            f"Y has {values[row, column]} at row {row}, label {column}; a column per label holds 0 and 1",
            hint="one class per row is a y of shape (n,)",
            row=row,
            column=column,
        )
    labels: npt.NDArray[np.bool_] = values.astype(bool)
    if not len(labels) or (labels == labels[0]).all():
        raise SingleClassError(
            "every row has the same labels, one class in each column: nothing to learn",
            hint="add rows with other labels",
        )
    return labels
