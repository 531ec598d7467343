"""What linear probes share: prediction from coefficients, and fitting one C or a path of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin

from tlengine.probes.inputs import check_features, check_positive, training_set
from tlengine.probes.paths import Head, ProbePath, check_groups, fold_rows, regularisation_grid, solve
from tlengine.probes.persistence import PretrainedMixin

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
    n_jobs: int | None

    def _head(self) -> Head:
        """Which losses on which columns."""
        raise NotImplementedError

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.input_tags.sparse = True
        return tags

    def _solve(self, train: Any, Cs: Any, splits: Any = (), patience: int | None = None) -> ProbePath:
        path = solve(
            train, Cs, splits, head=self._head(), class_weight=self.class_weight, patience=patience,
            fit_intercept=self.fit_intercept, tol=self.tol, max_iter=self.max_iter, n_jobs=self.n_jobs,
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

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> Self:
        """Solves the probe.

        Args:
            X: (n, d) features, also sparse (never filled); float32 is solved in float32, anything else
                in float64.
            y: (n,) class labels; or (n, L), 0 and 1 for each label, two or more labels.
            sample_weight: (n,) weights, 0 or more; a weight of 2 equals repeating the row.

        Raises:
            NonFiniteError, LabelError, SingleClassError, InputError: see :mod:`tlengine.errors`.
        """
        C = check_positive("C", self.C)
        train = training_set(self, X, y, sample_weight, multilabel=True, sparse=True)
        path = self._solve(train, C)
        self.coef_, self.intercept_ = path.coef_[0], path.intercept_[0]
        for name in self._certificate:
            setattr(self, name, getattr(path, name)[0])
        return self


class PathOfCs(_Solved):
    """A probe whose C is chosen: ``fit`` for a class with the parameters ``Cs``, ``cv`` and ``patience``."""

    Cs: int | npt.ArrayLike
    cv: Any
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

    def _check_scoring(self) -> None:
        """Raises ``InputError`` for a score that there is not."""

    def _score(self, fold: ProbePath) -> npt.NDArray[np.float64]:
        """(n_C,) scores of a fold, larger is better."""
        return _known(fold.accuracy_)

    def fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        groups: npt.ArrayLike | None = None,
    ) -> Self:
        """Solves every C in every fold and on all rows.

        Args:
            X: (n, d) features, also sparse.
            y: (n,) class labels or (n, L) of 0 and 1.
            sample_weight: as :meth:`LinearProbe.fit`.
            groups: (n,) rows of one group (a person, copies of one sample) are never on both sides of a
                fold. A class of a single group is in every fit and is held out in none.

        Raises:
            InputError: nothing can be held out; groups beside folds that are given as index arrays; and
                as :meth:`LinearProbe.fit`.
            ShapeMismatchError: not one group for each row.
        """
        self._check_scoring()
        check_groups(groups, y)
        Cs = regularisation_grid(self.Cs)
        train = training_set(self, X, y, sample_weight, multilabel=True, sparse=True)
        path = self._solve(train, Cs, fold_rows(self.cv, train, groups), self.patience)
        self.Cs_ = path.Cs
        self.scores_ = np.stack([self._score(fold) for fold in path.folds])
        self.accuracy_ = np.stack([_known(fold.accuracy_) for fold in path.folds])
        best = _best(self.scores_.mean(axis=0), path.Cs)
        self.C_ = float(path.Cs[best])
        self.coef_, self.intercept_ = path.coef_[best].copy(), path.intercept_[best].copy()
        self.converged_ = np.all([path.converged_, *(fold.converged_ for fold in path.folds)], axis=0)
        for name in self._certificate:
            setattr(self, name, getattr(path, name))
        return self


def _known(scores: npt.NDArray[np.float64] | None) -> npt.NDArray[np.float64]:
    assert scores is not None, "a fold is always scored"
    return scores


def _best(scores: npt.NDArray[np.float64], Cs: npt.NDArray[np.float64]) -> int:
    """The position of the highest score; of the smallest C among equal ones."""
    ties = np.flatnonzero(scores >= scores.max() - 1e-12)
    return int(ties[np.argmin(Cs[ties])])
