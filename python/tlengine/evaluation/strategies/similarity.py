"""Strategies by similarity, nearest neighbours and class means, and the classifiers of plugins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tlengine.evaluation.strategies.base import (
    Matrix,
    Params,
    Rows,
    Scores,
    Strategy,
    Tuned,
    log_loss,
    two_sided,
)
from tlengine.statistics.calibration import fit_smoothing, fit_temperature, smooth, softmax

__all__ = ["BY_SIMILARITY", "plugged"]


class NeighborsStrategy(Tuned):
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
        return np.array([log_loss(s, codes) for s in scores])

    def estimator(self, params: Params) -> Any:
        from tlengine.probes import KNeighborsProbe

        return KNeighborsProbe(**params, metric="cosine")

    def _calibrate(self, scores: Scores, codes: Rows) -> float:
        return fit_smoothing(scores, codes)

    def _proba(self, scores: Scores, value: float) -> Scores:
        return smooth(scores, value)


class CentroidStrategy(Tuned):
    """The nearest class mean; probabilities by a temperature."""

    name = "centroid"

    def candidates(self, X: Matrix, n_train: int) -> list[Params]:
        return [{"metric": "cosine"}, {"metric": "euclidean"}]

    def scores(self, X: Matrix, codes: Rows, held: Matrix, candidates: Sequence[Params]) -> Scores:
        fitted = [self.estimator(params).fit(X, codes) for params in candidates]
        return np.stack([two_sided(f.decision_function(held)) for f in fitted])

    def estimator(self, params: Params) -> Any:
        from tlengine.probes import NearestCentroidProbe

        return NearestCentroidProbe(**params)


class PluggedStrategy(Tuned):
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
            return two_sided(fitted.decision_function(held))[None]
        return np.asarray(fitted.predict_proba(held), dtype=np.float64)[None]

    def estimator(self, params: Params) -> Any:
        return self._make()

    def _calibrate(self, scores: Scores, codes: Rows) -> float:
        fit = fit_temperature if self.calibration == "temperature" else fit_smoothing
        return fit(scores, codes)

    def _proba(self, scores: Scores, value: float) -> Scores:
        return softmax(scores, value) if self.calibration == "temperature" else smooth(scores, value)


BY_SIMILARITY = (NeighborsStrategy(), CentroidStrategy())


def plugged(name: str, make: Callable[[], Any]) -> Strategy:
    """The strategy of a classifier that a plugin registered."""
    return PluggedStrategy(name, make)
