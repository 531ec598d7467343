"""The scores of any fitted classifier, one column for each class of a run, checked."""

from __future__ import annotations

import operator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tlengine.errors import InputError

__all__ = ["LEAST_SHARE", "offered_scores", "own_scores"]

Scores = npt.NDArray[np.float64]

LEAST_SHARE = 1e-15
"""A probability of 0 counts as this: a class that was fitted is never impossible."""

_FIX = "fit a classifier that keeps the classes of y in classes_, as scikit-learn's do"
_SUM = 0.25
"""How far the probabilities of a row may be from adding up to 1, before they are normalised: exponentials of
sums in single precision, as naive Bayes makes of float32 rows, lose so much."""


def offered_scores(
    fitted: Any,
    X: npt.NDArray[np.floating[Any]],
    classes: npt.ArrayLike,
    n_classes: int,
    *,
    name: str | None = None,
) -> tuple[Literal["logits", "votes"], Scores]:
    """What a fitted classifier says of rows, by the best of what it offers.

    ``predict_proba`` becomes log-probabilities (``"logits"``, to be calibrated by a temperature), a 0 at most
    log 1e-15; else ``decision_function`` is taken as it is, where two classes share a column s as -s/2 and
    s/2, whose softmax is the logistic function of s; else ``predict`` becomes a vote (``"votes"``).
    What it offers is asked of the fitted object, so that it does not matter how it was made.

    Args:
        fitted: a classifier that was fitted on class numbers.
        X: (m, d) rows.
        classes: (k,) the class numbers that it was fitted on.
        n_classes: K, how many classes the run has; they are numbered from 0.
        name: what users call it, for messages. Default: the name of its class.

    Returns:
        The kind, and scores (m, K) float64. A class that was not fitted has ``-inf`` among logits and 0 among
        votes.

    Raises:
        InputError: it says which classes it knows and they are others, or it does not say; its result has
            another shape, is not finite, or is no probability.

    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> X, codes = np.array([[0.0], [1.0]]), np.array([0, 2])
    >>> kind, scores = offered_scores(KNeighborsClassifier(1).fit(X, codes), X, [0, 2], 3)
    >>> kind, np.exp(scores).round(6).tolist()
    ('logits', [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    """
    owner = _owner(fitted, name)
    known = _known(owner, fitted, np.asarray(classes), n_classes)
    kind, scores = own_scores(fitted, X, name=name)
    placed = np.full((len(scores), n_classes), -np.inf if kind == "logits" else 0.0)
    placed[:, known] = scores
    return kind, placed


def own_scores(
    fitted: Any, X: npt.NDArray[np.floating[Any]], *, name: str | None = None
) -> tuple[Literal["logits", "votes"], Scores]:
    """As :func:`offered_scores`, (m, k) in the order of ``fitted.classes_``, whatever those are.

    Args:
        fitted: a classifier that was fitted on labels of any kind.
        X: (m, d) rows.
        name: what users call it, for messages. Default: the name of its class.

    Raises:
        InputError: as :func:`offered_scores`.

    >>> from sklearn.svm import LinearSVC
    >>> X, y = np.array([[0.0], [1.0]]), ["cat", "dog"]
    >>> kind, scores = own_scores(LinearSVC().fit(X, y), X)
    >>> kind, scores.argmax(axis=1).tolist()
    ('logits', [0, 1])
    """
    owner = _owner(fitted, name)
    classes = np.asarray(_classes(owner, fitted))
    shape = X.shape[0], len(classes)
    if hasattr(fitted, "predict_proba"):
        return "logits", _logs(_shares(owner, fitted.predict_proba(X), shape))
    if hasattr(fitted, "decision_function"):
        return "logits", _margins(owner, fitted.decision_function(X), shape)
    return "votes", _votes(owner, fitted.predict(X), shape[0], classes)


def _owner(fitted: Any, name: str | None) -> str:
    return f"probe {name or type(fitted).__name__!r}"


def _classes(owner: str, fitted: Any) -> Any:
    found = getattr(fitted, "classes_", None)
    if found is None:
        raise InputError(f"{owner} has no classes_ after fit: a regressor, or several outputs?", hint=_FIX)
    return found


