"""What every probe does with its input: checks, zero weights dropped, labels as numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.errors import InputError, ShapeMismatchError
from tlengine.probes.arrays import check_finite
from tlengine.probes.dense import dense
from tlengine.probes.indicators import column_names, dense_indicators, encode_indicators, is_multilabel
from tlengine.probes.labels import check_labels, encode_labels
from tlengine.probes.parameters import check_parameters, check_positive
from tlengine.probes.weights import ClassWeight, check_weights, weights_of_classes

__all__ = [
    "TrainingSet",
    "as_features",
    "check_features",
    "check_positive",
    "training_set",
    "validate_features",
]


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Checked training data without the rows of weight zero.

    Attributes:
        X: (n, d) float32 or float64, row-major.
        labels: (n,) uint32, positions in ``classes``; or (n, L) bool, which labels each row has.
        classes: (K,) sorted labels as the user wrote them, or the names of the columns of Y, ``arange(L)``
            where they have none.
        sample_weight: (n,) float64, as given.
        rows: (n,) positions in the input, or None when all rows are used.
        known: sorted labels of the input, those of dropped rows too; None where no row was dropped.
    """

    X: npt.NDArray[Any]
    labels: npt.NDArray[Any]
    classes: npt.NDArray[Any]
    sample_weight: npt.NDArray[np.float64]
    rows: npt.NDArray[np.intp] | None
    known: npt.NDArray[Any] | None = None

    @property
    def multilabel(self) -> bool:
        """Whether a row may have several labels, or none."""
        return self.labels.ndim == 2

    def weight(
        self, class_weight: ClassWeight, rows: npt.NDArray[Any] | None = None
    ) -> npt.NDArray[np.float64]:
        """Sample weight times class weight on ``rows`` (default all), zero elsewhere.

        ``"balanced"`` counts the (weighted) classes among these rows alone.

        Raises:
            InputError: see :func:`~tlengine.probes.weights.weights_of_classes`.
        """
        given = self.sample_weight
        if rows is not None:
            given = np.zeros_like(given)
            given[rows] = self.sample_weight[rows]
        if class_weight is None:
            return given.copy()
        if self.multilabel:
            raise InputError("class_weight with a column per label", hint="use sample_weight")
        factors = weights_of_classes(class_weight, self.classes, self.labels, given, known=self.known)
        return np.asarray(given * factors[self.labels])


def training_set(
    estimator: Any, X: Any, y: Any, sample_weight: Any, *, multilabel: bool = False
) -> TrainingSet:
    """Checks X, y, sample_weight and the estimator's parameters; drops the rows of weight zero.

    ``n_features_in_`` is set on the estimator, if there is one. With ``multilabel`` y may be (n, L).

    Raises:
        ValueError: shapes that do not fit (scikit-learn's own messages).
        NonFiniteError: NaN or infinity, with row and column.
        LabelError: labels that are missing or continuous.
        SingleClassError: fewer than two classes.
        InputError: a parameter that is not what its name says.
    """
    who = "a probe" if estimator is None else type(estimator).__name__
    if y is None:
        raise InputError(f"{who} requires y to be passed, but the target y is None")
    if estimator is not None:
        check_parameters(estimator)
    X = as_features(X) if estimator is None else validate_features(estimator, X)
    several = multilabel and is_multilabel(y)
    table, y = y, dense_indicators(y) if several else check_labels(y, who=who)
    if len(y) != len(X):
        raise ShapeMismatchError(f"inconsistent numbers of rows: y has {len(y)}, X has {len(X)}")
    weight = check_weights(sample_weight, X)
    rows = known = None
    if not weight.all():
        rows = np.flatnonzero(weight)
        known = None if several else np.unique(y)
        X, y, weight = X[rows], y[rows], weight[rows]
    if several:
        names = column_names(table, y.shape[1])
        indicators = encode_indicators(y, names=names, rows=rows)
        return TrainingSet(X, indicators, names, weight, rows)
    classes, labels = encode_labels(y, estimator=None if estimator is None else who)
    return TrainingSet(X, labels, classes, weight, rows, known)


def validate_features(estimator: Any, X: Any) -> npt.NDArray[Any]:
    """:func:`as_features`, whose width and names the estimator keeps."""
    from sklearn.utils.validation import validate_data

    checked = validate_data(
        estimator, dense(X, "X"), dtype=[np.float64, np.float32], order="C", ensure_all_finite=False
    )
    return np.require(checked, requirements=["C", "ALIGNED"])


def as_features(X: Any) -> npt.NDArray[Any]:
    """X as (n, d) float32 or float64, row-major; not yet checked for NaN."""
    from sklearn.utils import check_array

    checked: npt.NDArray[Any] = check_array(
        dense(X, "X"), dtype=[np.float64, np.float32], order="C", ensure_all_finite=False
    )
    return np.require(checked, requirements=["C", "ALIGNED"])


def check_features(estimator: Any, X: Any) -> npt.NDArray[Any]:
    """X for prediction, checked against what the estimator was fitted on.

    Raises:
        NotFittedError, ValueError: as scikit-learn.
        NonFiniteError: NaN or infinity, with row and column.
    """
    from sklearn.utils.validation import check_is_fitted, validate_data

    check_is_fitted(estimator)
    X = validate_data(
        estimator,
        dense(X, "X"),
        dtype=[np.float64, np.float32],
        order="C",
        reset=False,
        ensure_all_finite=False,
    )
    check_finite(X, "X")
    checked: npt.NDArray[Any] = X
    return checked
