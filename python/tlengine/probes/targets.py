"""What a regression predicts: one or several columns of numbers, with their names."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.errors import EmptyInputError, ShapeMismatchError
from tlengine.probes.arrays import check_finite
from tlengine.probes.dense import dense_array
from tlengine.probes.indicators import column_names

__all__ = ["check_targets", "target_names"]


def check_targets(y: Any, rows: int, name: str) -> npt.NDArray[np.float64]:
    """(n, m) float64 outputs; (n,) becomes one column.

    Args:
        y: (n,) or (n, m): an array, lists, a tensor, a series or a table.
        rows: how many there must be.
        name: its name, for messages.

    Raises:
        DtypeError: no numbers, with the place.
        ShapeMismatchError: more than two axes; not a row of targets for each row of X.
        EmptyInputError: no rows or no columns.
        NonFiniteError: NaN or infinity, with row and column.

    >>> check_targets([1, 2], 2, "y").tolist()
    [[1.0], [2.0]]
    """
    values = dense_array(y, name)
    if values.ndim not in (1, 2):
        raise ShapeMismatchError(f"{name} has shape {values.shape}", hint="pass (n,) or (n, m) numbers")
    outputs = (
        np.asarray(values, np.float64).reshape(len(values), -1) if values.size else np.empty((len(values), 0))
    )
    if len(outputs) != rows:
        raise ShapeMismatchError(f"{name} has {len(outputs)} rows, X has {rows}")
    if not outputs.size:
        raise EmptyInputError(f"{name} has shape {values.shape}; nothing to fit")
    check_finite(outputs, name)
    return outputs


def target_names(y: Any, count: int) -> npt.NDArray[Any]:
    """(count,) the names of the columns of a table or the name of a series, else ``arange(count)``.

    >>> import pandas as pd
    >>> target_names(pd.Series([1.0, 2.0], name="price"), 1).tolist(), target_names([1.0, 2.0], 1).tolist()
    (['price'], [0])
    """
    name = getattr(y, "name", None)
    if isinstance(name, str) and np.ndim(y) == 1:
        return np.array([name], dtype=object)
    return column_names(y, count)
