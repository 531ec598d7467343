"""Powers of two that bring numbers of any size to about one: exact, and no square overflows or vanishes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.errors import InputError

__all__ = ["Exponents", "common_exponent", "exponent", "in_units", "times_units", "unusual_exponents"]

Exponents = int | npt.NDArray[np.intc]

_USUAL = 300
"""Between 2**-300 and 2**300 sums of squares, and products of them, keep all their digits."""


def exponent(X: npt.NDArray[Any], axis: int | None = None) -> Any:
    """The e for which the largest number of ``X`` is below ``2**e``, and not below half of that; 0 for zeros.

    With ``axis=1`` that of each row, (n, 1).

    >>> X = np.array([[0.5, -3.0], [1e-300, 0.0]])
    >>> int(exponent(X)), exponent(X, axis=1).tolist()
    (2, [[2], [-996]])
    """
    if not X.size:
        return np.zeros((len(X), 1), np.intc) if axis else 0
    keep = axis is not None
    largest = np.maximum(X.max(axis=axis, keepdims=keep), -X.min(axis=axis, keepdims=keep))
    return np.frexp(largest)[1]


def unusual_exponents(X: npt.NDArray[Any]) -> Exponents:
    """:func:`exponent` of each row, (n, 1), where its squares need one, else 0; float32 never does."""
    if X.dtype != np.float64:
        return 0
    found = exponent(X, axis=1)
    found[np.abs(found) <= _USUAL] = 0
    return found if found.any() else 0


def common_exponent(X: npt.NDArray[Any], name: str) -> int:
    """The :func:`exponent` of ``X`` where its squares need one, else 0; float32 never does.

    Raises:
        InputError: rows so far apart in size that the smaller ones would lose their digits.

    >>> common_exponent(np.array([[1e-200]]), "X"), common_exponent(np.array([[1e20]]), "X")
    (-664, 0)
    """
    sizes = unusual_exponents(X)
    if isinstance(sizes, int):
        return 0
    sizes = exponent(X, axis=1)[:, 0]
    some = np.flatnonzero(X.any(axis=1))
    large, small = some[sizes[some].argmax()], some[sizes[some].argmin()]
    if sizes[large] - sizes[small] > _USUAL:
        raise InputError(
            f"{name} has numbers up to {np.abs(X[large]).max():.3g} at row {large}, "
            f"and up to {np.abs(X[small]).max():.3g} at row {small}",
            hint='drop or rescale the odd row; metric="cosine" takes rows of all sizes',
        )
    return int(sizes[large])


def in_units(X: npt.NDArray[Any], exponents: Exponents) -> npt.NDArray[Any]:
    """``X / 2**exponents``: ``X`` itself for 0; exact, but for numbers 1e300 times below the largest.

    >>> in_units(np.array([[3e200, 4e200]]), 667).round(3).tolist()
    [[0.49, 0.653]]
    """
    return times_units(X, -exponents)


def times_units(X: npt.NDArray[Any], exponents: Exponents) -> npt.NDArray[Any]:
    """``X * 2**exponents``: ``X`` itself for 0; infinity where float64 ends."""
    if isinstance(exponents, int) and not exponents:
        return X
    with np.errstate(under="ignore", over="ignore", invalid="ignore"):
        found: npt.NDArray[Any] = np.ldexp(X, exponents)
    return found
