"""What linear probes share: prediction from coefficients, and fitting one C or a path of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin

from tlengine.probes.fit_options import refuse_options
from tlengine.probes.inputs import TrainingSet, check_features, check_positive, training_set
from tlengine.probes.paths import Head, ProbePath, regularisation_grid, solve
from tlengine.probes.persistence import PretrainedMixin
from tlengine.probes.scales import warn_of_scales
from tlengine.probes.scoring import OWN, Scores, Scoring, check_scoring, held_out_scores, mean_scores
from tlengine.probes.splits import FOLDS, check_groups, fold_rows, learnt_part
from tlengine.probes.watching import Callback, Start, Watching

__all__ = ["LinearClassifierMixin", "OneC", "PathOfCs"]

_COEFFICIENTS = {"coef_": ("columns", "features"), "intercept_": ("columns",)}


class LinearClassifierMixin(ClassifierMixin):  # type: ignore[misc]  # scikit-learn has no types
    """Prediction from ``coef_`` (K or 1, d), ``intercept_``, ``classes_`` and ``multilabel_``."""

    coef_: npt.NDArray[Any]
    intercept_: npt.NDArray[Any]
    classes_: npt.NDArray[Any]
    multilabel_: bool = False

    def decision_function(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """Scores: (n, K), or (n,) for two classes.

        Raises:
            NonFiniteError: NaN or infinity in X.
        """
        checked = check_features(self, X)
        scores: npt.NDArray[Any] = checked @ self.coef_.T + self.intercept_
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """The most probable class of each row, (n,); or 0 or 1 for each label, (n, L)."""
        scores = self.decision_function(X)
        if self.multilabel_:
            return (scores > 0).astype(np.intp)
        best = (scores > 0).astype(np.intp) if scores.ndim == 1 else scores.argmax(axis=1)
        labels: npt.NDArray[Any] = self.classes_[best]
        return labels


class _Solved(PretrainedMixin, LinearClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A probe that the path solver fits; parameters as :class:`tlengine.probes.LinearProbe`."""

    class_weight: Any
    fit_intercept: bool
    tol: float
    max_iter: int
    callback: Callback | None
    max_seconds: float | None
    resume: str | Path | None
    warm_start: bool
    progress: bool
    n_jobs: int | None

    def _head(self) -> Head:
        """Which losses on which columns."""
        raise NotImplementedError

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.input_tags.sparse = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_kept"}

    def _solve(
        self,
        train: Any,
        Cs: Any,
        splits: Any = (),
        patience: int | None = None,
        start: Start | None = None,
    ) -> ProbePath:
        # What was solved by an interrupted fit is there for the next one on the same data.
        if not self.warm_start:
            self.__dict__.pop("_kept", None)
        kept = self.__dict__.setdefault("_kept", {}) if self.warm_start else None
        watching = Watching(
            callback=self.callback, max_seconds=self.max_seconds, resume=self.resume, progress=self.progress,
            kept=kept,
        )  # fmt: skip
        path = solve(
            train, Cs, splits, head=self._head(), class_weight=self.class_weight, patience=patience,
            fit_intercept=self.fit_intercept, tol=self.tol, max_iter=self.max_iter, n_jobs=self.n_jobs,
            watching=watching, start=start,
        )  # fmt: skip
        self.classes_, self.multilabel_ = path.classes_, train.multilabel
        return path


class OneC(_Solved):
    """A probe of one C: ``fit`` for a class that has the parameter ``C``."""

    C: float
    _tensors: ClassVar[Mapping[str, tuple[str, ...]]] = _COEFFICIENTS
    _certificate: ClassVar[tuple[str, ...]] = (
        "converged_", "objective_", "gap_bound_", "gradient_norm_", "separable_", "n_iter_", "n_passes_",
    )  # fmt: skip
    _scalars: ClassVar[tuple[str, ...]] = (*_certificate, "multilabel_")

    def fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        **unknown: Any,
    ) -> Self:
        """Solves the probe.

        A ``FeatureScaleWarning`` names a column that is larger than the others by orders of magnitude.

        Args:
            X: (n, d) features, also sparse (never filled); float32 is solved in float32, anything else
                in float64.
            y: (n,) class labels; or (n, L), 0 and 1 for each label, two or more labels.
            sample_weight: (n,) weights, 0 or more; a weight of 2 equals repeating the row.
            **unknown: there are no others; ``groups`` for one are refused, as a probe of one C has no folds.

        Raises:
            NonFiniteError, LabelError, SingleClassError, InputError: see :mod:`tlengine.errors`.
            UnknownOptionError: another argument, also a ``TypeError``.
        """
        refuse_options(
            type(self).__name__, unknown, why="with one C there are no folds",
            instead="LinearProbeCV and LinearSVMProbeCV choose C by folds of whole groups",
        )  # fmt: skip
        C = check_positive("C", self.C)
        train = training_set(self, X, y, sample_weight, multilabel=True, sparse=True)
        warn_of_scales(train.X, train.names)
        path = self._solve(train, C, start=self._last(train) if self.warm_start else None)
        self.coef_, self.intercept_ = path.coef_[0], path.intercept_[0]
        for name in self._certificate:
            setattr(self, name, getattr(path, name)[0])
        return self

    def _last(self, train: TrainingSet) -> Start | None:
        """The last solution, if it was for such data."""
        last = getattr(self, "coef_", None)
        columns = 1 if len(train.classes) == 2 and not train.multilabel else len(train.classes)
        if last is None or last.shape != (columns, train.X.shape[1]):
            return None
        return (last, self.intercept_) if np.array_equal(self.classes_, train.classes) else None


