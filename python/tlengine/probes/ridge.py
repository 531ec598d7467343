"""Ridge probes: least squares on frozen features, all penalties from one factorisation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator

from tlengine import _core
from tlengine.errors import ResourceError
from tlengine.probes.bases import LinearClassifierMixin
from tlengine.probes.fit_options import refuse_options
from tlengine.probes.inputs import TrainingSet, as_features, training_set
from tlengine.probes.parameters import check_parameters, check_positive, check_values
from tlengine.probes.persistence import PretrainedMixin
from tlengine.probes.ridge_progress import RidgeProgress, RidgeShow
from tlengine.probes.targets import check_targets
from tlengine.probes.weights import ClassWeight, check_weights
from tlengine.settings import num_threads, total_memory

__all__ = ["ALPHAS", "RidgePath", "RidgeProbe", "ridge_path", "signs", "solve_classifier", "spread"]

ALPHAS: tuple[float, ...] = tuple(float(alpha) for alpha in np.logspace(-3, 3, 25))


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
    alphas: npt.ArrayLike = ALPHAS,
    *,
    sample_weight: npt.ArrayLike | None = None,
    fit_intercept: bool = True,
    callback: Callable[[RidgeProgress], object] | None = None,
    max_seconds: float | None = None,
    progress: bool = True,
    n_jobs: int | None = None,
) -> RidgePath:
    """Ridge regression of one or many outputs for every alpha, with exact leave-one-out errors.

    Minimises ``sum(weight * (Y - X W' - b)^2) + alpha |W|^2``, the intercept free, as scikit-learn's
    ``Ridge``. One eigendecomposition (of ``X'X``, or of ``XX'`` when n < d) serves every alpha; leaving a
    row out follows from its leverage (Allen 1974; Golub, Heath & Wahba 1979). The eigendecomposition
    and what it starts from are in float64; the products behind leave-one-out are float32 for float32 data
    unless that would lose digits. Memory: O(d^2), no copy of X.

    Args:
        X: (n, d) features.
        Y: (n,) or (n, m) outputs.
        alphas: penalties, 0 or more; at 0 the solution of least norm.
        sample_weight: (n,) weights, 0 or more.
        fit_intercept: whether there is an intercept.
        callback: called some twenty times a second with a :class:`tlengine.probes.RidgeProgress`; a true
            answer ends the solve.
        max_seconds: after which the solve is ended.
        progress: show a bar on stderr, where that is a terminal and the solve takes seconds.
        n_jobs: threads; None is ``TLENGINE_NUM_THREADS`` or every core. Results do not depend on it.

    Raises:
        NonFiniteError, ShapeMismatchError, EmptyInputError, InputError: see :mod:`tlengine.errors`.
        TimeLimitError: the solve was ended; all alphas are done at once, so there is no part of a result.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(50, 3))
    >>> path = ridge_path(X, X @ [[1.0], [2.0], [3.0]], alphas=[1e-9, 1.0])
    >>> path.coef_[0].round(4).tolist(), bool(path.loo_error_[0, 0] < 1e-12)
    ([[1.0, 2.0, 3.0]], True)
    """
    check_values({"alphas": alphas, "fit_intercept": fit_intercept, "n_jobs": n_jobs})
    penalties = check_positive("alpha", alphas, zero=True)
    X = as_features(X)
    outputs = check_targets(Y, len(X), "Y")
    show = RidgeShow(callback=callback, max_seconds=max_seconds, progress=progress)
    found = solve_outputs(
        X, outputs, check_weights(sample_weight, X), penalties, fit_intercept=fit_intercept, n_jobs=n_jobs,
        show=show,
    )  # fmt: skip
    return RidgePath(
        alphas=penalties,
        coef_=found["coef"],
        intercept_=found["intercept"],
        loo_error_=found["error"],
        rank_=found["rank"],
    )


def solve_outputs(
    X: npt.NDArray[Any],
    outputs: npt.NDArray[np.float64],
    weight: npt.NDArray[np.float64],
    alphas: npt.NDArray[np.float64],
    *,
    fit_intercept: bool,
    n_jobs: int | None,
    leave_one_out: bool = True,
    show: RidgeShow | None = None,
) -> dict[str, Any]:
    """The core's ridge path on outputs (n, m), over the rows of positive weight."""
    kept = weight > 0
    return (show or RidgeShow()).solve(
        _core.solve_ridge,
        X if kept.all() else np.ascontiguousarray(X[kept]),
        np.ascontiguousarray((outputs if kept.all() else outputs[kept]).T),
        weight[kept],
        None,
        alphas.tolist(),
        fit_intercept=fit_intercept,
        leave_one_out=leave_one_out,
        predictions=False,
        threads=num_threads(n_jobs),
    )


def signs(train: TrainingSet, rows: npt.NDArray[np.intp] | None = None) -> npt.NDArray[np.float64]:
    """Targets of a ridge classifier: (K, n) of +1 and -1, (1, n) for two classes, (L, n) for several labels.

    Args:
        train: the rows.
        rows: which of them; None is all.

    Raises:
        ResourceError: they would not fit into this machine's memory.
    """
    labels = train.labels if rows is None else train.labels[rows]
    if len(train.classes) == 2 and not train.multilabel:
        return np.where(labels == 1, 1.0, -1.0).reshape(1, -1)
    needed, memory = 24 * len(train.classes) * len(labels), total_memory()
    if needed > memory:
        raise ResourceError(
            f"ridge targets of {len(train.classes)} classes by {len(labels)} rows take "
            f"{needed / 2**30:.0f} GB, this machine has {memory / 2**30:.0f} GB",
            hint="LinearProbe, KNeighborsProbe and NearestCentroidProbe hold nothing of rows by classes",
        )
    if train.multilabel:
        return np.where(labels.T, 1.0, -1.0)
    return np.where(labels[None, :] == np.arange(len(train.classes))[:, None], 1.0, -1.0)


def spread(train: TrainingSet) -> npt.NDArray[np.float64]:
    """Standard deviation of each of the :func:`signs`, as a column (columns, 1); infinite where it is 0."""
    if train.multilabel:
        share = train.labels.mean(axis=0)
    else:
        share = np.bincount(train.labels, minlength=len(train.classes)) / len(train.labels)
        share = share[1:] if len(share) == 2 else share
    found = 2 * np.sqrt(share * (1 - share))[:, None]
    return np.where(found > 0, found, np.inf)


def solve_classifier(
    train: TrainingSet,
    alphas: npt.NDArray[np.float64],
    weight: npt.NDArray[np.float64],
    *,
    fit_intercept: bool,
    n_jobs: int | None,
    leave_one_out: bool = False,
    predictions: bool = False,
    show: RidgeShow | None = None,
) -> dict[str, Any]:
    """The core's ridge path on the signs of the classes or labels, over the rows of positive weight.

    There is no ``accuracy`` for several labels per row, where the highest column means nothing.
    """
    rows = np.flatnonzero(weight)
    everything = len(rows) == len(weight)
    return (show or RidgeShow()).solve(
        _core.solve_ridge,
        train.X if everything else np.ascontiguousarray(train.X[rows]),
        np.ascontiguousarray(signs(train, None if everything else rows)),
        weight[rows],
        None if train.multilabel else train.labels[rows],
        alphas.tolist(),
        fit_intercept=fit_intercept,
        leave_one_out=leave_one_out,
        predictions=predictions,
        threads=num_threads(n_jobs),
    )


class RidgeClassifierMixin(LinearClassifierMixin):
    """A linear classifier that takes several labels per row."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class RidgeProbe(PretrainedMixin, RidgeClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Ridge regression on +1/-1 targets as a classifier, like scikit-learn's ``RidgeClassifier``.

    With ``Y`` of shape (n, L), 0 and 1, each row may have any number of labels; each label is a column of
    targets of its own, and all share one factorisation. ``score`` is then scikit-learn's subset accuracy,
    see :class:`LinearProbe`.

    Args:
        alpha: penalty, 0 or more; at 0 the solution of least norm.
        class_weight: None, ``"balanced"`` or {label: weight}.
        fit_intercept: whether there is an intercept.
        n_jobs: threads; None is ``TLENGINE_NUM_THREADS`` or every core. Results do not depend on it.

    Attributes:
        classes_: (K,), or the names of the columns of Y, ``arange(L)`` where they have none.
        coef_: (K, d), or (1, d) for two classes, in the dtype of X. ``intercept_``: (K,), or (1,), float64.
        multilabel_: whether y was (n, L). ``rank_``: directions in which X varies.

    >>> import numpy as np
    >>> RidgeProbe(alpha=0.1).fit([[0.0], [1.0], [2.0], [3.0]], ["a", "a", "b", "b"]).predict([[0.2], [2.9]])
    array(['a', 'b'], dtype='<U1')
    """

    _tensors: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "coef_": ("columns", "features"),
        "intercept_": ("columns",),
    }
    _scalars: ClassVar[tuple[str, ...]] = ("rank_", "multilabel_")

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

    def fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        **unknown: Any,
    ) -> Self:
        """Solves the probe.

        Args:
            X: (n, d) features.
            y: (n,) class labels; or (n, L), 0 and 1 for each label, two or more labels.
            sample_weight: (n,) weights, 0 or more; a weight of 2 equals repeating the row.
            **unknown: there are no others; ``groups`` for one are refused.

        Raises:
            NonFiniteError, LabelError, SingleClassError, InputError: see :mod:`tlengine.errors`.
            UnknownOptionError: another argument, also a ``TypeError``.
        """
        refuse_options(
            "RidgeProbe", unknown, why="with one alpha there are no folds",
            instead="RidgeProbeCV chooses alpha by folds of whole groups",
        )  # fmt: skip
        check_parameters(self)
        alpha = check_positive("alpha", self.alpha, zero=True)
        train = training_set(self, X, y, sample_weight, multilabel=True)
        found = solve_classifier(
            train,
            alpha,
            train.weight(self.class_weight),
            fit_intercept=self.fit_intercept,
            n_jobs=self.n_jobs,
        )
        self.classes_, self.multilabel_ = train.classes, train.multilabel
        self.coef_, self.intercept_ = found["coef"][0], found["intercept"][0]
        self.rank_ = int(found["rank"])
        return self
