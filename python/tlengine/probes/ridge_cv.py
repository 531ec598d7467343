"""A ridge classifier whose penalty is chosen: by exact leave-one-out, or by folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator

from tlengine.errors import InputError
from tlengine.probes.inputs import TrainingSet, training_set
from tlengine.probes.parameters import check_parameters, check_positive
from tlengine.probes.paths import FOLDS, check_groups, fold_rows
from tlengine.probes.persistence import PretrainedMixin
from tlengine.probes.ridge import ALPHAS, RidgeClassifierMixin, signs, solve_classifier
from tlengine.probes.weights import ClassWeight

__all__ = ["RidgeProbeCV"]

_BYTES = 256 << 20
"""Of leave-one-out predictions at a time."""


class RidgeProbeCV(PretrainedMixin, RidgeClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A ridge classifier with alpha chosen by exact leave-one-out or by folds.

    The alpha with the best mean score wins, among equal scores the largest. Several labels per row as
    :class:`RidgeProbe`: one alpha for all, scores averaged over the labels.

    Args:
        alphas: penalties to choose from, 0 or more.
        cv: None for exact leave-one-out at no extra cost, a number of stratified folds, a splitter, or an
            iterable of (train, test) index arrays. A number of folds for several labels per row draws them
            with a fixed seed, not stratified.
        scoring: ``"neg_mean_squared_error"`` on the +1/-1 targets, or ``"accuracy"``, that of each label on
            its own where there are several.
        class_weight: None, ``"balanced"`` or {label: weight}.
        fit_intercept: whether there is an intercept.
        n_jobs: threads; None is ``TLENGINE_NUM_THREADS`` or every core. Results do not depend on it.

    Attributes:
        alpha_: the chosen penalty. ``alphas_``: (n_alphas,) all of them.
        scores_: (n_folds, n_alphas); one row for leave-one-out.
        classes_, coef_, intercept_, multilabel_, rank_: as :class:`RidgeProbe`, at ``alpha_`` on all rows.

    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> probe = RidgeProbeCV(alphas=[1.0, 100.0]).fit(X[:1000], y[:1000])
    >>> probe.alpha_, round(probe.score(X[1000:], y[1000:]), 2)
    (100.0, 0.89)
    """

    _tensors: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "coef_": ("columns", "features"),
        "intercept_": ("columns",),
        "alphas_": ("alphas",),
        "scores_": ("folds", "alphas"),
    }
    _scalars: ClassVar[tuple[str, ...]] = ("alpha_", "rank_", "multilabel_")

    def __init__(
        self,
        alphas: npt.ArrayLike = ALPHAS,
        *,
        cv: Any = None,
        scoring: str = "neg_mean_squared_error",
        class_weight: ClassWeight = None,
        fit_intercept: bool = True,
        n_jobs: int | None = None,
    ) -> None:
        self.alphas = alphas
        self.cv = cv
        self.scoring = scoring
        self.class_weight = class_weight
        self.fit_intercept = fit_intercept
        self.n_jobs = n_jobs

    def fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        groups: npt.ArrayLike | None = None,
    ) -> Self:
        """Solves every alpha.

        Args:
            X: (n, d) features.
            y: (n,) class labels; or (n, L), 0 and 1 for each label, two or more labels.
            sample_weight: as :meth:`RidgeProbe.fit`.
            groups: (n,) rows of one group (a person, copies of one sample) are never on both sides of a
                fold; with ``cv=None`` 5 folds of whole groups stand in for leaving out one row.

        Raises:
            InputError: no class has two groups; and as :meth:`RidgeProbe.fit`.
            ShapeMismatchError: not one group for each row.
        """
        if self.scoring not in ("neg_mean_squared_error", "accuracy"):
            raise InputError(f"scoring={self.scoring!r}", hint="use 'neg_mean_squared_error' or 'accuracy'")
        check_parameters(self)
        alphas = check_positive("alpha", self.alphas, zero=True)
        check_groups(groups, y)
        train = training_set(self, X, y, sample_weight, multilabel=True)
        self.classes_, self.multilabel_ = train.classes, train.multilabel
        folds = FOLDS if self.cv is None and groups is not None else self.cv
        found = self._solve(train, alphas, train.weight(self.class_weight), leave_one_out=folds is None)
        pairs = fold_rows(folds, train, groups)
        self.scores_ = (
            self._fold_scores(train, alphas, pairs) if pairs else self._loo_scores(train, alphas, found)
        )
        mean = self.scores_.mean(axis=0)
        ties = np.flatnonzero(mean >= mean.max() - 1e-12 * max(1.0, abs(mean.max())))
        best = int(ties[np.argmax(alphas[ties])])
        self.alpha_, self.alphas_, self.rank_ = float(alphas[best]), alphas, int(found["rank"])
        self.coef_, self.intercept_ = found["coef"][best].copy(), found["intercept"][best].copy()
        return self

    def _solve(
        self,
        train: TrainingSet,
        alphas: npt.NDArray[np.float64],
        weight: npt.NDArray[np.float64],
        **wanted: bool,
    ) -> dict[str, Any]:
        return solve_classifier(
            train, alphas, weight, fit_intercept=self.fit_intercept, n_jobs=self.n_jobs, **wanted
        )

    def _loo_scores(
        self, train: TrainingSet, alphas: npt.NDArray[np.float64], found: dict[str, Any]
    ) -> npt.NDArray[np.float64]:
        """(1, n_alphas); what the core does not count comes from the predictions, a few alphas at a time."""
        if self.scoring != "accuracy":
            return -np.asarray(found["error"].mean(axis=1)).reshape(1, -1)
        if not train.multilabel:
            return np.asarray(found["accuracy"]).reshape(1, -1)
        targets, weight = signs(train), train.weight(self.class_weight)
        block = max(1, _BYTES // targets.nbytes)
        scores = []
        for first in range(0, len(alphas), block):
            part = self._solve(
                train, alphas[first : first + block], weight, leave_one_out=True, predictions=True
            )
            scores.append(self._score(part["prediction"].transpose(0, 2, 1), targets, weight))
        return np.concatenate(scores).reshape(1, -1)

    def _fold_scores(
        self, train: TrainingSet, alphas: npt.NDArray[np.float64], pairs: Sequence[tuple[Any, Any]]
    ) -> npt.NDArray[np.float64]:
        scores, targets = [], signs(train)
        for rows, test in pairs:
            found = self._solve(train, alphas, train.weight(self.class_weight, rows))
            fitted = train.X[test] @ found["coef"].transpose(0, 2, 1) + found["intercept"][:, None, :]
            scores.append(self._score(fitted, targets[:, test], train.sample_weight[test]))
        return np.stack(scores)

    def _score(
        self,
        fitted: npt.NDArray[Any],
        targets: npt.NDArray[np.float64],
        weight: npt.NDArray[np.float64],
    ) -> npt.NDArray[np.float64]:
        """(n_alphas,) from predictions (n_alphas, n, columns) and targets (columns, n)."""
        if self.scoring != "accuracy":
            row_scores = -((fitted - targets.T) ** 2).mean(axis=2)
        elif self.multilabel_ or len(targets) == 1:
            row_scores = ((fitted > 0) == (targets.T > 0)).mean(axis=2)
        else:
            row_scores = fitted.argmax(axis=2) == targets.argmax(axis=0)
        return np.asarray(np.average(row_scores, axis=1, weights=weight))
