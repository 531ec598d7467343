"""Ridge probes: least squares on frozen features, all penalties from one factorisation."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator

from tlengine import _core
from tlengine.errors import EmptyInputError, InputError, ResourceError, ShapeMismatchError
from tlengine.probes.bases import LinearClassifierMixin
from tlengine.probes.inputs import TrainingSet, as_features, check_positive, training_set
from tlengine.probes.paths import FOLDS, check_groups, fold_rows
from tlengine.probes.persistence import PretrainedMixin
from tlengine.probes.weights import ClassWeight, check_weights
from tlengine.settings import num_threads

__all__ = ["RidgePath", "RidgeProbe", "RidgeProbeCV", "ridge_path"]

_ALPHAS = tuple(float(alpha) for alpha in np.logspace(-3, 3, 25))


@dataclass(frozen=True, kw_only=True, eq=False)
class RidgePath:
    """Ridge regressions for every alpha, in the order given.

    Attributes:
        alphas: (n_alphas,) float64.
        coef_: (n_alphas, m, d) in the dtype of X. ``intercept_``: (n_alphas, m) float64.
        loo_error_: (n_alphas, m) weighted mean squared leave-one-out error, exact.
        rank_: the number of directions in which X varies.
    """

    alphas: npt.NDArray[np.float64]
    coef_: npt.NDArray[Any]
    intercept_: npt.NDArray[Any]
    loo_error_: npt.NDArray[np.float64]
    rank_: int


def ridge_path(
    X: npt.ArrayLike,
    Y: npt.ArrayLike,
    alphas: npt.ArrayLike = _ALPHAS,
    *,
    sample_weight: npt.ArrayLike | None = None,
    fit_intercept: bool = True,
    n_jobs: int | None = None,
) -> RidgePath:
    """Ridge regression of one or many outputs for every alpha, with exact leave-one-out errors.

    Minimises ``sum(weight * (Y - X W' - b)^2) + alpha |W|^2``, the intercept free, as scikit-learn's
    ``Ridge``. One eigendecomposition (of ``X'X``, or of ``XX'`` when n < d) serves every alpha; leaving a
    row out follows from its leverage (Allen 1974; Golub, Heath & Wahba 1979). The eigendecomposition is
    and what it starts from are in float64; the products behind leave-one-out are float32 for float32 data
    unless that would lose digits. Memory: O(d^2), no copy of X.

    Args:
        X: (n, d) features.
        Y: (n,) or (n, m) outputs.
        alphas: penalties, 0 or more; at 0 the solution of least norm.
        sample_weight: (n,) weights, 0 or more.
        fit_intercept: whether there is an intercept.
        n_jobs: threads; None is ``TLENGINE_NUM_THREADS`` or every core. Results do not depend on it.

    Raises:
        NonFiniteError, ShapeMismatchError, EmptyInputError, InputError: see :mod:`tlengine.errors`.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(50, 3))
    >>> path = ridge_path(X, X @ [[1.0], [2.0], [3.0]], alphas=[1e-9, 1.0])
    >>> path.coef_[0].round(4).tolist(), bool(path.loo_error_[0, 0] < 1e-12)
    ([[1.0, 2.0, 3.0]], True)
    """
    X = as_features(X)
    outputs = np.asarray(Y, dtype=np.float64)
    outputs = outputs.reshape(len(outputs), -1) if outputs.ndim else outputs.reshape(1, 1)
    if len(outputs) != len(X):
        raise ShapeMismatchError(f"Y has {len(outputs)} rows, X has {len(X)}")
    if not outputs.size:
        raise EmptyInputError(f"Y has shape {outputs.shape}; nothing to fit")
    penalties = check_positive("alpha", alphas, zero=True)
    weight = check_weights(sample_weight, X)
    kept = weight > 0
    found = _core.solve_ridge(
        np.ascontiguousarray(X[kept]) if not kept.all() else X,
        np.ascontiguousarray((outputs if kept.all() else outputs[kept]).T),
        weight[kept],
        None,
        penalties.tolist(),
        fit_intercept=fit_intercept,
        leave_one_out=True,
        predictions=False,
        threads=num_threads(n_jobs),
    )
    return RidgePath(
        alphas=penalties,
        coef_=found["coef"],
        intercept_=found["intercept"],
        loo_error_=found["error"],
        rank_=found["rank"],
    )


def signs(train: TrainingSet) -> npt.NDArray[np.float64]:
    """Targets of a ridge classifier: (K, n) of +1 and -1, or (1, n) for two classes.

    Raises:
        ResourceError: they would not fit into this machine's memory.
    """
    if len(train.classes) == 2:
        return np.where(train.labels == 1, 1.0, -1.0).reshape(1, -1)
    needed, memory = 24 * len(train.classes) * len(train.labels), _memory()
    if needed > memory:
        raise ResourceError(
            f"ridge targets of {len(train.classes)} classes by {len(train.labels)} rows take "
            f"{needed / 2**30:.0f} GB, this machine has {memory / 2**30:.0f} GB",
            hint="LinearProbe, KNeighborsProbe and NearestCentroidProbe hold nothing of rows by classes",
        )
    one_hot = train.labels[None, :] == np.arange(len(train.classes))[:, None]
    return np.where(one_hot, 1.0, -1.0)


def _memory() -> int:
    """Bytes of this machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def solve_classifier(
    train: TrainingSet,
    alphas: npt.NDArray[np.float64],
    weight: npt.NDArray[np.float64],
    *,
    fit_intercept: bool,
    n_jobs: int | None,
    leave_one_out: bool = False,
    predictions: bool = False,
) -> dict[str, Any]:
    """The core's ridge path on the signs of the classes, over the rows of positive weight."""
    rows = np.flatnonzero(weight)
    everything = len(rows) == len(weight)
    return _core.solve_ridge(
        train.X if everything else np.ascontiguousarray(train.X[rows]),
        np.ascontiguousarray(signs(train)[:, rows]),
        weight[rows],
        train.labels[rows],
        alphas.tolist(),
        fit_intercept=fit_intercept,
        leave_one_out=leave_one_out,
        predictions=predictions,
        threads=num_threads(n_jobs),
    )


class RidgeProbe(PretrainedMixin, LinearClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Ridge regression on +1/-1 targets as a classifier, like scikit-learn's ``RidgeClassifier``.

    Args:
        alpha: penalty, 0 or more; at 0 the solution of least norm.
        class_weight: None, ``"balanced"`` or {label: weight}.
        fit_intercept: whether there is an intercept.
        n_jobs: threads; None is ``TLENGINE_NUM_THREADS`` or every core. Results do not depend on it.

    Attributes:
        classes_: (K,). ``coef_``: (K, d), or (1, d) for two classes, in the dtype of X.
        intercept_: (K,), or (1,), float64. ``rank_``: directions in which X varies.

    >>> import numpy as np
    >>> RidgeProbe(alpha=0.1).fit([[0.0], [1.0], [2.0], [3.0]], ["a", "a", "b", "b"]).predict([[0.2], [2.9]])
    array(['a', 'b'], dtype='<U1')
    """

    _tensors: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "coef_": ("columns", "features"),
        "intercept_": ("columns",),
    }
    _scalars: ClassVar[tuple[str, ...]] = ("rank_",)

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        class_weight: ClassWeight = None,
        fit_intercept: bool = True,
        n_jobs: int | None = None,
    ) -> None:
        self.alpha = alpha
        self.class_weight = class_weight
        self.fit_intercept = fit_intercept
        self.n_jobs = n_jobs

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> Self:
        """Solves the probe.

        Args:
            X: (n, d) features.
            y: (n,) class labels.
            sample_weight: (n,) weights, 0 or more; a weight of 2 equals repeating the row.

        Raises:
            NonFiniteError, LabelError, SingleClassError, InputError: see :mod:`tlengine.errors`.
        """
        alpha = check_positive("alpha", self.alpha, zero=True)
        train = training_set(self, X, y, sample_weight)
        found = solve_classifier(
            train,
            alpha,
            train.weight(self.class_weight),
            fit_intercept=self.fit_intercept,
            n_jobs=self.n_jobs,
        )
        self.classes_ = train.classes
        self.coef_, self.intercept_ = found["coef"][0], found["intercept"][0]
        self.rank_ = int(found["rank"])
        return self


class RidgeProbeCV(PretrainedMixin, LinearClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A ridge classifier with alpha chosen by exact leave-one-out or by folds.

    The alpha with the best mean score wins, among equal scores the largest.

    Args:
        alphas: penalties to choose from, 0 or more.
        cv: None for exact leave-one-out at no extra cost, a number of stratified folds, a splitter, or an
            iterable of (train, test) index arrays.
        scoring: ``"neg_mean_squared_error"`` on the +1/-1 targets, or ``"accuracy"``.
        class_weight: None, ``"balanced"`` or {label: weight}.
        fit_intercept: whether there is an intercept.
        n_jobs: threads; None is ``TLENGINE_NUM_THREADS`` or every core. Results do not depend on it.

    Attributes:
        alpha_: the chosen penalty. ``alphas_``: (n_alphas,) all of them.
        scores_: (n_folds, n_alphas); one row for leave-one-out.
        classes_, coef_, intercept_, rank_: as :class:`RidgeProbe`, at ``alpha_`` on all rows.

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
    _scalars: ClassVar[tuple[str, ...]] = ("alpha_", "rank_")

    def __init__(
        self,
        alphas: npt.ArrayLike = _ALPHAS,
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
            y: (n,) class labels.
            sample_weight: as :meth:`RidgeProbe.fit`.
            groups: (n,) rows of one group (a person, copies of one sample) are never on both sides of a
                fold; with ``cv=None`` 5 folds of whole groups stand in for leaving out one row.

        Raises:
            InputError: no class has two groups; and as :meth:`RidgeProbe.fit`.
            ShapeMismatchError: not one group for each row.
        """
        if self.scoring not in ("neg_mean_squared_error", "accuracy"):
            raise InputError(f"scoring={self.scoring!r}", hint="use 'neg_mean_squared_error' or 'accuracy'")
        alphas = check_positive("alpha", self.alphas, zero=True)
        check_groups(groups, y)
        train = training_set(self, X, y, sample_weight)
        folds = FOLDS if self.cv is None and groups is not None else self.cv
        found = solve_classifier(
            train,
            alphas,
            train.weight(self.class_weight),
            fit_intercept=self.fit_intercept,
            n_jobs=self.n_jobs,
            leave_one_out=folds is None,
        )
        self.classes_, self.alphas_ = train.classes, alphas
        pairs = fold_rows(folds, train, groups)
        self.scores_ = self._fold_scores(train, alphas, pairs) if pairs else self._loo_scores(found)
        mean = self.scores_.mean(axis=0)
        ties = np.flatnonzero(mean >= mean.max() - 1e-12 * max(1.0, abs(mean.max())))
        best = int(ties[np.argmax(alphas[ties])])
        self.alpha_ = float(alphas[best])
        self.coef_, self.intercept_ = found["coef"][best].copy(), found["intercept"][best].copy()
        self.rank_ = int(found["rank"])
        return self

    def _loo_scores(self, found: dict[str, Any]) -> npt.NDArray[np.float64]:
        scores = found["accuracy"] if self.scoring == "accuracy" else -found["error"].mean(axis=1)
        return np.asarray(scores).reshape(1, -1)

    def _fold_scores(
        self, train: TrainingSet, alphas: npt.NDArray[np.float64], pairs: Sequence[tuple[Any, Any]]
    ) -> npt.NDArray[np.float64]:
        scores = []
        for rows, test in pairs:
            weight = train.weight(self.class_weight, rows)
            found = solve_classifier(
                train, alphas, weight, fit_intercept=self.fit_intercept, n_jobs=self.n_jobs
            )
            fitted = train.X[test] @ found["coef"].transpose(0, 2, 1) + found["intercept"][:, None, :]
            scores.append(self._score(fitted, signs(train)[:, test], train.sample_weight[test]))
        return np.stack(scores)

    def _score(
        self,
        fitted: npt.NDArray[Any],
        targets: npt.NDArray[np.float64],
        weight: npt.NDArray[np.float64],
    ) -> npt.NDArray[np.float64]:
        """(n_alphas,) from predictions (n_alphas, n, columns) and targets (columns, n)."""
        if self.scoring == "accuracy":
            one = fitted.shape[2] == 1
            predicted = fitted[:, :, 0] > 0 if one else fitted.argmax(axis=2)
            row_scores = predicted == (targets[0] > 0 if one else targets.argmax(axis=0))
        else:
            row_scores = -((fitted - targets.T) ** 2).mean(axis=2)
        return np.asarray(np.average(row_scores, axis=1, weights=weight))
