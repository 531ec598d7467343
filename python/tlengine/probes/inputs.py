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
from tlengine.probes.labels import check_labels, encode_checked
from tlengine.probes.parameters import check_parameters, check_positive
from tlengine.probes.sparse import as_csr, check_finite_numbers, is_sparse
from tlengine.probes.weights import ClassWeight, check_weights, weights_of_classes

__all__ = [
    "TrainingSet",
    "as_any_features",
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
        X: (n, d) float32 or float64, row-major; or a ``csr_array`` of them.
        labels: (n,) uint32, positions in ``classes``; or (n, L) bool, which labels each row has.
        classes: (K,) sorted labels as the user wrote them, or the names of the columns of Y, ``arange(L)``
            where they have none.
        sample_weight: (n,) float64, as given.
        rows: (n,) positions in the input, or None when all rows are used.
        known: sorted labels of the input, those of dropped rows too; None where no row was dropped.
        given: rows of the input, the dropped ones too.
        names: (d,) of the columns of X, or None where they have none.
    """

    X: Any
    labels: npt.NDArray[Any]
    classes: npt.NDArray[Any]
    sample_weight: npt.NDArray[np.float64]
    rows: npt.NDArray[np.intp] | None
    known: npt.NDArray[Any] | None = None
    given: int = 0
    names: npt.NDArray[Any] | None = None

    @property
    def multilabel(self) -> bool:
        """Whether a row may have several labels, or none."""
        return self.labels.ndim == 2

    def weight(
        self, class_weight: ClassWeight, rows: npt.NDArray[Any] | None = None
    ) -> npt.NDArray[np.float64]:
        """Sample weight times class weight on ``rows`` (default all), zero elsewhere.

        A row that is named twice counts twice. ``"balanced"`` counts the (weighted) classes among these rows
        alone.

        Raises:
            InputError: see :func:`~tlengine.probes.weights.weights_of_classes`.
        """
        given = self.sample_weight
        if rows is not None:
            given = given * np.bincount(rows, minlength=len(given))
        if class_weight is None:
            return given.copy()
        if self.multilabel:
            raise InputError("class_weight with a column per label", hint="use sample_weight")
        factors = weights_of_classes(class_weight, self.classes, self.labels, given, known=self.known)
        return np.asarray(given * factors[self.labels])


def training_set(
    estimator: Any, X: Any, y: Any, sample_weight: Any, *, multilabel: bool = False, sparse: bool = False
) -> TrainingSet:
    """Checks X, y, sample_weight and the estimator's parameters; drops the rows of weight zero.

    ``n_features_in_`` is set on the estimator, if there is one. With ``multilabel`` y may be (n, L),
    with ``sparse`` X a sparse matrix.

    Raises:
        ValueError: shapes that do not fit (scikit-learn's own messages).
        NonFiniteError: NaN or infinity, with row and column.
        LabelError: labels that are missing or continuous.
        SingleClassError: fewer than two classes.
        InputError: a parameter that is not what its name says.
    """
    from sklearn.utils.validation import _get_feature_names

    who = "a probe" if estimator is None else type(estimator).__name__
    if y is None:
        raise InputError(f"{who} requires y to be passed, but the target y is None")
    if estimator is not None:
        check_parameters(estimator)
    if estimator is None:
        names, X = _get_feature_names(X), _features(X, sparse=sparse)
    else:
        X = validate_features(estimator, X, sparse=sparse)
        names = getattr(estimator, "feature_names_in_", None)
    several = multilabel and is_multilabel(y)
    table, y = y, dense_indicators(y) if several else check_labels(y, who=who)
    if len(y) != X.shape[0]:
        raise ShapeMismatchError(f"inconsistent numbers of rows: y has {len(y)}, X has {X.shape[0]}")
    weight, given = check_weights(sample_weight, X), len(y)
    rows = known = None
    if not weight.all():
        rows = np.flatnonzero(weight)
        known = None if several else np.unique(y)
        X, y, weight = X[rows], y[rows], weight[rows]
    if several:
        labels = column_names(table, y.shape[1])
        indicators = encode_indicators(y, names=labels, rows=rows)
        return TrainingSet(X, indicators, labels, weight, rows, given=given, names=names)
    classes, codes = encode_checked(y, estimator=None if estimator is None else who)
    return TrainingSet(X, codes, classes, weight, rows, known, given, names)


def validate_features(estimator: Any, X: Any, *, sparse: bool = False) -> Any:
    """:func:`as_features`, whose width and names the estimator keeps."""
    from sklearn.utils.validation import validate_data

    return _aligned(validate_data(estimator, _plain(X, sparse=sparse), **_accepted(sparse=sparse)))


def as_features(X: Any) -> npt.NDArray[Any]:
    """X as (n, d) float32 or float64, row-major; not yet checked for NaN."""
    checked: npt.NDArray[Any] = _features(X, sparse=False)
    return checked


def as_any_features(X: Any) -> Any:
    """As :func:`as_features`; a sparse matrix becomes a ``csr_array``."""
    return _features(X, sparse=True)


def _features(X: Any, *, sparse: bool) -> Any:
    from sklearn.utils import check_array

    return _aligned(check_array(_plain(X, sparse=sparse), **_accepted(sparse=sparse)))


def _accepted(*, sparse: bool) -> dict[str, Any]:
    """What scikit-learn is to check and make of X."""
    return {
        "accept_sparse": "csr" if sparse else False,
        "dtype": [np.float64, np.float32],
        "order": "C",
        "ensure_all_finite": False,
    }


def _aligned(X: Any) -> Any:
    return X if is_sparse(X) else np.require(X, requirements=["C", "ALIGNED"])


def _plain(X: Any, *, sparse: bool) -> Any:
    return as_csr(X) if sparse and is_sparse(X) else dense(X, "X")


def check_features(estimator: Any, X: Any) -> Any:
    """X for prediction, checked against what the estimator was fitted on; sparse where its tags say so.

    Raises:
        NotFittedError, ValueError: as scikit-learn.
        NonFiniteError: NaN or infinity, with row and column.
    """
    from sklearn.utils import get_tags
    from sklearn.utils.validation import check_is_fitted, validate_data

    check_is_fitted(estimator)
    sparse = get_tags(estimator).input_tags.sparse
    X = validate_data(estimator, _plain(X, sparse=sparse), reset=False, **_accepted(sparse=sparse))
    if is_sparse(X):
        check_finite_numbers(X)
    else:
        check_finite(X, "X")
    return X
