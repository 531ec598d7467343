"""Arrays that users pass, as cells: values (m,) of one draw, (J, m) of draws on the same rows, or a list."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tlengine.errors import EmptyInputError, InputError, NonFiniteError, ShapeMismatchError
from tlengine.statistics.clustering import Cells

__all__ = ["as_draws", "as_values"]

FloatArray = npt.NDArray[np.float64]


def as_values(values: npt.ArrayLike) -> FloatArray:
    """(m,) or (J, m) finite float64.

    Raises:
        InputError: what is not numbers.
        EmptyInputError, NonFiniteError, ShapeMismatchError: no, infinite or unevenly many of them.

    >>> as_values([True, False]).tolist()
    [1.0, 0.0]
    """
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"values are no numbers: {error}", hint="pass an array of them, or of True and False"
        ) from None
    if array.ndim not in (1, 2):
        raise ShapeMismatchError(
            f"values of shape {array.shape}", hint="pass (m,) for one draw, or (J, m) for J draws"
        )
    if array.size == 0:
        raise EmptyInputError(f"values of shape {array.shape}", hint="pass at least one value")
    if not np.isfinite(array).all():
        raise NonFiniteError(f"{int((~np.isfinite(array)).sum())} of {array.size} values are not finite")
    return array


def as_draws(
    values: npt.ArrayLike, *, units: npt.ArrayLike | None, draws: npt.ArrayLike | None
) -> tuple[Cells, FloatArray]:
    """Cells of the mean in each draw, and the values one after another.

    Raises:
        InputError: draws without units, or of values (J, m). ShapeMismatchError: lengths that differ.

    >>> cells, _ = as_draws([[1, 0], [1, 1]], units=None, draws=None)
    >>> cells.values.tolist(), cells.unit.tolist(), cells.draw.tolist()
    ([0.5, 1.0], [0, 1, 0, 1], [0, 0, 1, 1])
    """
    array = as_values(values)
    if draws is not None:
        unit, draw = _long(array, units, draws)
    else:
        rows = np.atleast_2d(array)
        unit = np.tile(_numbered("units", units, rows.shape[1]), len(rows))
        draw = np.repeat(np.arange(len(rows)), rows.shape[1])
    flat = array.ravel()
    counts = np.bincount(draw)
    means = np.bincount(draw, weights=flat) / counts
    return Cells(values=means, each=(flat - means[draw]) / counts[draw], unit=unit, draw=draw), flat


def _long(
    values: FloatArray, units: npt.ArrayLike | None, draws: npt.ArrayLike
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    if values.ndim == 2:
        raise InputError("draws of values (J, m)", hint="pass values (m,) with draws, or (J, m) without")
    if units is None:
        raise InputError(
            "draws without units", hint="pass units, so that a row tested in several draws counts as one"
        )
    return _numbered("units", units, len(values)), _numbered("draws", draws, len(values))


def _numbered(what: str, names: npt.ArrayLike | None, n: int) -> npt.NDArray[np.intp]:
    """Names as numbers from 0; one number each where there are none."""
    if names is None:
        return np.arange(n)
    array = np.asarray(names)
    if array.shape != (n,):
        raise ShapeMismatchError(f"{what} of shape {array.shape} for {n} test rows")
    if np.issubdtype(array.dtype, np.integer) and array.min() >= 0 and array.max() < 4 * n:
        present = np.bincount(array) > 0
        return np.asarray((np.cumsum(present) - 1)[array])  # as np.unique, without sorting
    return np.unique(array, return_inverse=True)[1]