class PathOfCs(_Solved):
    """A probe whose C is chosen: ``fit`` for a class with ``Cs``, ``cv``, ``scoring`` and ``patience``."""

    Cs: int | npt.ArrayLike
    cv: Any
    scoring: Any
    patience: int | None
    _certificate: ClassVar[tuple[str, ...]] = (
        "objective_", "gap_bound_", "gradient_norm_", "separable_", "n_iter_", "n_passes_",
    )  # fmt: skip
    _tensors: ClassVar[Mapping[str, tuple[str, ...]]] = {
        **_COEFFICIENTS,
        **dict.fromkeys(("scores_", "accuracy_"), ("folds", "Cs")),
        **dict.fromkeys(("Cs_", "converged_", *_certificate), ("Cs",)),
    }
    _scalars: ClassVar[tuple[str, ...]] = ("C_", "multilabel_")
    _may_lack: ClassVar[tuple[str, ...]] = ("scores_",)

    _own_scores: ClassVar[tuple[str, ...]] = OWN
    """Scores that the solver counts itself, the default first."""

    def _judge(
        self, path: ProbePath, train: TrainingSet, splits: list[tuple[Any, Any]]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """(n_folds, n_C) scores, larger is better, and their mean over the folds."""
        scoring = check_scoring(self.scoring, self._own_scores)
        if scoring.scorer is None:
            scores = np.stack([fold.scores(scoring.name) for fold in path.folds])
            return scores, scores.mean(axis=0)
        found = [
            _asked(scoring, path, fold, train, *split) for fold, split in zip(path.folds, splits, strict=True)
        ]
        means = mean_scores(scoring, found, path.Cs, stacklevel=4)
        return np.stack([fold.values for fold in found]), means

    def fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        groups: npt.ArrayLike | None = None,
    ) -> Self:
        """Solves every C in every fold and on all rows.

        Warns, once each: ``FeatureScaleWarning`` of a column that is larger than the others by orders of
        magnitude; ``RareClassWarning`` of held-out rows whose class their fold does not train on, or of
        labels that its training rows all have or lack, which do not count, or where all held-out rows are of
        one class; ``ScoringWarning`` of folds or values of C that have no score; ``GridEdgeWarning`` of a C
        that is chosen at an edge of the grid although the score still rises there by more than noise.

        Args:
            X: (n, d) features, also sparse.
            y: (n,) class labels or (n, L) of 0 and 1.
            sample_weight: as :meth:`LinearProbe.fit`.
            groups: (n,) rows of one group (a person, copies of one sample) are never on both sides of a
                fold. A class of a single group is in every fit and is held out in none.

        Raises:
            InputError: nothing can be held out; groups beside folds that are given as index arrays; a
                ``scoring`` that there is not, or that gives no number at any C; and as
                :meth:`LinearProbe.fit`.
            ShapeMismatchError: not one group for each row.
        """
        check_scoring(self.scoring, self._own_scores)
        check_groups(groups, y)
        Cs = regularisation_grid(self.Cs)
        train = training_set(self, X, y, sample_weight, multilabel=True, sparse=True)
        warn_of_scales(train.X, train.names)
        splits = fold_rows(FOLDS if self.cv is None else self.cv, train, groups)
        path = self._solve(train, Cs, splits, self.patience)
        self.Cs_, self.cut_short_ = path.Cs, path.cut_short_
        self.scores_, means = self._judge(path, train, splits)
        self.accuracy_ = np.stack([fold.scores("accuracy") for fold in path.folds])
        best = path.choose(self.scores_, means, stacklevel=3)
        self.C_ = float(path.Cs[best])
        self.coef_, self.intercept_ = path.coef_[best].copy(), path.intercept_[best].copy()
        self.converged_ = np.all([path.converged_, *(fold.converged_ for fold in path.folds)], axis=0)
        for name in self._certificate:
            setattr(self, name, getattr(path, name))
        return self


def _asked(
    scoring: Scoring, path: ProbePath, fold: ProbePath, train: TrainingSet, rows: Any, test: Any
) -> Scores:
    """What a scorer says of the held-out rows of a fold, and of the labels that it has learnt."""
    part, columns = learnt_part(train, rows)
    return held_out_scores(
        scoring, path.head, part.classes, fold.coef_[:, columns], fold.intercept_[:, columns], train.X[test],
        part.labels[test], train.sample_weight[test],
    )  # fmt: skip
