"""A logistic probe on counts of terms, which weighs what is rare."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from tlengine.probes.linear import LinearProbe

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
        counts = np.asarray(X, dtype=np.float32)
        self.idf_ = idf(counts)
        return super().fit(weigh(counts, self.idf_), y, sample_weight, **unknown)

    def decision_function(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """See :class:`LinearProbe`."""
        return super().decision_function(weigh(np.asarray(X, dtype=np.float32), self.idf_))


def idf(X: Matrix) -> Matrix:
    """Inverse document frequencies of the columns: ln((1 + n) / (1 + rows in which it is not 0)) + 1.

    Args:
        X: (n, d) training rows.

    Returns:
        (d,) float32, at least 1, as in scikit-learn's ``TfidfTransformer(smooth_idf=True)``.

    >>> idf(np.array([[1, 0], [1, 2], [1, 0]], np.float32)).round(3)
    array([1.   , 1.693], dtype=float32)
    """
    weights = np.log((1 + len(X)) / (1 + np.count_nonzero(X, axis=0))) + 1
    return np.asarray(weights, np.float32)


def weigh(X: Matrix, weights: Matrix) -> Matrix:
    """The rows times the weights, scaled to length 1; rows of zeros stay as they are."""
    found = X * weights
    length = np.linalg.norm(found, axis=1, keepdims=True)
    return np.asarray(np.divide(found, length, out=found, where=length > 0))
