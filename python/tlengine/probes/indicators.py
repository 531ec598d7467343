"""A column per label: Y of zeros and ones, dense or sparse, and the names of its columns."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.data.scalars import is_missing, plain, short
from tlengine.data.tensors import is_tensor, numpy_array
from tlengine.errors import LabelError, ShapeMismatchError, SingleClassError
from tlengine.probes.labels import SEVERAL, several_labels

__all__ = ["ONE_CLASS", "column_names", "dense_indicators", "encode_indicators", "is_multilabel"]

_ZEROS_AND_ONES = "a column per label holds 0 and 1"
ONE_CLASS = f"one class per row is a y of shape (n,); {SEVERAL}"
_UNKNOWN = (
    "leave out rows whose labels are not all known (or give them sample_weight 0), or fit one probe for each "
    "label on the rows where it is known"
)


def is_multilabel(y: Any) -> bool:
    """Whether ``y`` has a column per label, two or more.

    >>> is_multilabel([[0, 1], [1, 1]]), is_multilabel([0, 1]), is_multilabel([[0], [1]])
    (True, False, False)
    """
    if isinstance(y, list | tuple):
        is_nested = all(isinstance(row, list | tuple | np.ndarray) or is_tensor(row) for row in y)
        return is_nested and max((len(row) if np.ndim(row) else 0 for row in y), default=0) > 1
    # A nested tensor has no shape to ask for.
    shape: tuple[int, ...] = () if getattr(y, "is_nested", False) else tuple(getattr(y, "shape", ()))
    return len(shape) == 2 and shape[1] > 1


def column_names(Y: Any, count: int) -> npt.NDArray[Any]:
    """(count,) the names of the columns of a table, text as objects; ``arange(count)`` where there are none.

    Raises:
        LabelError: two columns of one name.

    >>> import pandas as pd
    >>> column_names(pd.DataFrame({"cat": [0, 1], "dog": [1, 1]}), 2).tolist()
    ['cat', 'dog']
    """
    found = getattr(Y, "column_names", getattr(Y, "columns", None))
    if found is None:
        return np.arange(count)
    names = list(found)
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise LabelError(
            f"Y has {times} columns named {short(name)}", hint="give each label a name of its own"
        )
    if all(isinstance(name, int | np.integer) for name in names):
        return np.array(names)
    return np.array([name if isinstance(name, str) else str(name) for name in names], dtype=object)


def dense_indicators(Y: Any) -> npt.NDArray[Any]:
    """Y as an array (n, L), its cells not yet checked unless it was sparse: then bool, a byte for each cell.

    Raises:
        LabelError: lists of labels instead of zeros and ones, with the row; a sparse cell that is not 0 or 1.
        ShapeMismatchError: not two axes.
    """
    if hasattr(Y, "tocsr"):
        return _from_sparse(Y)
    if isinstance(Y, list | tuple):
        for row, labels in enumerate(Y):
            if len(labels) != len(Y[0]) or any(isinstance(label, str) for label in labels[:1]):
                raise several_labels(row, labels)
    found = numpy_array(Y, "Y")
    if found.ndim != 2:
        raise ShapeMismatchError(f"Y has shape {found.shape}; it needs rows and labels", hint=ONE_CLASS)
    return found


def _from_sparse(Y: Any) -> npt.NDArray[np.bool_]:
    rows = Y.tocsr(copy=True)
    rows.sum_duplicates()
    cells = rows.tocoo()
    wrong = np.flatnonzero(~((cells.data == 0) | (cells.data == 1)))
    if len(wrong):
        first = wrong[0]
        raise _wrong(cells.data[first], int(cells.row[first]), int(cells.col[first]), None)
    found: npt.NDArray[np.bool_] = rows.astype(bool).toarray()
    return found


def encode_indicators(
    Y: Any, *, names: npt.NDArray[Any] | None = None, rows: npt.NDArray[np.intp] | None = None
) -> npt.NDArray[np.bool_]:
    """Which labels each row has, (n, L), from zeros and ones.

    Args:
        Y: (n, L).
        names: (L,) of the labels, for the message.
        rows: (n,) where the rows were in the user's Y, for the message.

    Raises:
        LabelError: anything else than 0 and 1, with row and column.
        SingleClassError: no label differs between rows.

    >>> encode_indicators([[0, 1], [1, 1]]).tolist()
    [[False, True], [True, True]]
    """
    given = dense_indicators(Y)
    if given.dtype.kind not in "biufO":
        raise LabelError(f"Y has dtype {given.dtype}; {_ZEROS_AND_ONES}", hint=ONE_CLASS)
    values = _numbers(given) if given.dtype.kind == "O" else given
    wrong = _other_cells(values)
    if len(wrong):
        row, column = (int(i) for i in wrong[0])
        raise _wrong(given[row, column], row if rows is None else int(rows[row]), column, names)
    labels: npt.NDArray[np.bool_] = values.astype(bool)
    if not len(labels) or (labels == labels[0]).all():
        raise SingleClassError(
            "every row has the same labels, one class in each column: nothing to learn",
            hint="add rows with other labels",
        )
    return labels


def _other_cells(values: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """(cells, 2) the places of what is neither 0 nor 1."""
    if values.dtype.kind == "b":
        return np.empty((0, 2), np.intp)
    return np.argwhere((values != 0) & (values != 1))


def _wrong(value: Any, row: int, column: int, names: npt.NDArray[Any] | None) -> LabelError:
    label = names[column] if names is not None else None
    name = f" ({label!r})" if isinstance(label, str) else ""
    is_unknown = is_missing(value) and not isinstance(value, str)
    return LabelError(
        f"Y has {short(plain(value))} at row {row}, label {column}{name}; {_ZEROS_AND_ONES}",
        hint=_UNKNOWN if is_unknown else ONE_CLASS,
        row=row,
        column=column,
    )


def _numbers(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Objects as float64, NaN where a cell is missing or no number."""

    def number(value: Any) -> float:
        return float(value) if isinstance(value, bool | int | float | np.number | np.bool_) else np.nan

    found: npt.NDArray[np.float64] = np.vectorize(number, otypes=[np.float64])(values)
    return found
