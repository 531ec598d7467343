"""The classifier that lets nearest neighbours vote."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin

from tlengine.probes.fit_options import refuse_options
from tlengine.probes.inputs import check_features, training_set
from tlengine.probes.neighbor_index import Metric, NeighborIndex
from tlengine.probes.neighbor_votes import check_vote, check_vote_metric, vote_shares
from tlengine.probes.parameters import check_parameters
from tlengine.probes.persistence import PretrainedMixin

__all__ = ["KNeighborsProbe"]


class KNeighborsProbe(PretrainedMixin, ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier by the weighted vote of the nearest rows, as DINO evaluates features.

    Each of the ``k`` nearest rows votes for its class with weight ``softmax(similarity /
    temperature)`` (Caron et al., arXiv 2104.14294); a further, even vote of weight ``1 / (k + 1)``
    keeps all probabilities above zero, so that the log-loss is finite, and changes no prediction.

    With ``Y`` of shape (n, L), 0 and 1, each row may have any number of labels: the neighbours vote on each
    label by itself, for or against, and a row gets the labels that more than half of the votes are for.

    Args:
        k: neighbours that vote, clamped to the rows seen by ``fit``.
        temperature: above zero; small values let the nearest decide. 0.07 as in DINO.
        metric: ``"cosine"``, or ``"euclidean"``, where the similarity is minus the distance and the
            temperature is in its units.
        n_jobs: threads; default ``$TLENGINE_NUM_THREADS``, else the cores this process may use.

    Attributes:
        classes_: (K,) labels, sorted, or the names of the L columns of Y.
        multilabel_: whether y was (n, L).
        n_features_in_: columns seen by ``fit``.
        rows_, labels_: what ``fit`` saw: (n, d) float32 or float64, and (n,) indices of classes or
            (n, L) booleans.

    Raises:
        NonFiniteError: NaN or infinity in ``X``.
        SingleClassError: fewer than two classes in ``y``.
        InputError: a parameter outside its limits.

    >>> import numpy as np
    >>> X, y = np.array([[1.0, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]]), ["a", "a", "b", "b"]
    >>> KNeighborsProbe(k=3).fit(X, y).predict([[0.2, 0.7]]).tolist()
    ['b']
    """

    _tensors: ClassVar[dict[str, tuple[str, ...]]] = {
        "rows_": ("rows", "features"),
        "labels_": ("rows", "classes?"),
    }
    _scalars: ClassVar[tuple[str, ...]] = ("multilabel_",)

    def __init__(
        self,
        k: int = 20,
        *,
        temperature: float = 0.07,
        metric: Metric = "cosine",
        n_jobs: int | None = None,
    ) -> None:
        self.k = k
        self.temperature = temperature
        self.metric = metric
        self.n_jobs = n_jobs

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike, **unknown: Any) -> Self:
        """Keeps the rows and their labels, and prepares the search.

        Args:
            X: (n, d) rows; float16 and bfloat16 are kept as float32.
            y: (n,) labels; or (n, L), 0 and 1 for each label, two or more labels.
            **unknown: there are no others; ``groups`` for one are refused.

        Raises:
            UnknownOptionError: another argument, also a ``TypeError``.
        """
        refuse_options(
            "KNeighborsProbe", unknown, why="it chooses nothing by folds", weighs=False,
            instead="neighbor_votes(units=...) lets no row vote for its own group",
        )  # fmt: skip
        check_parameters(self)
        check_vote((self.k,), (self.temperature,))
        train = training_set(self, X, y, None, multilabel=True)
        self.classes_, self.labels_, self.multilabel_ = train.classes, train.labels, train.multilabel
        self.rows_: npt.NDArray[Any] = train.X
        self._index = self._build()
        return self

    def predict_proba(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Class probabilities (m, K), rows sum to 1, or that of each label, (m, L): all above zero."""
        check_vote((self.k,), (self.temperature,))
        found = self.nearest(X)
        index, ks, temperatures = self._ready(), (found[0].shape[1],), (self.temperature,)

        def shares(labels: npt.NDArray[np.uint32], classes: int) -> npt.NDArray[np.float64]:
            votes = vote_shares(index, found, labels, classes, ks, temperatures, n_jobs=self.n_jobs)
            of_all: npt.NDArray[np.float64] = votes[0, 0]
            return of_all

        if not self.multilabel_:
            return shares(self.labels_, len(self.classes_))
        proba = np.empty((len(found[0]), len(self.classes_)))
        for label, column in enumerate(self.labels_.T):
            proba[:, label] = shares(column.astype(np.uint32), 2)[:, 1]
        return proba

    def predict_log_proba(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Logarithms of the probabilities, (m, K) or (m, L): all finite."""
        return np.log(self.predict_proba(X))

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """Labels (m,) of the largest probability, ties by the order of ``classes_``; or 0 and 1, (m, L)."""
        proba = self.predict_proba(X)
        if self.multilabel_:
            return (proba > 0.5).astype(np.intp)
        found: npt.NDArray[Any] = self.classes_[proba.argmax(axis=1)]
        return found

    def nearest(
        self, X: npt.ArrayLike, k: int | None = None
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """The training rows nearest to each row of ``X``: ids and scores, (m, k) each.

        Args:
            X: (m, d) rows.
            k: how many; None is the probe's own k, clamped to the rows that there are.

        Raises:
            InputError: ``k`` is given, and there are fewer rows, as in :func:`tlengine.nearest`.
        """
        queries = check_features(self, X)
        wanted = min(self.k, len(self.rows_)) if k is None else k
        return self._ready().search(queries, wanted, n_jobs=self.n_jobs)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def _build(self) -> NeighborIndex:
        return NeighborIndex(self.rows_, check_vote_metric(self.metric), n_jobs=self.n_jobs)

    def _ready(self) -> NeighborIndex:
        """The index, built again where the estimator came from a file or another process."""
        if "_index" not in vars(self):
            self._index = self._build()
        return self._index

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "_index"}
