"""Logistic probes: one C, or the best of a whole path."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.errors import InputError
from tlengine.probes.bases import LinearClassifierMixin, OneC, PathOfCs
from tlengine.probes.paths import Head, MultiClass, ProbePath, check_multi_class, one_vs_rest_log_proba
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
        n_jobs: int | None = None,
    ) -> None:
        self.C = C
        self.multi_class = multi_class
        self.tol = tol
        self.max_iter = max_iter
        self.class_weight = class_weight
        self.fit_intercept = fit_intercept
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
        cv: number of stratified folds (fewer when the smallest class has fewer rows, at least 2), a
            splitter, or an iterable of (train, test) index arrays. A number of folds for several labels
            per row draws them with a fixed seed, not stratified.
        scoring: ``"neg_log_loss"`` or ``"accuracy"``.
        patience: None solves every C. A number ends the path after so many values of C in a row without
            a held-out loss (the log-loss, whatever ``scoring``) better by more than ``tol``; larger ones are
            left out.
        multi_class: ``"multinomial"`` or ``"ovr"``, as :class:`LinearProbe`.
        tol: certified relative gap of every objective to its optimum.
        max_iter: L-BFGS steps per C after which a ``ConvergenceWarning`` is given.
        class_weight: None, ``"balanced"`` (within each fold) or {label: weight}.
        fit_intercept: whether there is an intercept.
        n_jobs: threads; None is ``TLENGINE_NUM_THREADS`` or every core. Results do not depend on it.

    Attributes:
        C_: the chosen C. ``Cs_``: (n_C,) all that were solved, in the order given.
        scores_: (n_folds, n_C) score of every fold on its held-out rows. ``accuracy_``: likewise, whatever
            the ``scoring``.
        classes_, coef_, intercept_, multilabel_: as :class:`LinearProbe`, at ``C_`` on all rows.
        converged_: (n_C,) bool: certified on all rows and in every fold.
        objective_, gap_bound_, gradient_norm_, separable_, n_iter_, n_passes_: (n_C,) on all rows, see
            :class:`tlengine.probes.ProbePath`.

    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> probe = LinearProbeCV(Cs=[1e-4, 1e-2, 1.0]).fit(X[:500], y[:500])
    >>> probe.C_, probe.scores_.shape
    (1.0, (5, 3))
    """

    def __init__(
        self,
        Cs: int | npt.ArrayLike = 45,
        *,
        cv: Any = 5,
        scoring: str = "neg_log_loss",
        patience: int | None = None,
        multi_class: MultiClass = "multinomial",
        tol: float = 1e-4,
        max_iter: int = 1000,
        class_weight: ClassWeight = None,
        fit_intercept: bool = True,
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
        self.n_jobs = n_jobs

    def _check_scoring(self) -> None:
        if self.scoring not in ("neg_log_loss", "accuracy"):
            raise InputError(f"scoring={self.scoring!r}", hint="use 'neg_log_loss' or 'accuracy'")

    def _score(self, fold: ProbePath) -> npt.NDArray[np.float64]:
        if self.scoring == "accuracy":
            return super()._score(fold)
        assert fold.log_loss_ is not None, "a logistic fold has a log-loss"
        return -fold.log_loss_
