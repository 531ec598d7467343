"""Matrices from users: any package's dense array or table of numbers, nothing lost, nothing guessed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.data.scalars import is_missing, plain, short
from tlengine.data.tensors import numpy_array
from tlengine.errors import DtypeError

__all__ = ["dense", "dense_array"]

_NUMBERS = "biuf"


def dense(X: Any, name: str) -> Any:
    """``X`` as an array of numbers, or as the table it is, whose column names scikit-learn compares.

    Tensors leave their graph and their device, which is what a caller wants of a solver on the CPU; floats of
    16 bits and fewer become float32, which holds them all. Shapes are not checked.

    Args:
        X: an array, a tensor, nested lists, or a table of pandas, polars or Arrow.
        name: its name, for messages.

    Raises:
        DtypeError: a sparse matrix; text, dates, complex numbers or objects, with the column of a table.
        ShapeMismatchError: rows of different length.

    >>> import numpy as np
    >>> dense(np.ones((2, 3), np.float16), "X").dtype
    dtype('float32')
    >>> dense([["a", "b"]], "X")
    Traceback (most recent call last):
    tlengine.errors.DtypeError: X holds text (<U1), not numbers
    hint: encode or drop what is no number
    """
    if hasattr(X, "columns") or hasattr(X, "__dataframe__"):
        return _table(X, name)
    array = numpy_array(X, name)
    if array.dtype == np.float16:
        return array.astype(np.float32)
    return array if array.dtype.kind in _NUMBERS else _numbers(array, name)


def _table(X: Any, name: str) -> Any:
    """The table, if each of its columns holds numbers."""
    if hasattr(X, "sparse"):
        raise DtypeError(f"{name} is a table of sparse columns", hint=f"pass {name}.sparse.to_dense()")
    kinds = {getattr(dtype, "kind", "O") for dtype in getattr(X, "dtypes", ())}
    if not kinds or not kinds <= set(_NUMBERS):
        return _checked_table(X, name)
    if all(dtype == np.float16 for dtype in X.dtypes):
        return X.astype(np.float32)
    return X


def _checked_table(X: Any, name: str) -> Any:
    """The table; of pandas' a shallow copy whose columns of objects are numbers."""
    table = X.copy(deep=False) if hasattr(X, "isetitem") else X
    for at, (column, values) in enumerate(_columns(X)):
        given = np.asarray(values)
        numbers = _numbers(given, f"{name}: column {short(column)}")
        if numbers is not given and table is not X:
            table.isetitem(at, numbers)
    return table


def _columns(X: Any) -> Iterator[tuple[Any, Any]]:
    if hasattr(X, "iloc"):
        return ((name, X.iloc[:, at]) for at, name in enumerate(X.columns))
    names = X.column_names if hasattr(X, "column_names") else X.columns
    return ((name, X[name]) for name in names)


def dense_array(X: Any, name: str) -> npt.NDArray[Any]:
    """:func:`dense`, of a table its numbers without the names."""
    found = dense(X, name)
    return found if isinstance(found, np.ndarray) else _numbers(np.asarray(found), name)


def _numbers(array: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """Objects as float64, missing ones NaN; numbers as they are."""
    kind = array.dtype.kind
    if kind in _NUMBERS:
        return array
    if kind == "O":
        return np.array([_number(array, at, name) for at in range(array.size)]).reshape(array.shape)
    if kind == "c":
        # scikit-learn's own words, which its checks of estimators look for.
        raise DtypeError(f"Complex data not supported: {name} has dtype {array.dtype}", hint=_WAY_OUT)
    what = "text" if kind in "SUT" else "dates" if kind in "mM" else "records"
    raise DtypeError(f"{name} holds {what} ({array.dtype}), not numbers", hint=_WAY_OUT)


def _number(array: npt.NDArray[Any], at: int, name: str) -> float:
    value = array.flat[at]
    if is_missing(value) and not isinstance(value, str):
        return np.nan
    try:
        if isinstance(value, str | bytes):
            raise TypeError("text is no number")
        return float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        place = ", ".join(
            f"{axis} {i}" for axis, i in zip(_AXES, np.unravel_index(at, array.shape), strict=False)
        )
        raise DtypeError(f"{name} holds {short(plain(value))} at {place}: {error}", hint=_WAY_OUT) from None


_AXES = ("row", "column", "place")
_WAY_OUT = "encode or drop what is no number"
