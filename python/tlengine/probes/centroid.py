"""The nearest class mean: the cheapest probe there is, and a hard one to beat with few labels."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import validate_data

from tlengine.errors import InputError
from tlengine.probes.inputs import check_features, check_finite
from tlengine.probes.labels import encode_labels
from tlengine.probes.persistence import PretrainedMixin

__all__ = ["NearestCentroidProbe"]


class NearestCentroidProbe(PretrainedMixin, ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier by the similarity to the mean of each class.

    Args:
        metric: ``"cosine"`` compares directions: rows are scaled to unit norm, and so are the means;
            ``"euclidean"`` compares distances.
        temperature: above zero; ``predict_proba`` is ``softmax(decision scores / temperature)``.

    Attributes:
        classes_: (K,) labels, sorted.
        centroids_: (K, d) float64 class means.
        scale_: mean squared distance of the rows to their class mean, by which euclidean decision
            scores are divided; 1 for the cosine.
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
    _scalars: ClassVar[tuple[str, ...]] = ("scale_",)

    def __init__(
        self, *, metric: Literal["cosine", "euclidean"] = "cosine", temperature: float = 0.1
    ) -> None:
        self.metric = metric
        self.temperature = temperature

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Self:
        """Averages the rows ``X`` (n, d) of each class in ``y`` (n,)."""
        self._check_parameters()
        rows, labels = validate_data(self, X, y, dtype=[np.float64, np.float32], ensure_all_finite=False)
        check_finite(rows, "X")
        self.classes_, codes = encode_labels(labels, estimator=type(self).__name__)
        placed = self._place(rows)
        order = np.argsort(codes, kind="stable")
        starts = np.searchsorted(codes[order], np.arange(len(self.classes_)))
        sums = np.add.reduceat(placed[order], starts, axis=0, dtype=np.float64)
        means = sums / np.bincount(codes)[:, None]
        self.scale_ = 1.0
        if self.metric == "euclidean":
            self.scale_ = float(np.square(placed - means[codes]).sum(axis=1).mean()) or 1.0
        self.centroids_: npt.NDArray[np.float64] = self._place(means)
        return self

    def similarities(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Similarity to each class (m, K): cosines, or minus squared distances over ``scale_``."""
        placed = self._place(check_features(self, X))
        products: npt.NDArray[np.float64] = placed @ self.centroids_.T
        if self.metric == "cosine":
            return products
        norms = np.square(self.centroids_).sum(axis=1) + np.square(placed).sum(axis=1)[:, None]
        found: npt.NDArray[np.float64] = (2 * products - norms) / self.scale_
        return found

    def decision_function(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Similarities (m, K); for two classes their difference (m,), positive for ``classes_[1]``."""
        scores = self.similarities(X)
        return scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores

    def predict_proba(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Class probabilities (m, K): the softmax of the similarities over the temperature."""
        scores = self.similarities(X) / self.temperature
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        found: npt.NDArray[np.float64] = weights / weights.sum(axis=1, keepdims=True)
        return found

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """Labels (m,) of the most similar class; ties by the order of ``classes_``."""
        best = self.similarities(X).argmax(axis=1)
        found: npt.NDArray[Any] = self.classes_[best]
        return found

    def _place(self, rows: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        values = np.asarray(rows, dtype=np.float64)
        if self.metric == "euclidean":
            return values
        norms = np.linalg.norm(values, axis=1, keepdims=True)
        return values / np.where(norms > 0, norms, 1.0)

    def _check_parameters(self) -> None:
        if self.metric not in ("cosine", "euclidean"):
            raise InputError(f"metric={self.metric!r} is unknown", hint="use cosine or euclidean")
        if not 0 < self.temperature < float("inf"):
            raise InputError(f"temperature={self.temperature!r} is not above zero", hint="0.1 is usual")
