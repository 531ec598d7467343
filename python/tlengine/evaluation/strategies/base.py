"""What array strategies share: the choice among candidates on held-out rows, and the fitted result."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tlengine.plugins.contracts import Codes, Fitted, Job, Kind, Matrix, Roles, Rows, Scores, View
from tlengine.probes import offered_scores, own_scores
from tlengine.statistics import calibrate, log_loss, probabilities

__all__ = ["ArrayFitted", "Candidate", "Reading", "Tuned", "loss", "pad", "read_scores"]

Candidate = dict[str, Any]
Reading = Literal["offered", "decision_function", "predict_proba"]
"""Where the scores of a classifier come from: the best it offers, or one of its methods."""


@dataclass(kw_only=True, eq=False)
class ArrayFitted:
    """A fitted classifier of features, on class numbers without gaps.

    Attributes:
        classifier: its columns are those of ``known``.
        known: (k,) the class of the run behind each column.
        make: makes it again, unfitted.
        reading: where its scores come from.
        wrap: what is done to the estimator that is kept.
        kind, chosen, held_out, converged, flops, nbytes: as in :class:`~tlengine.plugins.contracts.Fitted`.
    """

    classifier: Any
    known: Codes
    make: Any
    reading: Reading
    kind: Kind
    chosen: Mapping[str, Any] = field(default_factory=dict)
    held_out: Scores | None = None
    converged: bool = True
    flops: float | None = None
    nbytes: int | None = None
    wrap: Callable[[Any], Any] | None = None

    def scores(self, view: View, rows: Rows) -> Scores:
        """(m, K); see the contract."""
        _, found = scores_in_order(self.classifier, view.features(rows), self.reading, len(self.known))
        return pad(found, self.known, view.classes)

    def estimator(self, view: View, rows: Rows, labels: npt.NDArray[Any]) -> Any:
        """The same classifier with the user's own labels, as a scikit-learn estimator."""
        found = fit_grouped(self.make(), view.features(rows), labels, view.units[rows])
        return found if self.wrap is None else self.wrap(found)


def read_scores(classifier: Any, X: Matrix, reading: str) -> tuple[Kind, Scores]:
    """Scores (m, k) of a fitted classifier, one column for each of its classes.

    >>> from tlengine.probes import RidgeProbe
    >>> X = np.array([[0.0], [1.0]], np.float32)
    >>> read_scores(RidgeProbe().fit(X, ["a", "b"]), X, "decision_function")[1].shape
    (2, 2)
    """
    if reading == "predict_proba":
        shares = np.asarray(classifier.predict_proba(X), dtype=np.float64)
        return "votes", shares / shares.sum(axis=1, keepdims=True)
    if reading == "decision_function":
        found = np.asarray(classifier.decision_function(X), dtype=np.float64)
        return "logits", np.stack([-found / 2, found / 2], axis=1) if found.ndim == 1 else found
    return own_scores(classifier, X)


def scores_in_order(classifier: Any, X: Matrix, reading: Reading, classes: int) -> tuple[Kind, Scores]:
    """The same of a classifier that was fitted on ``classes`` class numbers from 0: column c is class c.

    Raises:
        InputError: it knows other classes.
    """
    if reading != "offered":
        return read_scores(classifier, X, reading)
    return offered_scores(classifier, X, np.arange(classes), classes)


def pad(scores: Scores, known: Codes, classes: int) -> Scores:
    """(..., K) from (..., k): the columns of the classes that were fitted, ``-inf`` for the others.

    >>> pad(np.zeros((1, 1)), np.array([1]), 2).tolist()
    [[-inf, 0.0]]
    """
    found = np.full((*scores.shape[:-1], classes), -np.inf)
    found[..., known] = scores
    return found


def unseen(scores: Scores, known: Codes, seen: Codes) -> Scores:
    """The scores (m, k), ``-inf`` in the columns of the ``known`` classes that an inner fit has not seen."""
    scores[:, ~np.isin(known, seen)] = -np.inf
    return scores


def loss(kind: Kind, scores: Scores | Matrix, codes: Codes, labels: int) -> float:
    """The log-loss of held-out scores, calibrated on themselves."""
    value = calibrate(kind, scores, codes, labels=labels, classes=scores.shape[1])
    return log_loss(codes, probabilities(kind, scores, value))


def fit_grouped(classifier: Any, X: Matrix, y: npt.NDArray[Any], units: Rows) -> Any:
    """``classifier.fit(X, y)``, with ``groups=units`` where it takes them: its own folds keep units whole."""
    import inspect

    takes = inspect.signature(classifier.fit).parameters
    return classifier.fit(X, y, groups=units) if "groups" in takes else classifier.fit(X, y)


