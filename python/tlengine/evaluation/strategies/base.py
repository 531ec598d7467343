"""What all strategies share: the result, the inner folds, the choice among candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tlengine.data.resamples import assign_folds
from tlengine.evaluation.metrics import LEAST
from tlengine.statistics.calibration import fit_temperature, smooth, softmax

__all__ = [
    "CALIBRATIONS",
    "Fit",
    "Judged",
    "Strategy",
    "Trial",
    "Tuned",
    "calibrated",
    "feature_scale",
    "log_loss",
    "two_sided",
]

Array = npt.NDArray[Any]
Matrix = npt.NDArray[np.float32]
Scores = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]
Params = dict[str, Any]
Select = tuple[Matrix, Array] | None

CALIBRATIONS = ("none", "temperature", "smoothing")
INNER_FOLDS = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class Fit:
    """A fitted strategy.

    Attributes:
        estimator: a fitted scikit-learn classifier. calibration: ``{"kind": "none" | "temperature" |
        "smoothing", "value": …}``. chosen: the hyper-parameters. inner: accuracy and log-loss of the
        held-out predictions that chose them; None where a class had one row.
    """

    estimator: Any
    calibration: Mapping[str, Any]
    chosen: Params
    inner: tuple[float, float] | None
    converged: bool = True

    def predict_proba(self, X: Matrix) -> Scores:
        """Probabilities (n, K) of features (n, d)."""
        return calibrated(self.estimator, self.calibration, X)


class Strategy(Protocol):
    """What ``compare`` asks of a strategy."""

    name: str

    def fit(self, X: Matrix, y: Array, *, units: Rows, select: Select = None) -> Fit:
        """Fit on the rows of a budget.

        Args:
            X: (n, d) features.
            y: (n,) labels.
            units: (n,) rows of one unit are never on both sides of an inner split.
            select: features and labels of the user's own validation split, or None.
        """
        ...


def calibrated(estimator: Any, calibration: Mapping[str, Any], X: Matrix) -> Scores:
    """Probabilities (n, K) of a fitted classifier under a calibration."""
    if calibration["kind"] == "temperature":
        return softmax(two_sided(estimator.decision_function(X)), calibration["value"])
    proba = np.asarray(estimator.predict_proba(X), dtype=np.float64)
    proba = proba / proba.sum(axis=1, keepdims=True)
    return smooth(proba, calibration["value"]) if calibration["kind"] == "smoothing" else proba


def two_sided(scores: Array) -> Scores:
    """Scores with a column for each class, also for two classes that share one."""
    s = np.asarray(scores, dtype=np.float64)
    if s.ndim == 1:
        s = s[:, None]
    return np.concatenate([-s, s], axis=-1) if s.shape[-1] == 1 else s


class Tuned:
    """A strategy with candidates for its hyper-parameters, judged on held-out rows."""

    name: str
    calibration = "temperature"
    uncalibrated = 1.0
    """The calibration where a class has a single row and nothing can be held out."""

    def candidates(self, X: Matrix, n_train: int) -> list[Params]:
        """Hyper-parameters to choose from."""
        raise NotImplementedError

    def default(self, X: Matrix) -> Params:
        """Hyper-parameters where nothing can be held out."""
        return self.candidates(X, len(X))[0]

    def scores(self, X: Matrix, codes: Rows, held: Matrix, candidates: Sequence[Params]) -> Scores:
        """Scores (candidates, m, K) of held-out rows after fitting the others."""
        raise NotImplementedError

    def estimator(self, params: Params) -> Any:
        """An unfitted classifier."""
        raise NotImplementedError

    def fit(self, X: Matrix, y: Array, *, units: Rows, select: Select = None) -> Fit:
        """See :class:`Strategy`."""
        classes, codes = np.unique(y, return_inverse=True)
        trial = make_trial(X, codes, units, select, classes)
        judged = self.judge(trial) if trial.parts else Judged(self.default(X), self.uncalibrated, None)
        fitted = judged.fitted if judged.fitted is not None else self.estimator(judged.params).fit(X, y)
        return Fit(
            estimator=fitted,
            converged=bool(np.all(getattr(fitted, "converged_", True))),
            calibration={"kind": self.calibration, "value": judged.calibration},
            chosen=judged.params,
            inner=judged.inner,
        )

    def judge(self, trial: Trial) -> Judged:
        """The best candidate on the held-out rows, calibrated on them."""
        X, codes, parts = trial.X, trial.codes, trial.parts
        candidates = self.candidates(X, min(len(rows) for rows, _ in parts))
        scores = np.concatenate([self.scores(X[r], codes[r], X[h], candidates) for r, h in parts], axis=1)
        return self.settle(candidates, scores, codes[np.concatenate([held for _, held in parts])])

    def settle(self, candidates: Sequence[Params], scores: Scores, truth: Rows) -> Judged:
        """The candidate of the least loss, calibrated."""
        best = int(np.argmin(self.losses(scores, truth))) if len(candidates) > 1 else 0
        value = self._calibrate(scores[best], truth)
        proba = self._proba(scores[best], value)
        accuracy = float((proba.argmax(axis=1) == truth).mean())
        return Judged(candidates[best], value, (accuracy, log_loss(proba, truth)))

    def losses(self, scores: Scores, codes: Rows) -> Scores:
        """What is minimised over the candidates: (candidates,)."""
        return np.array([log_loss(self._proba(s, self._calibrate(s, codes)), codes) for s in scores])

    def _calibrate(self, scores: Scores, codes: Rows) -> float:
        return fit_temperature(scores, codes)

    def _proba(self, scores: Scores, value: float) -> Scores:
        return softmax(scores, value)


@dataclass(frozen=True, eq=False)
class Trial:
    """Rows to judge by: (rows to fit, rows held out) for each part; no part where that is impossible."""

    X: Matrix
    codes: Rows
    classes: Array
    parts: list[tuple[Rows, Rows]]
    single: bool = False
    """Whether every row is a unit of its own."""
    selected: bool = False
    """Whether the held-out rows are the user's, beside the budget."""


