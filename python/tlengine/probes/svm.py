"""Linear support vector machines with the squared hinge: one C, or the best of a whole path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.probes.bases import OneC, PathOfCs
from tlengine.probes.path import Head
from tlengine.probes.watching import Callback
from tlengine.probes.weights import ClassWeight

__all__ = ["LinearSVMProbe", "LinearSVMProbeCV"]

_CS = tuple(float(C) for C in np.logspace(-4, 2, 13))


class LinearSVMProbe(OneC):
    """A linear SVM on frozen features, each class against the rest, certified to a relative gap.

    Minimises ``C * sum(weight * max(0, 1 - t z)^2) + |W|^2 / 2``, t being +1 or -1, summed over the classes,
    as scikit-learn's ``LinearSVC(loss="squared_hinge", dual=False)`` (Fan et al., LIBLINEAR, JMLR 2008),
    but with the intercept free: LIBLINEAR penalises it. All classes share each pass over X. The squared
    hinge is differentiable and the penalty makes it strongly convex, so that solver and certificate are
    those of :func:`tlengine.probes.probe_path`. With ``Y`` of shape (n, L), 0 and 1, each label is a problem
    of its own, as in :class:`LinearProbe`.

    Args:
        C: inverse strength of the penalty, positive.
        tol: certified relative gap of the objective to its optimum.
        max_iter: L-BFGS steps after which a ``ConvergenceWarning`` is given.
        class_weight: None, ``"balanced"`` or {label: weight}; it multiplies the weight of each row in every
            problem, where LIBLINEAR weights the positive rows alone.
        fit_intercept: whether there is an intercept.
        callback, max_seconds, resume, progress: as :func:`tlengine.probes.probe_path`.
        warm_start: start from the last solution, if it was for such data.
        n_jobs: threads; None is ``TLENGINE_NUM_THREADS`` or every core. Results do not depend on it.

    Attributes:
        classes_, coef_, intercept_, multilabel_: as :class:`LinearProbe`.
        converged_, objective_, gap_bound_, gradient_norm_, separable_, n_iter_, n_passes_: as
            :class:`LinearProbe`.

    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> probe = LinearSVMProbe(C=1e-3).fit(X[:1000], y[:1000])
    >>> bool(probe.converged_), round(probe.score(X[1000:], y[1000:]), 2)
    (True, 0.93)
    """

    def _head(self) -> Head:
        return "squared_hinge"

    def __init__(
        self,
        C: float = 1.0,
        *,
        tol: float = 1e-6,
        max_iter: int = 2000,
        class_weight: ClassWeight = None,
        fit_intercept: bool = True,
        callback: Callback | None = None,
        max_seconds: float | None = None,
        resume: str | Path | None = None,
        warm_start: bool = False,
        progress: bool = True,
        n_jobs: int | None = None,
    ) -> None:
        self.C = C
        self.tol = tol
        self.max_iter = max_iter
        self.class_weight = class_weight
        self.fit_intercept = fit_intercept
        self.callback = callback
        self.max_seconds = max_seconds
        self.resume = resume
        self.warm_start = warm_start
        self.progress = progress
        self.n_jobs = n_jobs


class LinearSVMProbeCV(PathOfCs):
    """A linear SVM with C chosen by the accuracy, or another score, of held-out rows, in one solve.

    Args:
        Cs: values of C, by default 13 from 1e-4 to 1e2; an integer n means ``logspace(-6, 5, n)``. Once the
            data are separated with a margin, ever larger C take ever more passes and change nothing.
        cv, tol, max_iter, class_weight, fit_intercept, callback, max_seconds, resume, warm_start, progress,
            n_jobs: as :class:`LinearProbeCV`.
        scoring: ``"accuracy"``, or any other of scikit-learn's scorers that needs no probabilities, as
            :class:`LinearProbeCV`.
        patience: the path ends after so many values of C in a row without a held-out squared hinge better
            by more than ``tol``; larger ones are left out. None solves every C.

    Attributes:
        C_: the chosen C: the best mean score over the folds, the smallest C among equal ones.
        Cs_, scores_, accuracy_, classes_, coef_, intercept_, multilabel_, converged_, objective_, gap_bound_,
            gradient_norm_, separable_, n_iter_, n_passes_: as :class:`LinearProbeCV`.

    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> probe = LinearSVMProbeCV(Cs=[1e-5, 1e-3]).fit(X[:500], y[:500])
    >>> probe.C_, probe.scores_.shape
    (0.001, (5, 2))
    """

    _own_scores = ("accuracy",)

    def _head(self) -> Head:
        return "squared_hinge"

    def __init__(
        self,
        Cs: int | npt.ArrayLike = _CS,
        *,
        cv: Any = 5,
        scoring: Any = "accuracy",
        patience: int | None = 2,
        tol: float = 1e-4,
        max_iter: int = 2000,
        class_weight: ClassWeight = None,
        fit_intercept: bool = True,
        callback: Callback | None = None,
        max_seconds: float | None = None,
        resume: str | Path | None = None,
        warm_start: bool = False,
        progress: bool = True,
        n_jobs: int | None = None,
    ) -> None:
        self.Cs = Cs
        self.cv = cv
        self.scoring = scoring
        self.patience = patience
        self.tol = tol
        self.max_iter = max_iter
        self.class_weight = class_weight
        self.fit_intercept = fit_intercept
        self.callback = callback
        self.max_seconds = max_seconds
        self.resume = resume
        self.warm_start = warm_start
        self.progress = progress
        self.n_jobs = n_jobs
