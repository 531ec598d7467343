"""What is measured on the test rows: accuracy, balanced accuracy, log-loss, calibration error.

A prediction is kept as four numbers per test row (:class:`Outcome`), enough for every metric, for the
influence of each row on it (which the intervals need), and for the confusion matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.statistics.calibration_error import confidence_bins

__all__ = ["METRICS", "Outcome", "influence", "pool", "scores"]

METRICS = ("accuracy", "balanced_accuracy", "log_loss", "ece")
BINS = 15
LEAST = 1e-15
"""The least probability that the log-loss counts, so that rounding to zero never makes it infinite."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """Predictions for the test rows of one resample.

    Attributes:
        rows: (m,) row numbers.
        truth, predicted: (m,) class numbers.
        confidence: (m,) probability of the predicted class.
        p_true: (m,) probability of the true class.

    >>> import numpy as np
    >>> o = Outcome.of(np.array([7]), np.array([1]), np.array([[0.25, 0.75]]))
    >>> o.predicted.tolist(), o.p_true.tolist()
    ([1], [0.75])
    """

    rows: npt.NDArray[np.intp]
    truth: npt.NDArray[np.intp]
    predicted: npt.NDArray[np.intp]
    confidence: npt.NDArray[np.float64]
    p_true: npt.NDArray[np.float64]

    @classmethod
    def of(
        cls, rows: npt.NDArray[np.intp], truth: npt.NDArray[np.intp], proba: npt.NDArray[np.floating[Any]]
    ) -> Outcome:
        """The outcome of probabilities (m, K)."""
        p = np.asarray(proba, dtype=np.float64)
        at = np.arange(len(p))
        predicted = p.argmax(axis=1)
        return cls(
            rows=rows, truth=truth, predicted=predicted, confidence=p[at, predicted], p_true=p[at, truth]
        )

    @property
    def correct(self) -> npt.NDArray[np.float64]:
        """(m,) 1.0 where the prediction is right."""
        return np.asarray(self.predicted == self.truth, dtype=np.float64)


def pool(outcomes: Sequence[Outcome]) -> Outcome:
    """Several outcomes (the folds of a seed) as one."""
    fields = ("rows", "truth", "predicted", "confidence", "p_true")
    return Outcome(**{f: np.concatenate([getattr(o, f) for o in outcomes]) for f in fields})


def scores(outcome: Outcome) -> dict[str, float]:
    """All metrics of one outcome.

    Balanced accuracy is the mean recall of the classes that occur among the test rows; log-loss is in nats;
    the calibration error has 15 equal-width bins of the top label's probability.
    """
    return {metric: influence(metric, outcome)[0] for metric in METRICS}


def influence(metric: str, outcome: Outcome) -> tuple[float, npt.NDArray[np.float64]]:
    """A metric, and what each test row adds to its deviation (to first order; the sum is 0)."""
    n, correct = len(outcome.rows), outcome.correct
    if metric == "accuracy":
        return _mean(correct)
    if metric == "log_loss":
        return _mean(-np.log(np.maximum(outcome.p_true, LEAST)))
    if metric == "balanced_accuracy":
        counts = np.bincount(outcome.truth)
        hits = np.bincount(outcome.truth, weights=correct)
        recall = np.divide(hits, counts, out=np.zeros(len(counts)), where=counts > 0)
        n_classes = int((counts > 0).sum())
        each = (correct - recall[outcome.truth]) / (counts[outcome.truth] * n_classes)
        return float(recall.sum() / n_classes), each
    surplus = outcome.confidence - correct
    which = confidence_bins(outcome.confidence, BINS)
    gaps = np.bincount(which, weights=surplus, minlength=BINS)
    value = float(np.abs(gaps).sum() / n)
    return value, (np.sign(gaps)[which] * surplus - value) / n


def _mean(values: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
    mean = float(values.mean())
    return mean, (values - mean) / len(values)