def _known(owner: str, fitted: Any, classes: npt.NDArray[Any], n_classes: int) -> npt.NDArray[np.intp]:
    """The class number of each of its columns."""
    found = _classes(owner, fitted)
    wanted = np.unique(classes).tolist()
    try:
        known = [int(c) for c in found]
        same = sorted(known) == wanted and all(map(bool, map(operator.eq, known, found)))
    except (TypeError, ValueError):
        same = False
    if not same or wanted[0] < 0 or wanted[-1] >= n_classes:
        raise InputError(
            f"{owner} knows the classes {_short(found)}; it was fitted on {_short(wanted)} of {n_classes}",
            hint=_FIX,
        )
    return np.array(known, dtype=np.intp)


def _shares(owner: str, found: Any, shape: tuple[int, int]) -> Scores:
    """Probabilities (m, k) that add up to 1."""
    shares = _numbers(f"{owner}: predict_proba", found)
    if shares.shape != shape:
        raise InputError(
            f"{owner}: predict_proba has shape {shares.shape}, expected {shape}",
            hint="return a row for each sample and a column for each of classes_",
        )
    least, sums = shares.min(initial=0.0), shares.sum(axis=1)
    if least < -1e-6 or not (np.abs(sums - 1) <= _SUM).all():
        far = sums[np.abs(sums - 1).argmax()]
        what = f"a probability of {least:g}" if least < -1e-6 else f"a row that adds up to {far:g}, not 1"
        raise InputError(f"{owner}: predict_proba has {what}", hint="return probabilities, or leave it out")
    shares = np.maximum(shares, 0)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def _logs(shares: Scores) -> Scores:
    """Log-probabilities.

    However small one is, it says how sure the others are. A 0 (no vote, say) does not: it counts as the least
    of its row, and as no more than ``LEAST_SHARE``.
    """
    positive = shares > 0
    least = np.minimum(np.where(positive, shares, 1.0).min(axis=1, keepdims=True), LEAST_SHARE)
    return np.asarray(np.log(np.where(positive, shares, least)))


def _margins(owner: str, found: Any, shape: tuple[int, int]) -> Scores:
    """Scores (m, k), also where two classes share a column."""
    scores = _numbers(f"{owner}: decision_function", found)
    m, k = shape
    if k == 2 and scores.shape in ((m,), (m, 1)):
        half = scores.reshape(m) / 2
        return np.stack([-half, half], axis=1)
    if scores.shape != shape:
        raise InputError(
            f"{owner}: decision_function has shape {scores.shape}, expected {shape}",
            hint="return a column for each of classes_ (one-vs-rest), or one column for two classes",
        )
    return scores


def _votes(owner: str, found: Any, m: int, known: npt.NDArray[Any]) -> Scores:
    """(m, k) of 0 and 1."""
    answers = np.asarray(found)
    if answers.shape != (m,):
        raise InputError(
            f"{owner}: predict has shape {answers.shape}, expected {(m,)}", hint="return a class for each row"
        )
    votes = np.asarray(answers[:, None] == known, dtype=np.float64)
    if strange := answers[votes.sum(axis=1) != 1].tolist():
        raise InputError(
            f"{owner}: predict answers {strange[0]!r}, which is none of {_short(known)}",
            hint="return classes of y",
        )
    return votes


def _numbers(what: str, found: Any) -> Scores:
    try:
        numbers = np.asarray(found, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{what} returned no array of numbers: {error}", hint="return floats") from None
    if not np.isfinite(numbers).all():
        rows = np.unique(np.argwhere(~np.isfinite(numbers))[:, 0])
        raise InputError(
            f"{what} has NaN or infinity in {len(rows)} of {len(numbers)} rows, first row {rows[0]}",
            hint="check the estimator on these features by itself",
        )
    return numbers


def _short(classes: Any) -> str:
    shown = list(classes)
    words = ", ".join(map(str, shown[:8]))
    return f"{words}, ... ({len(shown)})" if len(shown) > 8 else words
