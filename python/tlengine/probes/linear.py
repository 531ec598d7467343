"""Logistic probes: one C, or the best of a whole path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin

from tlengine.errors import InputError
from tlengine.probes.inputs import ClassWeight, check_features, check_positive, training_set
from tlengine.probes.paths import fold_rows, grid, solve
from tlengine.probes.persistence import PretrainedMixin

__all__ = ["LinearClassifierMixin", "LinearProbe", "LinearProbeCV"]


class LinearClassifierMixin(ClassifierMixin):  # type: ignore[misc]  # scikit-learn has no types
    """Prediction from ``coef_`` (K or 1, d), ``intercept_`` and ``classes_``."""

    coef_: npt.NDArray[Any]
    intercept_: npt.NDArray[Any]
    classes_: npt.NDArray[Any]

    def decision_function(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """Logits: (n, K), or (n,) for two classes.

        Raises:
            NonFiniteError: NaN or infinity in X.
        """
        checked = check_features(self, X)
        scores: npt.NDArray[Any] = checked @ self.coef_.T + self.intercept_
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """The most probable class of each row: (n,)."""
        scores = self.decision_function(X)
        best = (scores > 0).astype(np.intp) if scores.ndim == 1 else scores.argmax(axis=1)
        labels: npt.NDArray[Any] = self.classes_[best]
        return labels


class _LogisticMixin(LinearClassifierMixin):
    def predict_proba(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """Class probabilities: (n, K), rows sum to 1."""
        from scipy.special import expit, softmax

        scores = self.decision_function(X)
        if scores.ndim == 1:
            return np.stack([expit(-scores), expit(scores)], axis=1)
        return np.asarray(softmax(scores, axis=1))

    def predict_log_proba(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """Logarithms of the class probabilities, exact also where they underflow: (n, K)."""
        from scipy.special import log_expit, log_softmax

        scores = self.decision_function(X)
        if scores.ndim == 1:
            return np.stack([log_expit(-scores), log_expit(scores)], axis=1)
        return np.asarray(log_softmax(scores, axis=1))


class LinearProbe(PretrainedMixin, _LogisticMixin, BaseEstimator):  # type: ignore[misc]
    """Logistic regression on frozen features, certified to a relative gap.

    Minimises scikit-learn's ``LogisticRegression`` objective ``C * sum(weight * loss) + |W|^2 / 2`` with
    the intercept free. See :func:`tlengine.probes.probe_path` for the method.

    Args:
        C: inverse strength of the penalty, positive.
        tol: certified relative gap of the objective to its optimum (not a gradient tolerance).
        max_iter: L-BFGS steps after which a ``ConvergenceWarning`` is given.
        class_weight: None, ``"balanced"`` or {label: weight}.
        fit_intercept: whether there is an intercept.
        n_jobs: threads; None is ``TLENGINE_NUM_THREADS`` or every core. Results do not depend on it.

    Attributes:
        classes_: (K,). ``coef_``: (K, d), or (1, d) for two classes, in the dtype of X.
        intercept_: (K,), or (1,), float64.
        converged_: bool: ``gap_bound_ <= tol * objective_``, in float64 at these coefficients.
        objective_, gap_bound_, gradient_norm_: see :class:`tlengine.probes.ProbePath`.
        separable_: bool: every training row lies on its own side.
        n_iter_, n_passes_: L-BFGS steps, passes over X.

    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> probe = LinearProbe(C=0.01).fit(X[:1000], y[:1000])
    >>> bool(probe.converged_), round(probe.score(X[1000:], y[1000:]), 2)
    (True, 0.94)
    """

    _tensors: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "coef_": ("columns", "features"),
        "intercept_": ("columns",),
    }
    _scalars: ClassVar[tuple[str, ...]] = (
        "converged_", "objective_", "gap_bound_", "gradient_norm_", "separable_", "n_iter_", "n_passes_",
    )  # fmt: skip

    def __init__(
        self,
        C: float = 1.0,
        *,
        tol: float = 1e-6,
        max_iter: int = 1000,
        class_weight: ClassWeight = None,
        fit_intercept: bool = True,
        n_jobs: int | None = None,
    ) -> None:
        self.C = C
        self.tol = tol
        self.max_iter = max_iter
        self.class_weight = class_weight
        self.fit_intercept = fit_intercept
        self.n_jobs = n_jobs

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> Self:
        """Solves the probe.

        Args:
            X: (n, d) features; float32 is solved in float32, anything else in float64.
            y: (n,) class labels.
            sample_weight: (n,) weights, 0 or more; a weight of 2 equals repeating the row.

        Raises:
            NonFiniteError, LabelError, SingleClassError, InputError: see :mod:`tlengine.errors`.
        """
        C = check_positive("C", self.C)
        train = training_set(self, X, y, sample_weight)
        path = solve(
            train, C, [], class_weight=self.class_weight, fit_intercept=self.fit_intercept, tol=self.tol,
            max_iter=self.max_iter, n_jobs=self.n_jobs,
        )  # fmt: skip
        self.classes_ = path.classes_
        self.coef_, self.intercept_ = path.coef_[0], path.intercept_[0]
        for name in self._scalars:
            setattr(self, name, getattr(path, name)[0])
        return self


class LinearProbeCV(PretrainedMixin, _LogisticMixin, BaseEstimator):  # type: ignore[misc]
    """A logistic probe with C chosen by cross-validation over a whole path, in one solve.

    All folds and the path on all rows share each pass over X; nothing is refitted afterwards. The C
    with the best mean score over the folds wins (each fold counts the same, its rows by their sample
    weight); among equal scores the smallest C.

    Args:
        Cs: values of C; an integer n means ``logspace(-6, 5, n)``, unlike scikit-learn's (-4, 4). 45 is
            DINOv2's grid.
        cv: number of stratified folds (fewer when the smallest class has fewer rows, at least 2), a
            splitter, or an iterable of (train, test) index arrays.
        scoring: ``"neg_log_loss"`` or ``"accuracy"``.
        tol: certified relative gap of every objective to its optimum.
        max_iter: L-BFGS steps per C after which a ``ConvergenceWarning`` is given.
        class_weight: None, ``"balanced"`` (within each fold) or {label: weight}.
        fit_intercept: whether there is an intercept.
        n_jobs: threads; None is ``TLENGINE_NUM_THREADS`` or every core. Results do not depend on it.

    Attributes:
        C_: the chosen C. ``Cs_``: (n_C,) all of them.
        scores_: (n_folds, n_C) score of every fold on its held-out rows.
        classes_, coef_, intercept_: as :class:`LinearProbe`, at ``C_`` on all rows.
        converged_: (n_C,) bool: certified on all rows and in every fold.
        objective_, gap_bound_, gradient_norm_, separable_, n_iter_, n_passes_: (n_C,) on all rows, see
            :class:`tlengine.probes.ProbePath`.

    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> probe = LinearProbeCV(Cs=[1e-4, 1e-2, 1.0]).fit(X[:500], y[:500])
    >>> probe.C_, probe.scores_.shape
    (1.0, (5, 3))
    """

    _tensors: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "coef_": ("columns", "features"),
        "intercept_": ("columns",),
        "Cs_": ("Cs",),
        "scores_": ("folds", "Cs"),
        "converged_": ("Cs",),
        "objective_": ("Cs",),
        "gap_bound_": ("Cs",),
        "gradient_norm_": ("Cs",),
        "separable_": ("Cs",),
        "n_iter_": ("Cs",),
        "n_passes_": ("Cs",),
    }
    _scalars: ClassVar[tuple[str, ...]] = ("C_",)

    def __init__(
        self,
        Cs: int | npt.ArrayLike = 45,
        *,
        cv: Any = 5,
        scoring: str = "neg_log_loss",
        tol: float = 1e-4,
        max_iter: int = 1000,
        class_weight: ClassWeight = None,
        fit_intercept: bool = True,
        n_jobs: int | None = None,
    ) -> None:
        self.Cs = Cs
        self.cv = cv
        self.scoring = scoring
        self.tol = tol
        self.max_iter = max_iter
        self.class_weight = class_weight
        self.fit_intercept = fit_intercept
        self.n_jobs = n_jobs

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> Self:
        """Solves every C in every fold and on all rows; arguments and errors as :meth:`LinearProbe.fit`."""
        if self.scoring not in ("neg_log_loss", "accuracy"):
            raise InputError(f"scoring={self.scoring!r}", hint="use 'neg_log_loss' or 'accuracy'")
        Cs = grid(self.Cs)
        train = training_set(self, X, y, sample_weight)
        path = solve(
            train, Cs, fold_rows(self.cv, train), class_weight=self.class_weight,
            fit_intercept=self.fit_intercept, tol=self.tol, max_iter=self.max_iter, n_jobs=self.n_jobs,
        )  # fmt: skip
        self.classes_, self.Cs_ = path.classes_, path.Cs
        scores = [f.accuracy_ if self.scoring == "accuracy" else -_known(f.log_loss_) for f in path.folds]
        self.scores_ = np.stack([_known(score) for score in scores])
        best = _best(self.scores_.mean(axis=0), Cs)
        self.C_ = float(Cs[best])
        self.coef_, self.intercept_ = path.coef_[best].copy(), path.intercept_[best].copy()
        self.converged_ = np.all([path.converged_, *(fold.converged_ for fold in path.folds)], axis=0)
        for name in ("objective_", "gap_bound_", "gradient_norm_", "separable_", "n_iter_", "n_passes_"):
            setattr(self, name, getattr(path, name))
        return self


def _known(scores: npt.NDArray[np.float64] | None) -> npt.NDArray[np.float64]:
    assert scores is not None, "a fold is always scored"
    return scores


def _best(scores: npt.NDArray[np.float64], Cs: npt.NDArray[np.float64]) -> int:
    """The position of the highest score; of the smallest C among equal ones."""
    ties = np.flatnonzero(scores >= scores.max() - 1e-12)
    return int(ties[np.argmin(Cs[ties])])
