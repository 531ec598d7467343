"""Groups of rows that no split may part: one for each row, and every one known."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.data.scalars import is_missing
from tlengine.errors import InputError, ShapeMismatchError

__all__ = ["check_groups", "check_known"]


def check_groups(groups: Any, y: Any) -> None:
    """Refuse groups that are not one for each label, or not known.

    Raises:
        ShapeMismatchError: they are of another shape. InputError: one is missing, with its row.
    """
    if groups is None:
        return
    if np.shape(groups) != np.shape(y)[:1]:
        raise ShapeMismatchError(f"groups have shape {np.shape(groups)}, y has shape {np.shape(y)}")
    check_known(groups)


def check_known(groups: Any, name: str = "groups") -> None:
    """Refuse groups among which one is missing: None, NaN, NaT, NA, masked, or a blank text.

    All such rows would be one group, or each of them one: nobody knows.

    Raises:
        InputError: with the row.

    >>> check_known(["a", "b"])
    >>> check_known(["a", None])
    Traceback (most recent call last):
    tlengine.errors.InputError: groups has None at row 1, which is no group
    hint: give the row a group of its own, or leave it out
    """
    rows = np.flatnonzero(_missing(groups))
    if len(rows):
        row = int(rows[0])
        value = groups.iloc[row] if hasattr(groups, "iloc") else groups[row]
        raise InputError(
            f"{name} has {value} at row {row}, which is no group",
            hint="give the row a group of its own, or leave it out",
            row=row,
        )


def _missing(groups: Any) -> npt.NDArray[np.bool_]:
    """(n,) whether there is no group."""
    if isinstance(groups, np.ma.MaskedArray) and np.ma.is_masked(groups):
        return np.ma.getmaskarray(groups)
    found = np.asarray(groups)
    if found.dtype.kind in "fc":
        return np.asarray(np.isnan(found))
    if found.dtype.kind in "mM":
        return np.asarray(np.isnat(found))
    if found.dtype.kind in "biu":
        return np.zeros(found.shape, dtype=bool)
    # A list of texts and NaN is an array of texts alone.
    values = groups if isinstance(groups, list | tuple) else found.ravel().tolist()
    return np.array([is_missing(value) for value in values], dtype=bool)
