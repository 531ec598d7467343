"""Scores to probabilities, by one parameter that is fitted on held-out rows.

Both parameters are fitted on predictions for rows that the model did not train on, against Platt's targets
((n + 1) / (n + K) for the true class, 1 / (n + K) for the others; Platt 1999), so that a handful of faultless
predictions never turns into certainty and a later mistake never into an infinite loss.

A score of ``-inf`` belongs to a class that the fit has not seen. Its probability is 0, before and after
calibration; rows of such a class say nothing about the parameter and are left out of its fit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tlengine.errors import InputError, NonFiniteError, ShapeMismatchError

__all__ = [
    "LEAST",
    "calibrate",
    "fit_smoothing",
    "fit_temperature",
    "log_loss",
    "probabilities",
    "smooth",
    "softmax",
]

FloatArray = npt.NDArray[np.float64]
Codes = npt.NDArray[np.integer[Any]]
Kind = Literal["logits", "votes"]

LEAST = 1e-15
"""The least probability that the log-loss counts, so that rounding to zero never makes it infinite."""
MOST_SMOOTH = 0.999
"""The most that votes are mixed with the uniform distribution: the class with the most votes stays first."""


def calibrate(
    kind: Kind, held_out: npt.ArrayLike | None, codes: Codes | None, *, labels: int, classes: int
) -> float:
    """The parameter that turns scores into probabilities: a temperature, or a weight of smoothing.

    Args:
        kind: ``"logits"`` or ``"votes"`` (shares that add to 1).
        held_out: (h, K) scores of rows that the fit did not see. Where there are none (None, or no row), the
            temperature is 1, and the weight K / (n + K), Platt's, with n labels.
        codes: (h,) their class numbers.
        labels: how many labels the fit used.
        classes: how many classes the fit has seen.

    Raises:
        InputError: another kind.
        NonFiniteError: a score that is NaN or +inf, or a row of -inf alone.
        ShapeMismatchError: scores that are not (h, K) with one code a row.

    >>> [calibrate(kind, None, None, labels=6, classes=2) for kind in ("logits", "votes")]
    [1.0, 0.25]
    """
    _check_kind(kind)
    if held_out is None or codes is None or len(codes) == 0:
        return 1.0 if kind == "logits" else min(MOST_SMOOTH, classes / (labels + classes))
    scores = _checked(held_out)
    if len(scores) != len(codes):
        raise ShapeMismatchError(f"{len(scores)} rows of scores for {len(codes)} codes")
    return fit_temperature(scores, codes) if kind == "logits" else fit_smoothing(scores, codes)


def probabilities(kind: Kind, scores: npt.ArrayLike, value: float) -> FloatArray:
    """Probabilities (m, K) of the scores (m, K), with the parameter that :func:`calibrate` returned.

    Raises:
        InputError, NonFiniteError, ShapeMismatchError: as in :func:`calibrate`.

    >>> probabilities("votes", [[1.0, 0.0, -np.inf]], 0.5).tolist()
    [[0.75, 0.25, 0.0]]
    """
    _check_kind(kind)
    s = _checked(scores)
    return softmax(s, value) if kind == "logits" else smooth(s, value)


def _check_kind(kind: str) -> None:
    if kind not in ("logits", "votes"):
        raise InputError(f"scores of kind {kind!r}", hint="use 'logits' or 'votes'")


def _checked(scores: npt.ArrayLike) -> FloatArray:
    s = np.asarray(scores, dtype=np.float64)
    if s.ndim != 2:
        raise ShapeMismatchError(
            f"scores of shape {s.shape}, not (m, K)", hint="give one column for each class of the run"
        )
    bad = np.flatnonzero(np.isnan(s).any(axis=1) | (s == np.inf).any(axis=1) | ~np.isfinite(s).any(axis=1))
    if len(bad):
        raise NonFiniteError(
            f"scores of row {bad[0]} are {s[bad[0]].tolist()[:8]}",
            hint="scores are finite; -inf is for classes that the fit has not seen, never for all of them",
        )
    return s


def softmax(scores: npt.ArrayLike, temperature: float = 1.0) -> FloatArray:
    """Probabilities (n, K) of the scores (n, K) divided by a temperature; 0 where a score is -inf.

    >>> softmax([[0.0, 0.0, -np.inf]]).tolist()
    [[0.5, 0.5, 0.0]]
    """
    z = np.asarray(scores, dtype=np.float64) / temperature
    p = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(p / p.sum(axis=1, keepdims=True))


def smooth(votes: npt.ArrayLike, weight: float) -> FloatArray:
    """Mix shares of votes (n, K) with the uniform distribution over the classes that could be voted for.

    ``(1 - weight) * votes + weight / K``; where a share is -inf the probability is 0, and K one less.

    >>> smooth([[1.0, 0.0]], 0.5).tolist()
    [[0.75, 0.25]]
    """
    v = np.asarray(votes, dtype=np.float64)
    seen = np.isfinite(v)
    shares = np.where(seen, v, 0.0)
    return np.asarray((1.0 - weight) * shares + weight * seen / seen.sum(axis=1, keepdims=True))


def fit_temperature(scores: npt.ArrayLike, codes: Codes) -> float:
    """The temperature that minimises the log-loss of held-out scores; 1 where no row can tell.

    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, with Platt's targets.

    Args:
        scores: (n, K) held-out scores; -inf for classes that a row's fit has not seen.
        codes: (n,) true class numbers.

    >>> rng = np.random.default_rng(0)
    >>> logits = rng.normal(size=(5_000, 3))
    >>> codes = np.array([rng.choice(3, p=p) for p in softmax(logits)])
    >>> 9 < fit_temperature(10 * logits, codes) < 11
    True
    """
    s, truth = _informative(scores, codes)
    if len(s) == 0:
        return 1.0
    seen = np.isfinite(s)
    s = s - s.max(axis=1, keepdims=True)
    below = np.where(seen, s, 0.0)
    scale = float(-below.sum() / seen.sum()) or 1.0
    n, width = len(s), seen.sum(axis=1)
    pull = (below.sum(axis=1) + n * below[np.arange(n), truth]) / (n + width)

    def loss(log_beta: float) -> float:
        beta = np.exp(log_beta) / scale
        return float(np.mean(np.log(np.exp(beta * s).sum(axis=1)) - beta * pull))

    return scale / float(np.exp(_minimise(loss, -9.0, 9.0)))


def fit_smoothing(votes: npt.ArrayLike, codes: Codes) -> float:
    """The weight of the uniform distribution that minimises the log-loss of held-out votes.

    The weight is at least K / (n + K), so that no class that was seen ever gets less than Platt's
    1 / (n + K), and at most ``MOST_SMOOTH``; that where no row can tell.

    Args:
        votes: (n, K) held-out shares of votes; -inf for classes that a row's fit has not seen.
        codes: (n,) true class numbers.

    >>> always_right, half_right = np.eye(2)[[0, 1] * 50], np.eye(2)[[0, 0] * 50]
    >>> codes = np.array([0, 1] * 50)
    >>> fit_smoothing(always_right, codes) < 0.05 < 0.9 < fit_smoothing(half_right, codes)
    True
    """
    v, truth = _informative(votes, codes)
    if len(v) == 0:
        return MOST_SMOOTH
    n = len(v)
    share, width = v[np.arange(n), truth], np.isfinite(v).sum(axis=1)
    most = float(width.max())

    def loss(log_weight: float) -> float:
        weight = float(np.exp(log_weight))
        return float(-np.mean(np.log((1.0 - weight) * share + weight / width)))

    least = min(MOST_SMOOTH, most / (n + most))
    return float(np.exp(_minimise(loss, float(np.log(least)), float(np.log(MOST_SMOOTH)))))


def _informative(scores: npt.ArrayLike, codes: Codes) -> tuple[FloatArray, npt.NDArray[np.intp]]:
    """Scores and codes of the rows whose class their fit has seen."""
    s, truth = np.asarray(scores, dtype=np.float64), np.asarray(codes, dtype=np.intp)
    known = np.isfinite(s[np.arange(len(s)), truth])
    return (s, truth) if known.all() else (s[known], truth[known])


def _minimise(loss: Callable[[float], float], low: float, high: float) -> float:
    from scipy.optimize import minimize_scalar

    return float(minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-4}).x)


def log_loss(codes: Codes, proba: npt.ArrayLike) -> float:
    """Minus the logarithm of the true class's probability, at least ``LEAST``: the mean, in nats.

    Args:
        codes: (n,) true class numbers.
        proba: (n, K) probabilities.

    >>> round(log_loss(np.array([1]), [[0.5, 0.5]]), 4)
    0.6931
    """
    p = np.asarray(proba, dtype=np.float64)[np.arange(len(codes)), codes]
    return float(-np.log(np.maximum(p, LEAST)).mean())
