"""Exact nearest neighbours, and the classifier that lets them vote.

Results are those of a brute force in float64, ties by the lowest row, on any data: a fast pass in
8-bit, bfloat16 or single-precision arithmetic rules out rows with a rigorous error bound, and the
rows that are left are scored as if in twice double precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin

from tlengine import _core
from tlengine.errors import InputError
from tlengine.probes.arrays import Rows, as_rows, check_same_columns
from tlengine.probes.inputs import check_features, training_set
from tlengine.probes.labels import encode_labels
from tlengine.probes.parameters import check_parameters
from tlengine.probes.persistence import PretrainedMixin
from tlengine.probes.units import (
    Exponents,
    common_exponent,
    exponent,
    in_units,
    times_units,
    unusual_exponents,
)
from tlengine.settings import num_threads

__all__ = ["KNeighborsProbe", "NeighborIndex", "Votes", "nearest", "neighbor_votes"]

Found = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]
Metric = Literal["cosine", "inner", "euclidean"]
Precision = Literal["auto", "float", "float32", "bfloat16", "int8"]

_FAR = 480
"""From ``2**480`` units away, all rows within ``2**300`` are as far as the origin."""

_METRICS = ("cosine", "inner", "euclidean")
_PRECISIONS = ("auto", "float", "float32", "bfloat16", "int8")


class NeighborIndex:
    """The rows of ``X`` made ready for many searches.

    Args:
        X: (n, d) rows; float32 and float64 are kept, other numbers are converted without loss.
            The array is not copied: leave it unchanged while the index is in use.
        metric: ``"cosine"`` (0 with a row of zeros), ``"inner"`` or ``"euclidean"``.
        precision: arithmetic of the first pass; results do not depend on it. ``"auto"`` takes 8 bits
            where this chip multiplies them faster and they tell the rows apart, else ``"float"``:
            bfloat16 under the same two conditions, else float32. ``"int8"``, ``"bfloat16"`` and
            ``"float32"`` take just that.
        n_jobs: threads; default ``$TLENGINE_NUM_THREADS``, else the cores this process may use.

    Raises:
        EmptyInputError, DtypeError, ShapeMismatchError: ``X`` is not a matrix of numbers.
        NonFiniteError: NaN or infinity in ``X``; ``context`` has ``row`` and ``column``.
        InputError: an unknown metric or precision; inner products or distances of rows of which some are
            1e90 times larger than others.

    >>> import numpy as np
    >>> index = NeighborIndex(np.array([[0.0, 1], [1, 0], [1, 1]]))
    >>> index.search(np.array([[2.0, 1.9]]), k=2)[0].tolist()
    [[2, 1]]
    >>> index.search(k=1)[0].tolist()    # each row among the others
    [[2], [2], [0]]
    """

    def __init__(
        self,
        X: npt.ArrayLike,
        metric: Metric = "cosine",
        *,
        precision: Precision = "auto",
        n_jobs: int | None = None,
    ) -> None:
        _check_choice("metric", metric, _METRICS)
        _check_choice("precision", precision, _PRECISIONS)
        self._options: dict[str, Any] = {"metric": metric, "precision": precision, "n_jobs": n_jobs}
        self._wide: NeighborIndex | None = None
        self._rows = as_rows(X, "X")
        self._size = unusual_exponents(self._rows) if metric == "cosine" else common_exponent(self._rows, "X")
        placed = in_units(self._rows, self._size)
        self._core = _core.NeighborIndex(placed, metric, precision, num_threads(n_jobs))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of ``X``."""
        return self._core.shape

    def search(
        self, Q: npt.ArrayLike | None = None, k: int = 20, *, n_jobs: int | None = None
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """The ``k`` nearest rows of each query, best first, ties by the lowest row.

        Args:
            Q: (m, d) queries; ``None`` searches for each row of ``X`` among the others (leave-one-out).
            k: how many, at most the rows to choose from.
            n_jobs: threads; default those of the index.

        Returns:
            Rows (m, k) int64, and their scores (m, k) float64: cosines or inner products, falling,
            or Euclidean distances, rising. Scores are rounded once from the exact value.

        Raises:
            InputError: ``k`` is outside its limits.
            ShapeMismatchError: another number of columns than ``X``.
            NonFiniteError: NaN or infinity in ``Q``.
        """
        threads = num_threads(self._options["n_jobs"] if n_jobs is None else n_jobs)
        most = self.shape[0] - (Q is None)
        if not 1 <= k <= most:
            raise InputError(f"k={k} is not between 1 and {most}, the rows to choose from", hint="lower k")
        if Q is None:
            return self._scored(self._core.search(None, k, threads), self._size)
        queries = as_rows(Q, "Q", allow_empty=True)
        check_same_columns(queries, self._rows)
        if not len(queries):
            return np.empty((0, k), np.int64), np.empty((0, k))
        if queries.dtype != self._rows.dtype:
            if self._rows.dtype == np.float32:
                self._wide = self._wide or NeighborIndex(self._rows.astype(np.float64), **self._options)
                return self._wide.search(queries, k, n_jobs=threads)
            queries = queries.astype(np.float64)
        if self._options["metric"] != "euclidean":
            size = unusual_exponents(queries)
            return self._scored(self._core.search(in_units(queries, size), k, threads), size)
        far = exponent(queries, axis=1)[:, 0] - self._size > _FAR
        if not far.any():
            return self._scored(self._core.search(in_units(queries, self._size), k, threads), self._size)
        ids, scores = np.tile(np.arange(k), (len(queries), 1)), np.empty((len(queries), k))
        if not far.all():
            ids[~far], scores[~far] = self.search(queries[~far], k, n_jobs=threads)
        scores[far] = _norms(queries[far])
        return ids, scores

    def _scored(self, found: Found, size: Exponents) -> Found:
        """What was found for queries in units of ``2**size``, with scores in the user's own."""
        ids, scores = found
        if self._options["metric"] == "inner":
            return ids, times_units(scores, size + self._size)
        return ids, scores if self._options["metric"] == "cosine" else times_units(scores, size)


def _norms(rows: Rows) -> npt.NDArray[np.float64]:
    """(n, 1) norms, rounded once: distances from the origin."""
    origin = _core.NeighborIndex(np.zeros((1, rows.shape[1])), "euclidean", "float", 1)
    sizes = exponent(rows, axis=1)
    return times_units(origin.search(in_units(rows, sizes), 1, 1)[1], sizes)


def nearest(
    Q: npt.ArrayLike,
    X: npt.ArrayLike,
    k: int = 20,
    metric: Metric = "cosine",
    *,
    precision: Precision = "auto",
    n_jobs: int | None = None,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The ``k`` nearest rows of ``X`` for each row of ``Q``: exact, on any data.

    Several searches over the same ``X`` share their preparation with :class:`NeighborIndex`, which
    documents the parameters and the errors.

    Returns:
        Rows of ``X`` (m, k) int64, and their scores (m, k) float64: cosines or inner products,
        falling, or Euclidean distances, rising; ties by the lowest row.

    >>> import numpy as np
    >>> ids, similarity = nearest(np.array([[1.0, 0.1]]), np.array([[0.0, 1], [1, 0], [1, 1]]), k=2)
    >>> ids.tolist(), similarity.round(3).tolist()
    ([[1, 2]], [[0.995, 0.774]])
    """
    return NeighborIndex(X, metric, precision=precision, n_jobs=n_jobs).search(Q, k)


@dataclass(frozen=True, kw_only=True, eq=False)
class Votes:
    """Class probabilities for several ``k`` and temperatures, voted in one search.

    Attributes:
        proba: (temperatures, ks, queries, classes) float64.
        classes: (classes,) the labels, sorted.
        k: the ks, each at most the rows to choose from.
        temperature: the temperatures.
    """

    proba: npt.NDArray[np.float64]
    classes: npt.NDArray[Any]
    k: tuple[int, ...]
    temperature: tuple[float, ...]

    def predict(self) -> npt.NDArray[Any]:
        """Labels of the largest probability, (temperatures, ks, queries)."""
        found: npt.NDArray[Any] = self.classes[self.proba.argmax(axis=-1)]
        return found


def neighbor_votes(
    Q: npt.ArrayLike | None,
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    k: Sequence[int] = (5, 20),
    temperature: Sequence[float] = (0.07,),
    metric: Metric = "cosine",
    units: npt.ArrayLike | None = None,
    n_jobs: int | None = None,
) -> Votes:
    """Probabilities as :class:`KNeighborsProbe` gives them, for many ``k`` and ``temperature`` at once.

    Args:
        Q: (m, d) queries; ``None`` asks for each row of ``X`` among the others (leave-one-out).
        X: (n, d) labelled rows.
        y: (n,) labels.
        k: neighbours that vote; clamped to the rows to choose from.
        temperature: above zero, in units of the similarity.
        metric: ``"cosine"`` or ``"euclidean"`` (the similarity is minus the distance).
        units: (n,) with ``Q=None``: rows of one unit (a group, copies of one sample) do not vote for each
            other. None: every row is a unit.
        n_jobs: threads.

    Raises:
        InputError: as :class:`NeighborIndex`; ``k`` or a temperature outside its limits; all rows of one
            unit, or units with ``Q``.
        ShapeMismatchError: not one unit for each row.

    >>> import numpy as np
    >>> X = np.array([[1.0, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]])
    >>> votes = neighbor_votes(None, X, ["a", "a", "b", "b"], k=[1, 3])
    >>> votes.predict()[0].tolist()
    [['a', 'a', 'b', 'b'], ['a', 'a', 'b', 'b']]
    """
    X = as_rows(X, "X")
    classes, labels = encode_labels(y, rows=len(X))
    index = NeighborIndex(X, _check_vote_metric(metric), n_jobs=n_jobs)
    ks, temperatures = tuple(k), tuple(temperature)
    if units is None:
        return _vote(index, Q, classes, labels, ks, temperatures, n_jobs)
    if Q is not None:
        raise InputError("units are for rows among themselves, not for queries", hint="leave units or Q out")
    from tlengine.probes.apart import check_units, search_apart

    _check_vote(ks, temperatures)
    own, sizes = check_units(units, len(X))
    ks = tuple(min(k, len(X) - int(sizes.max())) for k in ks)
    found = search_apart(index, X, own, sizes, max(ks), n_jobs=n_jobs)
    return _counted(index, found, classes, labels, ks, temperatures, n_jobs)


def _vote(
    index: NeighborIndex,
    Q: npt.ArrayLike | None,
    classes: npt.NDArray[Any],
    labels: npt.NDArray[np.uint32],
    ks: tuple[int, ...],
    temperatures: tuple[float, ...],
    n_jobs: int | None,
) -> Votes:
    _check_vote(ks, temperatures)
    ks = tuple(min(k, index.shape[0] - (Q is None)) for k in ks)
    found = index.search(Q, max(ks), n_jobs=n_jobs)
    return _counted(index, found, classes, labels, ks, temperatures, n_jobs)


def _counted(
    index: NeighborIndex,
    found: Found,
    classes: npt.NDArray[Any],
    labels: npt.NDArray[np.uint32],
    ks: tuple[int, ...],
    temperatures: tuple[float, ...],
    n_jobs: int | None,
) -> Votes:
    ids, scores = found
    if index._options["metric"] == "euclidean":
        scores = -scores
    proba = _core.neighbor_vote(
        ids, scores, labels, len(classes), list(ks), list(temperatures), num_threads(n_jobs)
    )
    return Votes(proba=proba, classes=classes, k=ks, temperature=temperatures)


class KNeighborsProbe(PretrainedMixin, ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier by the weighted vote of the nearest rows, as DINO evaluates features.

    Each of the ``k`` nearest rows votes for its class with weight ``softmax(similarity /
    temperature)`` (Caron et al., arXiv 2104.14294); a further, even vote of weight ``1 / (k + 1)``
    keeps all probabilities above zero, so that the log-loss is finite, and changes no prediction.

    Args:
        k: neighbours that vote, clamped to the rows seen by ``fit``.
        temperature: above zero; small values let the nearest decide. 0.07 as in DINO.
        metric: ``"cosine"``, or ``"euclidean"``, where the similarity is minus the distance and the
            temperature is in its units.
        n_jobs: threads; default ``$TLENGINE_NUM_THREADS``, else the cores this process may use.

    Attributes:
        classes_: (K,) labels, sorted.
        n_features_in_: columns seen by ``fit``.
        rows_, labels_: what ``fit`` saw: (n, d) float32 or float64, and (n,) indices of classes.

    Raises:
        NonFiniteError: NaN or infinity in ``X``.
        SingleClassError: fewer than two classes in ``y``.
        InputError: a parameter outside its limits.

    >>> import numpy as np
    >>> X, y = np.array([[1.0, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]]), ["a", "a", "b", "b"]
    >>> KNeighborsProbe(k=3).fit(X, y).predict([[0.2, 0.7]]).tolist()
    ['b']
    """

    _tensors: ClassVar[dict[str, tuple[str, ...]]] = {"rows_": ("rows", "features"), "labels_": ("rows",)}

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

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Self:
        """Keeps the rows ``X`` (n, d) and the labels ``y`` (n,), and prepares the search."""
        check_parameters(self)
        _check_vote((self.k,), (self.temperature,))
        train = training_set(self, X, y, None)
        self.classes_, self.labels_ = train.classes, train.labels
        self.rows_: npt.NDArray[Any] = train.X
        self._index = self._build()
        return self

    def predict_proba(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Class probabilities (m, K), each above zero."""
        queries = check_features(self, X)
        votes = _vote(
            self._ready(), queries, self.classes_, self.labels_, (self.k,), (self.temperature,), self.n_jobs
        )
        found: npt.NDArray[np.float64] = votes.proba[0, 0]
        return found

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """Labels (m,) of the largest probability; ties by the order of ``classes_``."""
        best = self.predict_proba(X).argmax(axis=1)
        found: npt.NDArray[Any] = self.classes_[best]
        return found

    def nearest(
        self, X: npt.ArrayLike, k: int | None = None
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """The training rows nearest to each row of ``X``: ids and scores, (m, k) each."""
        queries = check_features(self, X)
        wanted = min(self.k if k is None else k, len(self.rows_))
        return self._ready().search(queries, wanted, n_jobs=self.n_jobs)

    def _build(self) -> NeighborIndex:
        return NeighborIndex(self.rows_, _check_vote_metric(self.metric), n_jobs=self.n_jobs)

    def _ready(self) -> NeighborIndex:
        """The index, built again where the estimator came from a file or another process."""
        if "_index" not in vars(self):
            self._index = self._build()
        return self._index

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "_index"}


def _check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    if value not in choices:
        raise InputError(f"{name}={value!r} is unknown", hint=f"use one of {', '.join(choices)}")


def _check_vote_metric(metric: Metric) -> Metric:
    _check_choice("metric", metric, ("cosine", "euclidean"))
    return metric


def _check_vote(ks: tuple[int, ...], temperatures: tuple[float, ...]) -> None:
    for k in ks:
        if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
            raise InputError(f"k={k!r} is not a whole number above zero", hint="5 to 200 is usual")
    for temperature in temperatures:
        if not 0 < temperature < float("inf"):
            raise InputError(f"temperature={temperature!r} is not above zero", hint="DINO uses 0.07")