@dataclass(frozen=True)
class Judged:
    """The chosen hyper-parameters, the calibration, and accuracy and log-loss on the held-out rows.

    ``fitted`` is the classifier of all rows where the choice left it behind.
    """

    params: Params
    calibration: float
    inner: tuple[float, float] | None
    fitted: Any = None


def make_trial(X: Matrix, codes: Rows, units: Rows, select: Select, classes: Array) -> Trial:
    """Inner folds of the budget, or the user's validation split beside it."""
    n = len(X)
    if select is not None:
        known = np.isin(select[1], classes)
        both = np.concatenate([codes, np.searchsorted(classes, select[1][known])])
        parts = [(np.arange(n), np.arange(n, len(both)))] if known.any() else []
        return Trial(np.concatenate([X, select[0][known]]), both, classes, parts, selected=True)
    _, compact = np.unique(units, return_inverse=True)
    folds = assign_folds(codes, compact, INNER_FOLDS, np.random.default_rng(0))
    parts = [(np.flatnonzero(folds != f), np.flatnonzero(folds == f)) for f in np.unique(folds)]
    whole = all(np.unique(codes[rows]).size == len(classes) for rows, _ in parts)
    return Trial(X, codes, classes, parts if whole else [], single=int(compact.max()) == n - 1)


def log_loss(proba: Scores, codes: Rows) -> float:
    """The mean negative log-probability (n, K) of the true classes (n,), in nats."""
    return float(-np.log(np.maximum(proba[np.arange(len(codes)), codes], LEAST)).mean())


def feature_scale(X: Matrix) -> float:
    """The mean squared distance of the rows from their mean."""
    return float(X.var(axis=0, dtype=np.float64).sum()) or 1.0
