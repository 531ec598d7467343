"""The weighted vote of the nearest rows, for several k and temperatures in one search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine import _core
from tlengine.errors import InputError
from tlengine.probes.arrays import as_rows
from tlengine.probes.labels import encode_labels
from tlengine.probes.neighbor_index import Found, Metric, NeighborIndex, check_choice
from tlengine.settings import num_threads

__all__ = ["Votes", "check_vote", "check_vote_metric", "neighbor_votes", "vote_shares"]


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
    index = NeighborIndex(X, check_vote_metric(metric), n_jobs=n_jobs)
    ks, temperatures = tuple(k), tuple(temperature)
    if units is None:
        return _vote(index, Q, classes, labels, ks, temperatures, n_jobs)
    if Q is not None:
        raise InputError("units are for rows among themselves, not for queries", hint="leave units or Q out")
    from tlengine.probes.apart import check_units, search_apart

    check_vote(ks, temperatures)
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
    check_vote(ks, temperatures)
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
    proba = vote_shares(index, found, labels, len(classes), ks, temperatures, n_jobs=n_jobs)
    return Votes(proba=proba, classes=classes, k=ks, temperature=temperatures)


def vote_shares(
    index: NeighborIndex,
    found: Found,
    labels: npt.NDArray[np.uint32],
    classes: int,
    ks: Sequence[int],
    temperatures: Sequence[float],
    *,
    n_jobs: int | None,
) -> npt.NDArray[np.float64]:
    """Class probabilities (temperatures, ks, queries, classes) by the vote of what an index has found.

    Args:
        index: by whose metric it was found.
        found: ids and scores, (queries, k) each.
        labels: (n,) class numbers of the rows of the index.
        classes: how many there are.
        ks: neighbours that vote, none above the k of ``found``.
        temperatures: above zero.
        n_jobs: threads.
    """
    ids, scores = found
    if index._options["metric"] == "euclidean":
        scores = -scores
    threads = num_threads(n_jobs)
    return _core.neighbor_vote(ids, scores, labels, classes, list(ks), list(temperatures), threads)


def check_vote_metric(metric: Metric) -> Metric:
    """The metric, if it is one in which neighbours vote.

    Raises:
        InputError: another one.
    """
    check_choice("metric", metric, ("cosine", "euclidean"))
    return metric


def check_vote(ks: tuple[int, ...], temperatures: tuple[float, ...]) -> None:
    """Refuse what is no k or no temperature.

    Raises:
        InputError: the first that is none.
    """
    for k in ks:
        if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
            raise InputError(f"k={k!r} is not a whole number above zero", hint="5 to 200 is usual")
    for temperature in temperatures:
        if not 0 < temperature < float("inf"):
            raise InputError(f"temperature={temperature!r} is not above zero", hint="DINO uses 0.07")
