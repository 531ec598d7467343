"""Sparse X as the core takes it: CSR, checked, columns ascending, each place once."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.errors import DtypeError, InputError, NonFiniteError, ShapeMismatchError

__all__ = ["as_core", "as_csr", "check_finite_numbers", "entries", "is_sparse", "sparse_digests"]


def is_sparse(X: Any) -> bool:
    """Whether X is a matrix or array of ``scipy.sparse``."""
    from scipy.sparse import issparse

    return bool(issparse(X))


def as_csr(X: Any) -> Any:
    """A sparse X of any format as a ``csr_array`` of float32 or float64; not copied where it is one.

    Half precision becomes float32, any other real type but float32 becomes float64. Numbers at the same
    place are summed; zeros that are stored count as zeros.

    Raises:
        DtypeError: not real numbers.
        ShapeMismatchError: not two axes.
        InputError: indices that are out of range or do not fit together.

    >>> from scipy.sparse import coo_array
    >>> X = as_csr(coo_array(([1, 2, 4], ([0, 0, 1], [1, 1, 0])), shape=(2, 3)))
    >>> X.data.tolist(), X.indices.tolist(), X.indptr.tolist()
    ([3.0, 4.0], [1, 0], [0, 1, 2])
    """
    from scipy.sparse import csr_array

    if X.dtype.kind not in "biuf":
        what = "Complex data not supported: " if X.dtype.kind == "c" else ""
        raise DtypeError(f"{what}X has dtype {X.dtype}, not real numbers", hint="pass floats")
    if X.ndim != 2:
        raise ShapeMismatchError(f"X has shape {X.shape}; it needs rows and columns")
    narrow = X.dtype == np.float32 or X.dtype == np.float16
    X = _checked(X)
    found = X.astype(np.float32 if narrow else np.float64, copy=False).tocsr()
    # Made anew: what a matrix remembers about its order may be older than its arrays.
    found = csr_array((found.data, found.indices, found.indptr), shape=found.shape)
    if not found.has_canonical_format:
        found = found.copy()
        found.sum_duplicates()
    return found


def _checked(X: Any) -> Any:
    """The same numbers, the user's object untouched, with indices that SciPy may follow."""
    try:
        if X.format in ("csr", "csc", "bsr"):
            X = type(X)((X.data, X.indices, X.indptr), shape=X.shape)
            X.check_format(full_check=True)
        elif X.format == "coo":
            X = type(X)((X.data, (X.row, X.col)), shape=X.shape)
    except ValueError as error:
        raise InputError(f"X is no valid sparse matrix: {error}", hint="build it from its entries") from error
    return X


def check_finite_numbers(X: Any, name: str = "X") -> None:
    """Names the first NaN or infinity of a ``csr_array``, if there is one.

    Raises:
        NonFiniteError: with row and column.
    """
    wrong = np.flatnonzero(~np.isfinite(X.data))
    if not len(wrong):
        return
    row = int(np.searchsorted(X.indptr, wrong[0], side="right")) - 1
    column = int(X.indices[wrong[0]])
    raise NonFiniteError(
        f"{name} contains NaN or infinity: {X.data[wrong[0]]} at row {row}, column {column}",
        hint="drop or impute these rows", row=row, column=column,
    )  # fmt: skip


def as_core(X: Any) -> Any:
    """X as the core takes it: as it is, or data, indices, indptr and number of columns of a ``csr_array``.

    Raises:
        InputError: more columns than 32 bits can number.
    """
    if not is_sparse(X):
        return X
    if X.shape[1] > np.iinfo(np.int32).max:
        raise InputError(f"X has {X.shape[1]} columns", hint=f"use at most {np.iinfo(np.int32).max}")
    indices = np.ascontiguousarray(X.indices, dtype=np.int32)
    return np.ascontiguousarray(X.data), indices, np.ascontiguousarray(X.indptr, dtype=np.int64), X.shape[1]


def entries(X: Any) -> float:
    """Numbers that a row of X has, on average: columns, or stored entries of a ``csr_array``."""
    return float(X.nnz / max(X.shape[0], 1)) if is_sparse(X) else float(X.shape[1])


def sparse_digests(X: Any) -> npt.NDArray[np.uint8]:
    """A digest (n, 32) of each row of a ``csr_array``; zeros that are stored do not count.

    >>> from scipy.sparse import csr_array
    >>> X = csr_array(([1.0, 0.0, 1.0], ([0, 0, 1], [1, 2, 1])), shape=(3, 3))
    >>> digests = sparse_digests(X)
    >>> bool((digests[0] == digests[1]).all()), bool((digests[0] == digests[2]).all())
    (True, False)
    """
    X = X.copy()
    X.eliminate_zeros()
    data, indices = np.ascontiguousarray(X.data), np.ascontiguousarray(X.indices, np.int64)
    raw = [
        hashlib.blake2b(data[at:end].tobytes() + indices[at:end].tobytes(), digest_size=32).digest()
        for at, end in pairwise(X.indptr.tolist())
    ]
    return np.frombuffer(b"".join(raw), dtype=np.uint8).reshape(X.shape[0], 32)
