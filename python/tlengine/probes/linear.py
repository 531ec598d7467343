"""Logistic probes: one C, or the best of a whole path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.probes.bases import LinearClassifierMixin, OneC, PathOfCs
from tlengine.probes.held_out import one_vs_rest_log_proba
from tlengine.probes.path import Head
from tlengine.probes.paths import MultiClass, check_multi_class
from tlengine.probes.watching import Callback
from tlengine.probes.weights import ClassWeight

__all__ = ["LinearProbe", "LinearProbeCV"]


class _LogisticMixin(LinearClassifierMixin):
    """Probabilities from logits."""

    multi_class: MultiClass

    def _head(self) -> Head:
        return check_multi_class(self.multi_class)

    def predict_proba(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """Class probabilities, (n, K), rows sum to 1; or the probability of each label, (n, L)."""
        from scipy.special import expit, softmax

        scores = self.decision_function(X)
        if scores.ndim == 1:
            return np.stack([expit(-scores), expit(scores)], axis=1)
        if self.multilabel_:
            return np.asarray(expit(scores))
        if self.multi_class == "ovr":
            return np.exp(one_vs_rest_log_proba(scores))
        return np.asarray(softmax(scores, axis=1))

    def predict_log_proba(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """Logarithms of the probabilities, exact also where they underflow: (n, K), or (n, L)."""
        from scipy.special import log_expit, log_softmax

        scores = self.decision_function(X)
        if scores.ndim == 1:
            return np.stack([log_expit(-scores), log_expit(scores)], axis=1)
        if self.multilabel_:
            return np.asarray(log_expit(scores))
        if self.multi_class == "ovr":
            return one_vs_rest_log_proba(scores)
        return np.asarray(log_softmax(scores, axis=1))


class LinearProbe(_LogisticMixin, OneC):
    """Logistic regression on frozen features, certified to a relative gap.

    Minimises scikit-learn's ``LogisticRegression`` objective ``C * sum(weight * loss) + |W|^2 / 2`` with
    the intercept free. See :func:`tlengine.probes.probe_path` for the method.

    With ``Y`` of shape (n, L), 0 and 1, each row may have any number of labels: every label gets a
    binomial loss of its own, and all are solved together on one copy of X. A label that no training row
    has (or each) is predicted as such, with probability 1e-9 (or 1 - 1e-9) at the mean of X. ``score`` is
    then scikit-learn's subset accuracy, the share of rows with every label right, near 0 for many labels:
    use a scorer such as ``"average_precision"`` or ``"f1_macro"``.

    Args:
        C: inverse strength of the penalty, positive.
        multi_class: ``"multinomial"``, one softmax over all classes, or ``"ovr"``, each class against the
            rest with a binomial loss; for two classes both are the binomial loss.
        tol: certified relative gap of the objective to its optimum (not a gradient tolerance).
        max_iter: L-BFGS steps after which a ``ConvergenceWarning`` is given.
        class_weight: None, ``"balanced"`` or {label: weight}; it multiplies the weight of each row.
        fit_intercept: whether there is an intercept.
        callback, max_seconds, resume, progress: as :func:`tlengine.probes.probe_path`.
        warm_start: start from the last solution, if it was for such data.
        n_jobs: threads; None is ``TLENGINE_NUM_THREADS`` or every core. Results do not depend on it.

    Attributes:
        classes_: (K,), or the names of the columns of Y (``arange(L)`` where they have none).
        coef_: (K, d), or (1, d) for two classes, in the dtype of X.
        intercept_: (K,), or (1,), float64. ``multilabel_``: whether y was (n, L).
        converged_: bool: ``gap_bound_ <= tol * objective_``, in float64 at these coefficients.
        objective_, gap_bound_, gradient_norm_: see :class:`tlengine.probes.ProbePath`.
        separable_: bool: every training row lies on its own side.
        n_iter_, n_passes_: L-BFGS steps, passes over X.

    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> probe = LinearProbe(C=0.01).fit(X[:1000], y[:1000])
    >>> bool(probe.converged_), round(probe.score(X[1000:], y[1000:]), 2)
    (True, 0.94)
    >>> import numpy as np
    >>> probe.fit(X[:1000], np.stack([y[:1000] % 2, y[:1000] > 4], axis=1)).predict(X[1000:1002]).tolist()
    [[1, 0], [0, 0]]
    """

    def __init__(
        self,
        C: float = 1.0,
        *,
        multi_class: MultiClass = "multinomial",
        tol: float = 1e-6,
        max_iter: int = 1000,
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
        self.multi_class = multi_class
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


class LinearProbeCV(_LogisticMixin, PathOfCs):
    """A logistic probe with C chosen by cross-validation over a whole path, in one solve.

    All folds and the path on all rows share each pass over X; nothing is refitted afterwards. The C
    with the best mean score over the folds wins (each fold counts the same, its rows by their sample
    weight); among equal scores the smallest C. Several labels per row as :class:`LinearProbe`: one C for
    all, scores averaged over the labels.

    Args:
        Cs: values of C; an integer n means ``logspace(-6, 5, n)``, unlike scikit-learn's (-4, 4). 45 is
            DINOv2's grid.
        cv: number of stratified folds (None is 5), a splitter, or an iterable of (train, test) index arrays.
            With a number, every fit has a row of each class: a class of m < ``cv`` rows is held out in m
            of the folds, one of a single row in none. There are fewer folds only where no class has so many
            rows. For several labels per row folds are drawn with a fixed seed, not stratified. With a
            splitter, held-out rows whose class the fold does not train on do not count, with a warning; so
            it is with a label that a fold does not teach.
        scoring: ``"neg_log_loss"`` and ``"accuracy"`` are counted by the solver; or any other of
            scikit-learn's scorers, by name (``"f1_macro"``, ``"roc_auc_ovr"``, ...) or as a callable
            (estimator, X, y) -> number, larger is better. For each fold and C it gets a fitted probe, the
            held-out rows, and their ``sample_weight`` where that differs and it takes it. A label that no
            held-out row of a fold has counts 0 there in scikit-learn's average precision and F1: at every
            C, so it lowers ``scores_`` and chooses nothing.
        patience: the path ends after so many values of C in a row without a held-out loss (the log-loss,
            whatever ``scoring``) better by more than ``tol``; larger ones are left out. None solves every C:
            1.1 to 7 times slower. In 160 problems of 7 data sets it was never better by the log-loss; by the
            accuracy in 3, once by 12 points (``docs/validation.md``).
        multi_class: ``"multinomial"`` or ``"ovr"``, as :class:`LinearProbe`.
        tol: certified relative gap of every objective to its optimum.
        max_iter: L-BFGS steps per C after which a ``ConvergenceWarning`` is given.
        class_weight: None, ``"balanced"`` (within each fold) or {label: weight}.
        fit_intercept: whether there is an intercept.
        callback, max_seconds, resume, progress: as :func:`tlengine.probes.probe_path`.
        warm_start: on the same data and settings take up what the last fit solved, one that was interrupted
            included, also where ``Cs`` are others.
        n_jobs: threads; None is ``TLENGINE_NUM_THREADS`` or every core. Results do not depend on it.

    Attributes:
        C_: the chosen C. ``Cs_``: (n_C,) all that were solved, in the order given. ``cut_short_``: whether
            ``max_seconds`` or ``callback`` ended the path; a saved probe does not say.
        scores_: (n_folds, n_C) score of every fold on its held-out rows; NaN where a scorer has none.
            ``accuracy_``: likewise the accuracy, whatever the ``scoring``.
        classes_, coef_, intercept_, multilabel_: as :class:`LinearProbe`, at ``C_`` on all rows.
        converged_: (n_C,) bool: certified on all rows and in every fold.
        objective_, gap_bound_, gradient_norm_, separable_, n_iter_, n_passes_: (n_C,) on all rows, see
            :class:`tlengine.probes.ProbePath`.

    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> probe = LinearProbeCV(Cs=[1e-4, 1e-2, 1.0, 100.0]).fit(X[:500], y[:500])
    >>> probe.C_, probe.scores_.shape
    (1.0, (5, 4))
    >>> LinearProbeCV(Cs=[1e-4, 1e-2, 1.0, 100.0], scoring="f1_macro").fit(X[:500], y[:500]).scores_.shape
    (5, 4)
    """

    def __init__(
        self,
        Cs: int | npt.ArrayLike = 45,
        *,
        cv: Any = 5,
        scoring: Any = "neg_log_loss",
        patience: int | None = 2,
        multi_class: MultiClass = "multinomial",
        tol: float = 1e-4,
        max_iter: int = 1000,
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
        self.multi_class = multi_class
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
