"""Arrays from users as the core takes them: float32 or float64, native, C-contiguous, two axes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.errors import EmptyInputError, NonFiniteError, ShapeMismatchError
from tlengine.probes.dense import dense_array

__all__ = ["Rows", "as_rows", "check_finite", "check_same_columns"]

Rows = npt.NDArray[np.float32] | npt.NDArray[np.float64]


def as_rows(array: npt.ArrayLike, name: str, *, allow_empty: bool = False) -> Rows:
    """``array`` as a C-contiguous matrix of native float32 or float64, copied only where needed.

    Numbers of other types become float32 where that holds each of their values, else float64.

    Raises:
        DtypeError: not real numbers: text, dates, complex numbers, a sparse matrix.
        ShapeMismatchError: not two axes.
        EmptyInputError: no rows (unless ``allow_empty``) or no columns.

    >>> as_rows([[1, 2]], "X").dtype
    dtype('float64')
    """
    values = dense_array(array, name)
    if values.ndim != 2:
        hint = "reshape(1, -1) makes one row of a vector" if values.ndim == 1 else "flatten each sample"
        raise ShapeMismatchError(f"{name} has shape {values.shape}; it needs rows and columns", hint=hint)
    if not values.shape[1] or not (values.shape[0] or allow_empty):
        raise EmptyInputError(f"{name} has shape {values.shape}", hint="it needs a row and a column")
    narrow = values.dtype.itemsize <= 2 or values.dtype.type is np.float32
    return np.require(values, np.float32 if narrow else np.float64, ["C", "ALIGNED"])


def check_same_columns(Q: npt.NDArray[Any], X: npt.NDArray[Any]) -> None:
    """Raises ``ShapeMismatchError`` where the rows of ``Q`` and ``X`` differ in length."""
    if Q.shape[1] != X.shape[1]:
        raise ShapeMismatchError(
            f"Q has {Q.shape[1]} columns, X has {X.shape[1]}", hint="use features of one backbone"
        )


def check_finite(X: npt.NDArray[Any], name: str) -> None:
    """Names the first NaN or infinity of a matrix, if there is one."""
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(X.sum(dtype=np.float64)):
            return
    wrong = np.argwhere(~np.isfinite(X))
    if len(wrong):
        row, column = (int(i) for i in wrong[0])
        raise NonFiniteError(
            f"{name} contains NaN or infinity: {X[row, column]} at row {row}, column {column}",
            hint="drop or impute these rows",
            row=row,
            column=column,
        )
