"""Strategies: ways to use frozen features, each fitted with nothing but the labels of its budget.

A strategy chooses its hyper-parameters, and the one parameter that turns scores into probabilities, on
predictions for rows that were held out *inside* the budget (or on the user's ``select`` split), then fits
all rows of the budget. Grids are relative to the scale of the features, so that it does not matter in which
unit a backbone counts.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tlengine.data.resamples import assign_folds
from tlengine.diagnostics.calibration import fit_smoothing, fit_temperature, smooth, softmax
from tlengine.errors import UnknownNameError
from tlengine.evaluation.metrics import LEAST
from tlengine.plugins.registry import nearest_names, probes

__all__ = ["CALIBRATIONS", "DEFAULT_STRATEGIES", "Fit", "Strategy", "calibrated", "resolve_strategy"]

Array = npt.NDArray[Any]
Matrix = npt.NDArray[np.float32]
Scores = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]
Params = dict[str, Any]
Select = tuple[Matrix, Array] | None

DEFAULT_STRATEGIES = ("knn", "probe", "ridge", "centroid", "raw")
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
        return softmax(_two_sided(estimator.decision_function(X)), calibration["value"])
    proba = np.asarray(estimator.predict_proba(X), dtype=np.float64)
    return smooth(proba, calibration["value"]) if calibration["kind"] == "smoothing" else proba


def _two_sided(scores: Array) -> Scores:
    """Scores with a column for each class, also for two classes that share one."""
    s = np.asarray(scores, dtype=np.float64)
    if s.ndim == 1:
        s = s[:, None]
    return np.concatenate([-s, s], axis=-1) if s.shape[-1] == 1 else s


def resolve_strategy(name: str) -> Strategy:
    """The strategy of that name: a built-in one, the control, or a probe that a plugin registered.

    Raises:
        UnknownNameError: there is none; the hint has the nearest names.
    """
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    registered = probes()
    if name in registered:
        return _Plugged(name, registered[name].estimator)
    known = [*_BUILT_IN, *registered]
    raise UnknownNameError(
        f"no strategy is named {name!r}", hint=f"nearest names: {', '.join(nearest_names(name, known))}"
    )


class _Tuned:
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
        classes, codes = np.unique(y, return_inverse=True)
        trial = _trial(X, codes, units, select, classes)
        judged = self.judge(trial) if trial.parts else _Judged(self.default(X), self.uncalibrated, None)
        return Fit(
            estimator=self.estimator(judged.params).fit(X, y),
            calibration={"kind": self.calibration, "value": judged.calibration},
            chosen=judged.params,
            inner=judged.inner,
        )

    def judge(self, trial: _Trial) -> _Judged:
        """The best candidate on the held-out rows, calibrated on them."""
        X, codes, parts = trial.X, trial.codes, trial.parts
        candidates = self.candidates(X, min(len(rows) for rows, _ in parts))
        scores = np.concatenate([self.scores(X[r], codes[r], X[h], candidates) for r, h in parts], axis=1)
        truth = codes[np.concatenate([held for _, held in parts])]
        best = int(np.argmin(self.losses(scores, truth))) if len(candidates) > 1 else 0
        value = self._calibrate(scores[best], truth)
        proba = self._proba(scores[best], value)
        accuracy = float((proba.argmax(axis=1) == truth).mean())
        return _Judged(candidates[best], value, (accuracy, _log_loss(proba, truth)))

    def losses(self, scores: Scores, codes: Rows) -> Scores:
        """What is minimised over the candidates: (candidates,)."""
        return np.array([_log_loss(self._proba(s, self._calibrate(s, codes)), codes) for s in scores])

    def _calibrate(self, scores: Scores, codes: Rows) -> float:
        return fit_temperature(scores, codes)

    def _proba(self, scores: Scores, value: float) -> Scores:
        return softmax(scores, value)


@dataclass(frozen=True, eq=False)
class _Trial:
    """Rows to judge by: (rows to fit, rows held out) for each part; no part where that is impossible."""

    X: Matrix
    codes: Rows
    parts: list[tuple[Rows, Rows]]


@dataclass(frozen=True)
class _Judged:
    params: Params
    calibration: float
    inner: tuple[float, float] | None


def _trial(X: Matrix, codes: Rows, units: Rows, select: Select, classes: Array) -> _Trial:
    """Inner folds of the budget, or the user's validation split beside it."""
    n = len(X)
    if select is not None:
        known = np.isin(select[1], classes)
        both = np.concatenate([codes, np.searchsorted(classes, select[1][known])])
        parts = [(np.arange(n), np.arange(n, len(both)))] if known.any() else []
        return _Trial(np.concatenate([X, select[0][known]]), both, parts)
    _, compact = np.unique(units, return_inverse=True)
    folds = assign_folds(codes, compact, INNER_FOLDS, np.random.default_rng(0))
    parts = [(np.flatnonzero(folds != f), np.flatnonzero(folds == f)) for f in np.unique(folds)]
    whole = all(np.unique(codes[rows]).size == len(classes) for rows, _ in parts)
    return _Trial(X, codes, parts if whole else [])


