"""Calibration: how far confidence is from accuracy, and one parameter to mend it.

Both parameters are fitted on predictions for rows that the model did not train on, against Platt's targets
((n + 1) / (n + K) for the true class, 1 / (n + K) for the others; Platt 1999), so that a handful of faultless
predictions never turns into certainty and a later mistake never into an infinite loss.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["expected_calibration_error", "fit_smoothing", "fit_temperature", "smooth", "softmax"]

FloatArray = npt.NDArray[np.float64]
Codes = npt.NDArray[np.integer[Any]]


def expected_calibration_error(codes: npt.ArrayLike, proba: npt.ArrayLike, *, bins: int = 15) -> float:
    """The gap between confidence and accuracy of the top label, averaged over equal-width bins.

    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.

    Args:
        codes: (n,) true class numbers.
        proba: (n, K) probabilities.
        bins: how many bins of equal width on (0, 1].

    >>> round(expected_calibration_error([0, 1], [[0.8, 0.2], [0.2, 0.8]]), 6)
    0.2
    """
    p = np.asarray(proba, dtype=np.float64)
    confidence = p.max(axis=1)
    surplus = confidence - (p.argmax(axis=1) == np.asarray(codes))
    which = confidence_bins(confidence, bins)
    gaps = np.bincount(which, weights=surplus, minlength=bins)
    return float(np.abs(gaps).sum() / len(p))


def confidence_bins(confidence: npt.ArrayLike, bins: int = 15) -> npt.NDArray[np.intp]:
    """The number of the equal-width bin (lower, upper] of each confidence."""
    place = np.ceil(np.asarray(confidence, dtype=np.float64) * bins).astype(np.intp) - 1
    return np.clip(place, 0, bins - 1)


def softmax(scores: npt.ArrayLike, temperature: float = 1.0) -> FloatArray:
    """Probabilities (n, K) of the scores (n, K) divided by a temperature.

    >>> softmax([[0.0, 0.0]]).tolist()
    [[0.5, 0.5]]
    """
    z = np.asarray(scores, dtype=np.float64) / temperature
    p = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(p / p.sum(axis=1, keepdims=True))


def fit_temperature(scores: npt.ArrayLike, codes: Codes) -> float:
    """The temperature that minimises the log-loss of held-out scores.

    Args:
        scores: (n, K) held-out scores.
        codes: (n,) true class numbers.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> logits = rng.normal(size=(5_000, 3))
    >>> codes = np.array([rng.choice(3, p=p) for p in softmax(logits)])
    >>> 9 < fit_temperature(10 * logits, codes) < 11
    True
    """
    s = np.asarray(scores, dtype=np.float64)
    s = s - s.max(axis=1, keepdims=True)
    scale = float(-s.mean()) or 1.0
    truth = (_platt_targets(codes, s.shape[1]) * s).sum(axis=1)

    def loss(log_beta: float) -> float:
        beta = np.exp(log_beta) / scale
        return float(np.mean(np.log(np.exp(beta * s).sum(axis=1)) - beta * truth))

    return scale / float(np.exp(_minimise(loss, -9.0, 9.0)))


def smooth(votes: npt.ArrayLike, weight: float) -> FloatArray:
    """Mix shares of votes (n, K) with the uniform distribution: ``(1 - weight) * votes + weight / K``.

    >>> smooth([[1.0, 0.0]], 0.5).tolist()
    [[0.75, 0.25]]
    """
    v = np.asarray(votes, dtype=np.float64)
    return np.asarray((1.0 - weight) * v + weight / v.shape[1])


def fit_smoothing(votes: npt.ArrayLike, codes: Codes) -> float:
    """The weight of the uniform distribution that minimises the log-loss of held-out votes.

    The weight is at least K / (n + K), so that no class ever gets less than Platt's 1 / (n + K).

    Args:
        votes: (n, K) held-out shares of votes.
        codes: (n,) true class numbers.

    >>> import numpy as np
    >>> always_right, half_right = np.eye(2)[[0, 1] * 50], np.eye(2)[[0, 0] * 50]
    >>> codes = np.array([0, 1] * 50)
    >>> fit_smoothing(always_right, codes) < 0.05 < 0.9 < fit_smoothing(half_right, codes)
    True
    """
    v = np.asarray(votes, dtype=np.float64)
    n, n_classes = v.shape
    truth = v[np.arange(n), codes]

    def loss(log_weight: float) -> float:
        weight = float(np.exp(log_weight))
        return float(-np.mean(np.log((1.0 - weight) * truth + weight / n_classes)))

    return float(np.exp(_minimise(loss, float(np.log(n_classes / (n + n_classes))), 0.0)))


def _platt_targets(codes: Codes, n_classes: int) -> FloatArray:
    n = len(codes)
    targets = np.full((n, n_classes), 1.0 / (n + n_classes))
    targets[np.arange(n), codes] = (n + 1.0) / (n + n_classes)
    return targets


def _minimise(loss: Callable[[float], float], low: float, high: float) -> float:
    from scipy.optimize import minimize_scalar

    return float(minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-4}).x)