class Tuned:
    """A strategy with candidates for its hyper-parameters, judged by the log-loss of held-out rows.

    Where nothing can be held out, the default is taken. Override ``candidates`` and ``make``; ``held_scores``
    where all candidates can be scored at once.
    """

    reads: Literal["features", "contents"] = "features"
    seeded = False
    kind: Kind = "logits"
    reading: Reading = "decision_function"

    def settings(self) -> Mapping[str, Any]:
        """Nothing but the class: it has no settings of its own."""
        return {"class": type(self).__name__}

    def candidates(self, view: View, fewest: int) -> list[Candidate]:
        """What to choose from; ``fewest`` rows are fitted at the least."""
        raise NotImplementedError

    def default(self, view: View, rows: int) -> Candidate:
        """What is taken where nothing can be held out."""
        return self.candidates(view, rows)[0]

    def make(self, **candidate: Any) -> Any:
        """An unfitted classifier."""
        raise NotImplementedError

    def fit(self, view: View, roles: Roles, *, seed: int = 0, folder: Path | None = None) -> Fitted:
        """See the contract."""
        fewest = min((len(rows) for rows, _ in roles.inner), default=len(roles.train))
        candidates = self.candidates(view, fewest)
        chosen, held, kind = self.default(view, len(roles.train)), None, self.kind
        if roles.inner:
            codes = view.codes(roles.held)
            # One array, of the precision that a record keeps: it is the largest that a fit needs.
            scores = np.empty((len(candidates), len(codes), view.classes), dtype=np.float32)
            end = 0
            for rows, others in roles.inner:
                start, end = end, end + len(others)
                kind, scores[:, start:end] = self.held_scores(view, rows, others, candidates)
            losses = self.losses(kind, scores, codes, len(roles.train)) if len(candidates) > 1 else [0.0]
            best = int(np.argmin(losses))
            chosen, held = candidates[best], scores[best].astype(np.float64)
        return self.finish(view, roles.train, chosen, held, kind)

    def fit_many(self, jobs: Sequence[Job]) -> Iterable[Fitted]:
        """One after the other."""
        for job in jobs:
            yield self.fit(job.view, job.roles, seed=job.seed, folder=job.folder)

    def finish(self, view: View, rows: Rows, chosen: Candidate, held: Scores | None, kind: Kind) -> Fitted:
        """Fits all training rows with what was chosen."""
        known, compact = np.unique(view.codes(rows), return_inverse=True)
        make = partial(self.make, **chosen)
        classifier = fit_grouped(make(), view.features(rows), compact, view.units[rows])
        return ArrayFitted(
            classifier=classifier,
            known=known,
            make=make,
            reading=self.reading,
            kind=kind
            if held is not None
            else scores_in_order(classifier, view.features(rows[:1]), self.reading, len(known))[0],
            chosen=chosen,
            held_out=held,
            converged=bool(np.all(getattr(classifier, "converged_", True))),
            nbytes=self.nbytes(classifier),
        )

    def nbytes(self, classifier: Any) -> int | None:
        """Bytes of the tensors that would be kept of a fitted classifier; None where nothing tells them."""
        return own_bytes(classifier)

    def held_scores(
        self, view: View, rows: Rows, held: Rows, candidates: Sequence[Candidate]
    ) -> tuple[Kind, Scores]:
        """Scores (candidates, h, K) of rows held out, by fits on others."""
        known, compact = np.unique(view.codes(rows), return_inverse=True)
        X, others = view.features(rows), view.features(held)
        found = []
        for candidate in candidates:
            fitted = fit_grouped(self.make(**candidate), X, compact, view.units[rows])
            kind, scores = scores_in_order(fitted, others, self.reading, len(known))
            found.append(pad(scores, known, view.classes))
        return kind, np.stack(found)

    def losses(self, kind: Kind, scores: Matrix, codes: Codes, labels: int) -> list[float]:
        """What is minimised over the candidates."""
        return [loss(kind, each, codes, labels) for each in scores]


def own_bytes(classifier: Any) -> int | None:
    """Bytes of the tensors that a probe of tlengine keeps; None for any other classifier.

    >>> from tlengine.probes import NearestCentroidProbe
    >>> own_bytes(NearestCentroidProbe().fit(np.eye(2, 3, dtype=np.float32), [0, 1])), own_bytes(object())
    (48, None)
    """
    from tlengine.probes.persistence import kept_tensors, saves_itself

    if not saves_itself(classifier):
        return None
    return sum(np.asarray(tensor).nbytes for tensor in kept_tensors(classifier).values())
