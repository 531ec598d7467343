"""What the ridge estimators that choose their alpha have alike: their parameters, and how a fit is shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy.typing as npt
from sklearn.base import BaseEstimator

from tlengine.probes.persistence import PretrainedMixin
from tlengine.probes.ridge import ALPHAS
from tlengine.probes.ridge_progress import RidgeProgress, RidgeShow

__all__ = ["RidgeChoice", "Solve"]

Solve = Callable[..., dict[str, Any]]
"""A solve of the core, all but its rows and its alphas given."""


class RidgeChoice(PretrainedMixin, BaseEstimator):  # type: ignore[misc]
    """A ridge estimator that solves every alpha and keeps one. Subclasses say what its parameters mean."""

    def __init__(
        self,
        alphas: npt.ArrayLike = ALPHAS,
        *,
        cv: Any = None,
        fit_intercept: bool = True,
        callback: Callable[[RidgeProgress], object] | None = None,
        max_seconds: float | None = None,
        progress: bool = True,
        n_jobs: int | None = None,
    ) -> None:
        self.alphas = alphas
        self.cv = cv
        self.fit_intercept = fit_intercept
        self.callback = callback
        self.max_seconds = max_seconds
        self.progress = progress
        self.n_jobs = n_jobs

    def _options(self) -> dict[str, Any]:
        """What all solves of one fit share; its seconds count from here."""
        show = RidgeShow(callback=self.callback, max_seconds=self.max_seconds, progress=self.progress)
        return {"fit_intercept": self.fit_intercept, "n_jobs": self.n_jobs, "show": show}