def _log_loss(proba: Scores, codes: Rows) -> float:
    return float(-np.log(np.maximum(proba[np.arange(len(codes)), codes], LEAST)).mean())


def _scale(X: Matrix) -> float:
    """The mean squared distance of the rows from their mean."""
    return float(X.var(axis=0, dtype=np.float64).sum()) or 1.0


class LinearStrategy(_Tuned):
    """Logistic regression; C is chosen by the log-loss, whose minimum needs no further calibration.

    The grid is walked from small C, where solutions are cheap, in stretches, and left once the held-out loss
    rises.
    """

    name = "probe"
    calibration = "none"
    stretches: Sequence[Array] = np.logspace(-3, 1.5, 10), np.logspace(2, 3.5, 4), np.logspace(4, 6, 5)
    """C times the mean squared distance of the features from their mean."""

    def default(self, X: Matrix) -> Params:
        return {"C": 10.0 / _scale(X)}

    def judge(self, trial: _Trial) -> _Judged:
        """The C with the least log-loss; all folds are solved together."""
        best = (np.inf, 0.0, 0.0)
        for stretch in self.stretches:
            Cs = stretch / _scale(trial.X)
            losses, accuracies = _path_scores(trial, Cs)
            at = int(np.argmin(losses))
            best = min(best, (losses[at], accuracies[at], Cs[at]))
            if at < len(Cs) - 1:
                break
        loss, accuracy, C = (float(number) for number in best)
        return _Judged({"C": C}, 1.0, (accuracy, loss))

    def estimator(self, params: Params) -> Any:
        from tlengine.probes import LinearProbe

        return LinearProbe(**params, tol=1e-4)


def _path_scores(trial: _Trial, Cs: Array) -> tuple[Array, Array]:
    """Log-loss and accuracy on held-out rows for every C."""
    from sklearn.exceptions import ConvergenceWarning

    from tlengine.probes import probe_path

    with warnings.catch_warnings():
        # A C that is hard to certify is a poor candidate; the fit with the chosen C does warn.
        warnings.simplefilter("ignore", ConvergenceWarning)
        folds = probe_path(trial.X, trial.codes, Cs, folds=trial.parts, tol=1e-3).folds
    sizes = [len(held) for _, held in trial.parts]
    return (
        np.average([fold.log_loss_ for fold in folds], axis=0, weights=sizes),
        np.average([fold.accuracy_ for fold in folds], axis=0, weights=sizes),
    )


class ControlStrategy(LinearStrategy):
    """The same on raw pixels or words: what can be had without a pretrained network."""

    name = "raw"


class RidgeStrategy(_Tuned):
    """Ridge regression on class indicators; alpha by the squared error, probabilities by a temperature."""

    name = "ridge"

    def candidates(self, X: Matrix, n_train: int) -> list[Params]:
        scale = _scale(X) * len(X)
        return [{"alpha": float(a) * scale} for a in np.logspace(-6, 2, 17)]

    def default(self, X: Matrix) -> Params:
        return {"alpha": 0.1 * _scale(X) * len(X)}

    def scores(self, X: Matrix, codes: Rows, held: Matrix, candidates: Sequence[Params]) -> Scores:
        from tlengine.probes import ridge_path

        path = ridge_path(X, _indicators(codes), alphas=[c["alpha"] for c in candidates])
        return _linear_scores(held, path)

    def losses(self, scores: Scores, codes: Rows) -> Scores:
        target = _indicators(codes, scores.shape[2])
        return np.asarray(((scores - target) ** 2).mean(axis=(1, 2)))

    def estimator(self, params: Params) -> Any:
        from tlengine.probes import RidgeProbe

        return RidgeProbe(**params)


