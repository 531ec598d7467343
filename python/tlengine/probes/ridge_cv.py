"""A ridge classifier whose penalty is chosen: by exact leave-one-out, or by folds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from tlengine.probes.choice import choose_alpha, is_idle
from tlengine.probes.inputs import TrainingSet, training_set
from tlengine.probes.parameters import check_parameters, check_positive
from tlengine.probes.ridge import ALPHAS, RidgeClassifierMixin, signs, solve_classifier, spread
from tlengine.probes.ridge_choice import RidgeChoice, Solve
from tlengine.probes.ridge_progress import RidgeProgress
from tlengine.probes.scoring import Scores, Scoring, check_scoring, held_out_scores, mean_scores
from tlengine.probes.splits import FOLDS, check_groups, fold_rows, learnt_part
from tlengine.probes.weights import ClassWeight

__all__ = ["RidgeProbeCV"]

_OWN = ("neg_mean_squared_error", "accuracy")
"""Scores that need no scorer, the default first."""

_BYTES = 256 << 20
"""Of leave-one-out predictions at a time."""


class RidgeProbeCV(RidgeClassifierMixin, RidgeChoice):
    """A ridge classifier with alpha chosen by exact leave-one-out or by folds.

    The alpha with the best mean score wins, among equal scores the largest. Several labels per row as
    :class:`RidgeProbe`: one alpha for all, scores averaged over the labels.

    Args:
        alphas: penalties to choose from, 0 or more.
        cv: None for exact leave-one-out at no extra cost, a number of stratified folds, a splitter, or an
            iterable of (train, test) index arrays. A number of folds for several labels per row draws them
            with a fixed seed, not stratified.
        scoring: by what alpha is chosen: ``"neg_mean_squared_error"`` on the +1/-1 targets, ``"accuracy"``
            (that of each label on its own where there are several), or any scorer of scikit-learn that reads
            ``predict`` or ``decision_function``: a name or a callable (estimator, X, y). Leave-one-out asks
            it once for all rows, and keeps their predictions a few alphas at a time.
        class_weight: None, ``"balanced"`` or {label: weight}.
        fit_intercept: whether there is an intercept.
        callback, max_seconds, progress: as :func:`tlengine.ridge_path`.
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
    _may_lack: ClassVar[tuple[str, ...]] = ("scores_",)

    def __init__(
        self,
        alphas: npt.ArrayLike = ALPHAS,
        *,
        cv: Any = None,
        scoring: Any = "neg_mean_squared_error",
        class_weight: ClassWeight = None,
        fit_intercept: bool = True,
        callback: Callable[[RidgeProgress], object] | None = None,
        max_seconds: float | None = None,
        progress: bool = True,
        n_jobs: int | None = None,
    ) -> None:
        super().__init__(
            alphas, cv=cv, fit_intercept=fit_intercept, callback=callback, max_seconds=max_seconds,
            progress=progress, n_jobs=n_jobs,
        )  # fmt: skip
        self.scoring = scoring
        self.class_weight = class_weight

    def fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        groups: npt.ArrayLike | None = None,
    ) -> Self:
        """Solves every alpha.

        A ``GridEdgeWarning`` says that alpha was chosen at an edge of the grid although the score still rises
        there; a ``ScoringWarning`` what has no score.

        Args:
            X: (n, d) features.
            y: (n,) class labels; or (n, L), 0 and 1 for each label, two or more labels.
            sample_weight: as :meth:`RidgeProbe.fit`.
            groups: (n,) rows of one group (a person, copies of one sample) are never on both sides of a
                fold; with ``cv=None`` 5 folds of whole groups stand in for leaving out one row, where a group
                has two.

        Raises:
            InputError: no class has two groups; a ``scoring`` that there is not, or that gives no number at
                any alpha; and as :meth:`RidgeProbe.fit`.
            ShapeMismatchError: not one group for each row.
        """
        scoring = check_scoring(self.scoring, _OWN)
        check_parameters(self)
        options = self._options()
        alphas = check_positive("alpha", self.alphas, zero=True)
        check_groups(groups, y)
        train = training_set(self, X, y, sample_weight, multilabel=True)
        self.classes_, self.multilabel_ = train.classes, train.multilabel
        is_grouped = groups is not None and len(np.unique(np.asarray(groups))) < np.shape(groups)[0]
        folds = FOLDS if self.cv is None and is_grouped else self.cv
        solve: Solve = partial(solve_classifier, train, **options)
        found = solve(alphas, train.weight(self.class_weight), leave_one_out=folds is None)
        pairs = fold_rows(folds, train, groups)
        judged = (
            self._fold_scores(solve, train, alphas, pairs, scoring)
            if pairs
            else self._loo_scores(solve, train, alphas, found, scoring)
        )
        self.scores_ = np.stack([scores.values for scores in judged])
        mean = mean_scores(scoring, judged, alphas, name="alpha", stacklevel=3)
        best = choose_alpha(
            self.scores_, mean, alphas,
            idle=lambda: is_idle(train.X, found["coef"][alphas.argmax()] / spread(train)), stacklevel=2,
        )  # fmt: skip
        self.alpha_, self.alphas_, self.rank_ = float(alphas[best]), alphas, int(found["rank"])
        self.coef_, self.intercept_ = found["coef"][best].copy(), found["intercept"][best].copy()
        return self

    def _loo_scores(
        self,
        solve: Solve,
        train: TrainingSet,
        alphas: npt.NDArray[np.float64],
        found: dict[str, Any],
        scoring: Scoring,
    ) -> list[Scores]:
        """One for all rows; what the core does not count comes from predictions, a few alphas at a time."""
        if scoring.scorer is None and scoring.name == _OWN[0]:
            return [Scores(-found["error"].mean(axis=1), {})]
        if scoring.scorer is None and not train.multilabel:
            return [Scores(np.asarray(found["accuracy"]), {})]
        weight = train.weight(self.class_weight)
        rows = np.flatnonzero(weight)
        block = max(1, _BYTES // (8 * len(rows) * found["coef"].shape[1]))
        parts = []
        for first in range(0, len(alphas), block):
            part = solve(alphas[first : first + block], weight, leave_one_out=True, predictions=True)
            parts.append(_judged(part["prediction"].transpose(0, 2, 1), train, rows, scoring))
        reasons = {i * block + at: why for i, part in enumerate(parts) for at, why in part.reasons.items()}
        return [Scores(np.concatenate([part.values for part in parts]), reasons)]

    def _fold_scores(
        self,
        solve: Solve,
        train: TrainingSet,
        alphas: npt.NDArray[np.float64],
        pairs: Sequence[tuple[Any, Any]],
        scoring: Scoring,
    ) -> list[Scores]:
        judged = []
        for rows, test in pairs:
            found = solve(alphas, train.weight(self.class_weight, rows))
            fitted = train.X[test] @ found["coef"].transpose(0, 2, 1) + found["intercept"][:, None, :]
            part, columns = learnt_part(train, rows)
            judged.append(_judged(fitted[:, :, columns], part, test, scoring))
        return judged


def _judged(
    fitted: npt.NDArray[Any], train: TrainingSet, rows: npt.NDArray[np.intp], scoring: Scoring
) -> Scores:
    """What predictions (n_alphas, n, columns) of held-out rows are worth."""
    weight = train.sample_weight[rows]
    if scoring.scorer is not None:
        return _asked(fitted, train, rows, scoring)
    targets = signs(train, rows).T
    if scoring.name == _OWN[0]:
        row_scores = -((fitted - targets) ** 2).mean(axis=2)
    elif train.multilabel or targets.shape[1] == 1:
        row_scores = ((fitted > 0) == (targets > 0)).mean(axis=2)
    else:
        row_scores = fitted.argmax(axis=2) == train.labels[rows]
    return Scores(np.average(row_scores, axis=1, weights=weight), {})


def _asked(
    fitted: npt.NDArray[Any], train: TrainingSet, rows: npt.NDArray[np.intp], scoring: Scoring
) -> Scores:
    """A scorer sees a probe whose decision scores are its rows: one coefficient for each column."""
    columns = fitted.shape[2]
    judge = (scoring, "ridge", train.classes, np.eye(columns)[None], np.zeros((1, columns)))
    found = [
        held_out_scores(*judge, rows_, train.labels[rows], train.sample_weight[rows]) for rows_ in fitted
    ]
    reasons = {at: one.reasons[0] for at, one in enumerate(found) if one.reasons}
    absent, partial = found[0].absent, any(one.partial for one in found)
    return Scores(np.concatenate([one.values for one in found]), reasons, absent, partial)
