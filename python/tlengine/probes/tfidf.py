"""A logistic probe on counts of terms, which weighs what is rare."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from tlengine.errors import ShapeMismatchError
from tlengine.probes.linear import LinearProbe
from tlengine.probes.sparse import as_csr

__all__ = ["TfidfProbe", "idf", "weigh"]

Matrix = npt.NDArray[np.float32]


class TfidfProbe(LinearProbe):
    """A :class:`LinearProbe` on term frequencies times inverse document frequencies, rows of length 1.

    The weights come from the rows that it is fitted on; the parameters are those of ``LinearProbe``.

    Attributes:
        idf_: (d,) float32 the weights.

    >>> X = np.array([[1, 0, 1], [1, 1, 0], [1, 0, 2], [1, 3, 0]], np.float32)
    >>> probe = TfidfProbe().fit(X, ["a", "b", "a", "b"])
    >>> probe.predict([[5, 1, 0]]).tolist(), probe.idf_.astype(float).round(2).tolist()
    (['b'], [1.0, 1.51, 1.51])
    """

    _tensors: ClassVar[Mapping[str, tuple[str, ...]]] = {**LinearProbe._tensors, "idf_": ("features",)}

    def fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        **unknown: Any,
    ) -> Self:
        """See :class:`LinearProbe`."""
        counts = _entries(X)
        self.idf_ = idf(counts)
        return super().fit(weigh(counts, self.idf_), y, sample_weight, **unknown)

    def decision_function(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """See :class:`LinearProbe`."""
        return super().decision_function(weigh(X, self.idf_))


def idf(X: Any) -> Matrix:
    """Inverse document frequencies of the columns: ln((1 + n) / (1 + rows in which it is not 0)) + 1.

    Args:
        X: (n, d) training rows, sparse or dense.

    Returns:
        (d,) float32, at least 1, as in scikit-learn's ``TfidfTransformer(smooth_idf=True)``.

    >>> idf([[1, 0], [1, 2], [1, 0]]).round(3)
    array([1.   , 1.693], dtype=float32)
    """
    X = _entries(X)
    weights = np.log((1 + X.shape[0]) / (1 + X.count_nonzero(axis=0))) + 1
    return np.asarray(weights, np.float32)


def weigh(X: Any, weights: Matrix) -> Any:
    """A ``csr_array`` of the rows times the weights, scaled to length 1; rows of zeros stay as they are.

    Args:
        X: (n, d) rows, sparse or dense.
        weights: (d,) of the columns.

    Raises:
        ShapeMismatchError: another number of columns.
    """
    from scipy.sparse import csr_array

    X = _entries(X)
    if X.shape[1] != len(weights):
        raise ShapeMismatchError(f"X has {X.shape[1]} columns, the weights are those of {len(weights)}")
    values = X.data * weights[X.indices]
    squares = csr_array((values * values, X.indices, X.indptr), shape=X.shape).sum(axis=1)
    each = np.repeat(np.sqrt(np.asarray(squares, np.float32)), np.diff(X.indptr))
    np.divide(values, each, out=values, where=each > 0)
    return csr_array((values, X.indices, X.indptr), shape=X.shape)


def _entries(X: Any) -> Any:
    """Counts as a ``csr_array`` of float32, sparse or dense as they come."""
    from scipy.sparse import csr_array, issparse

    return as_csr(X if issparse(X) else csr_array(np.asarray(X, np.float32))).astype(np.float32, copy=False)
