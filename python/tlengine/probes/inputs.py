"""What every probe does with its input: checks, zero weights dropped, labels as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.errors import InputError, NonFiniteError, ShapeMismatchError
from tlengine.probes.labels import check_labels, encode_indicators, encode_labels, is_multilabel

__all__ = [
    "ClassWeight",
    "TrainingSet",
    "as_features",
    "check_features",
    "check_finite",
    "check_positive",
    "check_weights",
    "training_set",
]

ClassWeight = Mapping[Any, float] | str | None


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Checked training data without the rows of weight zero.

    Attributes:
        X: (n, d) float32 or float64, row-major.
        labels: (n,) uint32, positions in ``classes``; or (n, L) bool, which labels each row has.
        classes: (K,) sorted labels as the user wrote them, or the columns of Y, ``arange(L)``.
        sample_weight: (n,) float64, as given.
        rows: (n,) positions in the input, or None when all rows are used.
    """

    X: npt.NDArray[Any]
    labels: npt.NDArray[Any]
    classes: npt.NDArray[Any]
    sample_weight: npt.NDArray[np.float64]
    rows: npt.NDArray[np.intp] | None

    @property
    def multilabel(self) -> bool:
        """Whether a row may have several labels, or none."""
        return self.labels.ndim == 2

    def weight(
        self, class_weight: ClassWeight, rows: npt.NDArray[Any] | None = None
    ) -> npt.NDArray[np.float64]:
        """Sample weight times class weight on ``rows`` (default all), zero elsewhere.

        ``"balanced"`` counts the (weighted) classes among these rows alone.
        """
        from sklearn.utils.class_weight import compute_class_weight

        given = self.sample_weight
        if rows is not None:
            given = np.zeros_like(given)
            given[rows] = self.sample_weight[rows]
        if class_weight is None:
            return given.copy()
        if self.multilabel:
            raise InputError("class_weight with a column per label", hint="use sample_weight")
        used = np.flatnonzero(given)
        present = np.unique(self.labels[used])
        by_class = np.ones(len(self.classes))
        if isinstance(class_weight, Mapping):
            class_weight = {k: v for k, v in class_weight.items() if k in self.classes[present]}
        by_class[present] = compute_class_weight(
            class_weight,
            classes=self.classes[present],
            y=self.classes[self.labels[used]],
            sample_weight=given[used],
        )
        return np.asarray(given * by_class[self.labels])


def training_set(
    estimator: Any, X: Any, y: Any, sample_weight: Any, *, multilabel: bool = False
) -> TrainingSet:
    """Checks X, y and sample_weight as scikit-learn does; drops the rows of weight zero.

    ``n_features_in_`` is set on the estimator, if there is one. With ``multilabel`` y may be (n, L).

    Raises:
        ValueError: shapes that do not fit (scikit-learn's own messages).
        NonFiniteError: NaN or infinity, with row and column.
        LabelError: labels that are missing or continuous.
        SingleClassError: fewer than two classes.
    """
    from sklearn.utils.validation import validate_data

    if y is None:
        who = type(estimator).__name__ if estimator else "a probe"
        raise InputError(f"{who} requires y to be passed, but the target y is None")
    X = (
        as_features(X)
        if estimator is None
        else validate_data(
            estimator, _half_as_single(X), dtype=[np.float64, np.float32], order="C", ensure_all_finite=False
        )
    )
    several = multilabel and is_multilabel(y)
    y = np.asarray(y) if several else check_labels(y)
    if len(y) != len(X):
        raise ShapeMismatchError(f"inconsistent numbers of rows: y has {len(y)}, X has {len(X)}")
    X = np.require(X, requirements=["C", "ALIGNED"])
    weight = check_weights(sample_weight, X)
    rows = None
    if not weight.all():
        rows = np.flatnonzero(weight)
        X, y, weight = X[rows], y[rows], weight[rows]
    if several:
        labels: npt.NDArray[Any] = encode_indicators(y)
        return TrainingSet(X, labels, np.arange(labels.shape[1]), weight, rows)
    classes, labels = encode_labels(y, estimator=type(estimator).__name__ if estimator else None)
    return TrainingSet(X, labels, classes, weight, rows)


def check_weights(sample_weight: Any, X: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """One float64 weight per row of X, 0 or more and not all zero; ones for None.

    Raises:
        NonFiniteError: NaN or infinity. InputError: all are zero. ValueError: negative, or of another length.
    """
    from sklearn.utils.validation import _check_sample_weight

    if sample_weight is None:
        return np.ones(len(X))
    check_finite(np.asarray(sample_weight, dtype=np.float64).reshape(-1, 1), "sample_weight")
    if not np.any(np.asarray(sample_weight)):
        raise InputError("every sample weight is zero", hint="give some rows a positive weight")
    return np.asarray(_check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True))


def as_features(X: Any) -> npt.NDArray[Any]:
    """X as (n, d) float32 or float64, row-major; not yet checked for NaN."""
    from sklearn.utils import check_array

    checked: npt.NDArray[Any] = check_array(
        _half_as_single(X), dtype=[np.float64, np.float32], order="C", ensure_all_finite=False
    )
    return np.require(checked, requirements=["C", "ALIGNED"])


def _half_as_single(X: Any) -> Any:
    """float16 becomes float32, not float64: nothing is lost and the solver is twice as fast."""
    return X.astype(np.float32) if isinstance(X, np.ndarray) and X.dtype == np.float16 else X


def check_features(estimator: Any, X: Any) -> npt.NDArray[Any]:
    """X for prediction, checked against what the estimator was fitted on.

    Raises:
        NotFittedError, ValueError: as scikit-learn.
        NonFiniteError: NaN or infinity, with row and column.
    """
    from sklearn.utils.validation import check_is_fitted, validate_data

    check_is_fitted(estimator)
    X = validate_data(
        estimator, _half_as_single(X), dtype=[np.float64, np.float32], reset=False, ensure_all_finite=False
    )
    check_finite(X, "X")
    checked: npt.NDArray[Any] = X
    return checked


def check_finite(X: npt.NDArray[Any], name: str) -> None:
    """Names the first NaN or infinity of a matrix, if there is one."""
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(X.sum(dtype=np.float64)):
            return
    wrong = np.argwhere(~np.isfinite(X))
    if len(wrong):
        row, column = (int(i) for i in wrong[0])
        raise NonFiniteError(
            f"{name} contains NaN or infinity: {X[row, column]} at row {row}, column {column}",
            hint="drop or impute these rows",
            row=row,
            column=column,
        )


def check_positive(name: str, values: Any, *, zero: bool = False) -> npt.NDArray[np.float64]:
    """Values as a one-dimensional float64 array; all must be finite and above zero.

    Raises:
        InputError: the first value that is not.
    """
    checked = np.atleast_1d(np.asarray(values, dtype=np.float64)).reshape(-1)
    if not checked.size:
        raise InputError(f"{name} is empty", hint=f"pass at least one value of {name}")
    good = np.isfinite(checked) & ((checked >= 0) if zero else (checked > 0))
    if not good.all():
        worst = checked[~good][0]
        raise InputError(f"{name}={worst:g}; it must be {'0 or more' if zero else 'positive'} and finite")
    return checked
