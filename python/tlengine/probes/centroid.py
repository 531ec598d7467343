"""The nearest class mean: the cheapest probe there is, and a hard one to beat with few labels."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin

from tlengine.errors import InputError
from tlengine.probes.arrays import check_finite
from tlengine.probes.fit_options import refuse_options
from tlengine.probes.inputs import check_features, training_set
from tlengine.probes.parameters import check_parameters
from tlengine.probes.persistence import PretrainedMixin
from tlengine.probes.units import exponent, in_units, times_units

__all__ = ["NearestCentroidProbe"]

_FAR = 2.0**500
"""Distances, in units of the size of the data, beyond which no class is nearer than another in float64."""

_TINY = 2.0**-1000
"""The least spread in these units: what rows of one place have."""


class NearestCentroidProbe(PretrainedMixin, ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier by the similarity to the mean of each class, whatever the size and the offset of the data.

    Args:
        metric: ``"cosine"`` compares directions: rows are scaled to unit norm, and so are the means;
            ``"euclidean"`` compares distances.
        temperature: above zero; ``predict_proba`` is ``softmax(decision scores / temperature)``.

    Attributes:
        classes_: (K,) labels, sorted.
        centroids_: (K, d) float64 class means.
        spread_: root mean squared distance of the rows to their class mean, the unit of distances in
            euclidean scores; 1 for the cosine.
        n_features_in_: columns seen by ``fit``.

    Raises:
        NonFiniteError: NaN or infinity in ``X``.
        SingleClassError: fewer than two classes in ``y``.
        InputError: a parameter outside its limits.

    >>> import numpy as np
    >>> X, y = np.array([[1.0, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]]), ["a", "a", "b", "b"]
    >>> NearestCentroidProbe().fit(X, y).predict([[0.2, 0.7]]).tolist()
    ['b']
    """

    _tensors: ClassVar[dict[str, tuple[str, ...]]] = {"centroids_": ("classes", "features")}
    _scalars: ClassVar[tuple[str, ...]] = ("spread_",)

    def __init__(
        self, *, metric: Literal["cosine", "euclidean"] = "cosine", temperature: float = 0.1
    ) -> None:
        self.metric = metric
        self.temperature = temperature

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike, **unknown: Any) -> Self:
        """Averages the rows ``X`` (n, d) of each class in ``y`` (n,); there are no other arguments.

        Raises:
            UnknownOptionError: another argument, also a ``TypeError``.
        """
        refuse_options(
            "NearestCentroidProbe", unknown, why="it chooses nothing by folds", weighs=False,
            instead="probe_grid(groups=...) keeps each on one side of the test",
        )  # fmt: skip
        self._check_parameters()
        train = training_set(self, X, y, None)
        check_finite(train.X, "X")
        self.classes_, codes, rows = train.classes, train.labels, train.X
        size = int(exponent(rows))
        placed = self._place(rows, size)
        means = _class_means(placed, codes)
        self.spread_ = 1.0
        if self.metric == "euclidean":
            squares = np.square(placed - means[codes]).sum(axis=1)
            self.spread_ = float(np.ldexp(np.sqrt(squares.mean()), size)) or 1.0
            means = times_units(means, size)
        else:
            means = self._place(means, 0)
        self.centroids_: npt.NDArray[np.float64] = means
        return self

    def similarities(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Similarity to each class (m, K): cosines, or minus squared distances in units of ``spread_``."""
        scores = self._scores(check_features(self, X))
        return 1 + scores if self.metric == "cosine" else scores

    def decision_function(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Scores (m, K); for two classes their difference (m,), positive for ``classes_[1]``.

        Scores are similarities; from cosines 1 is taken off, so that close ones stay apart.
        """
        scores = self._scores(check_features(self, X))
        return scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores

    def predict_proba(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Class probabilities (m, K): the softmax of the similarities over the temperature."""
        from scipy.special import softmax

        found: npt.NDArray[np.float64] = softmax(self._logits(X), axis=1)
        return found

    def predict_log_proba(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Logarithms of the probabilities (m, K), exact also where they underflow."""
        from scipy.special import log_softmax

        found: npt.NDArray[np.float64] = log_softmax(self._logits(X), axis=1)
        return found

    def _logits(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        return self._scores(check_features(self, X)) / self.temperature

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """Labels (m,) of the most similar class; ties by the order of ``classes_``."""
        best = self._scores(check_features(self, X)).argmax(axis=1)
        found: npt.NDArray[Any] = self.classes_[best]
        return found

    def _scores(self, X: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Minus squared distances to the centroids, in units of ``spread_``; for cosines minus half of them.

        Between vectors of length one that is the cosine less 1. Distances are taken from the middle of the
        centroids, so that what all rows share costs no digits.
        """
        size = int(exponent(self.centroids_)) if self.metric == "euclidean" else 0
        places, centroids = self._place(X, size), in_units(self.centroids_, size)
        middle = centroids.mean(axis=0)
        places, centroids = np.clip(places - middle, -_FAR, _FAR), centroids - middle
        squares = np.square(centroids).sum(axis=1) + np.square(places).sum(axis=1)[:, None]
        distances: npt.NDArray[np.float64] = np.maximum(squares - 2 * places @ centroids.T, 0.0)
        if self.metric == "cosine":
            return -distances / 2
        spread = max(np.ldexp(self.spread_, -size), _TINY)
        lengths: npt.NDArray[np.float64] = np.minimum(np.sqrt(distances) / spread, _FAR)
        return -np.square(lengths)

    def _place(self, rows: npt.NDArray[Any], size: int) -> npt.NDArray[np.float64]:
        """The rows in units of ``2**size``, or for cosines at length one; rows of zeros stay."""
        values = np.asarray(rows, np.float64)
        if self.metric == "euclidean":
            return in_units(values, size)
        values = in_units(values, exponent(values, axis=1))
        norms = np.linalg.norm(values, axis=1, keepdims=True)
        found: npt.NDArray[np.float64] = values / np.where(norms > 0, norms, 1.0)
        return found

    def _check_parameters(self) -> None:
        if self.metric not in ("cosine", "euclidean"):
            raise InputError(f"metric={self.metric!r} is unknown", hint="use cosine or euclidean")
        check_parameters(self)


def _class_means(rows: npt.NDArray[np.float64], codes: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """(K, d) means of the rows of each class."""
    order = np.argsort(codes, kind="stable")
    counts = np.bincount(codes)
    sums = np.add.reduceat(rows[order], np.cumsum(counts) - counts, axis=0)
    found: npt.NDArray[np.float64] = sums / counts[:, None]
    return found