class NeighborsStrategy(_Tuned):
    """The vote of the nearest neighbours by cosine, weighted as in DINO (arXiv 2104.14294), smoothed."""

    name = "knn"
    calibration = "smoothing"
    uncalibrated = 0.5

    def candidates(self, X: Matrix, n_train: int) -> list[Params]:
        ks = sorted({min(k, n_train) for k in (1, 3, 5, 10, 20, 50, 100)})
        return [{"temperature": t, "k": k} for t in (0.02, 0.07, 0.3) for k in ks]

    def default(self, X: Matrix) -> Params:
        return {"temperature": 0.07, "k": 1}

    def scores(self, X: Matrix, codes: Rows, held: Matrix, candidates: Sequence[Params]) -> Scores:
        from tlengine.probes.neighbors import neighbor_votes

        ks = sorted({c["k"] for c in candidates})
        temperatures = sorted({c["temperature"] for c in candidates})
        votes: Scores = neighbor_votes(held, X, codes, k=ks, temperature=temperatures).proba
        return votes.reshape(len(candidates), *votes.shape[2:])

    def losses(self, scores: Scores, codes: Rows) -> Scores:
        return np.array([_log_loss(s, codes) for s in scores])

    def estimator(self, params: Params) -> Any:
        from tlengine.probes import KNeighborsProbe

        return KNeighborsProbe(**params, metric="cosine")

    def _calibrate(self, scores: Scores, codes: Rows) -> float:
        return fit_smoothing(scores, codes)

    def _proba(self, scores: Scores, value: float) -> Scores:
        return smooth(scores, value)


class CentroidStrategy(_Tuned):
    """The nearest class mean; probabilities by a temperature."""

    name = "centroid"

    def candidates(self, X: Matrix, n_train: int) -> list[Params]:
        return [{"metric": "cosine"}, {"metric": "euclidean"}]

    def scores(self, X: Matrix, codes: Rows, held: Matrix, candidates: Sequence[Params]) -> Scores:
        fitted = [self.estimator(params).fit(X, codes) for params in candidates]
        return np.stack([_two_sided(f.decision_function(held)) for f in fitted])

    def estimator(self, params: Params) -> Any:
        from tlengine.probes import NearestCentroidProbe

        return NearestCentroidProbe(**params)


class _Plugged(_Tuned):
    """A classifier that a plugin registered, with its own defaults."""

    def __init__(self, name: str, make: Any) -> None:
        self.name = name
        self._make = make
        self.calibration = "temperature" if hasattr(make, "decision_function") else "smoothing"

    def candidates(self, X: Matrix, n_train: int) -> list[Params]:
        return [{}]

    def scores(self, X: Matrix, codes: Rows, held: Matrix, candidates: Sequence[Params]) -> Scores:
        fitted = self._make().fit(X, codes)
        if self.calibration == "temperature":
            return _two_sided(fitted.decision_function(held))[None]
        return np.asarray(fitted.predict_proba(held), dtype=np.float64)[None]

    def estimator(self, params: Params) -> Any:
        return self._make()

    def _calibrate(self, scores: Scores, codes: Rows) -> float:
        fit = fit_temperature if self.calibration == "temperature" else fit_smoothing
        return fit(scores, codes)

    def _proba(self, scores: Scores, value: float) -> Scores:
        return softmax(scores, value) if self.calibration == "temperature" else smooth(scores, value)


def _linear_scores(X: Matrix, path: Any) -> Scores:
    """Scores (c, m, K) of a path of linear models."""
    coef = np.asarray(path.coef_, dtype=X.dtype)
    flat = X @ coef.reshape(-1, X.shape[1]).T
    scores = flat.reshape(len(X), *coef.shape[:2]).swapaxes(0, 1) + np.asarray(path.intercept_)[:, None]
    return _two_sided(scores)


def _indicators(codes: Rows, n_classes: int | None = None) -> Matrix:
    """(n, K) of -1 and 1."""
    eye = np.eye(n_classes or int(codes.max()) + 1, dtype=np.float32)
    return np.asarray(2 * eye[codes] - 1)


_BUILT_IN: Mapping[str, Strategy] = {
    s.name: s
    for s in (
        NeighborsStrategy(),
        LinearStrategy(),
        RidgeStrategy(),
        CentroidStrategy(),
        ControlStrategy(),
    )
}
