"""How much a row counts: its own weight, and that of its class."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.errors import InputError
from tlengine.probes.arrays import check_finite
from tlengine.probes.dense import dense_array

__all__ = ["ClassWeight", "check_weights", "weights_of_classes"]

ClassWeight = Mapping[Any, float] | str | None


def check_weights(sample_weight: Any, X: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """One float64 weight per row of X, 0 or more and not all zero; ones for None.

    Raises:
        NonFiniteError: NaN or infinity. InputError: all are zero. DtypeError: no numbers.
        ValueError: negative, or of another length.
    """
    from sklearn.utils.validation import _check_sample_weight

    if sample_weight is None:
        return np.ones(len(X))
    given = dense_array(sample_weight, "sample_weight").astype(np.float64)
    check_finite(given.reshape(-1, 1), "sample_weight")
    if not given.any():
        raise InputError("every sample weight is zero", hint="give some rows a positive weight")
    return np.asarray(
        _check_sample_weight(
            given if given.ndim else given.item(), X, dtype=np.float64, ensure_non_negative=True
        )
    )


def weights_of_classes(
    class_weight: Mapping[Any, float] | str,
    classes: npt.NDArray[Any],
    labels: npt.NDArray[Any],
    sample_weight: npt.NDArray[np.float64],
    *,
    known: npt.NDArray[Any] | None = None,
) -> npt.NDArray[np.float64]:
    """A factor for each class (K,).

    Args:
        class_weight: ``"balanced"``: total weight over (classes present times the weight of the class), as
            in scikit-learn; or a weight for each label, 1 where a label is not named.
        classes: (K,) labels.
        labels: (n,) class of each row, as positions in ``classes``.
        sample_weight: (n,) weight of each row.
        known: further labels that may be named, of rows that count nothing.

    Raises:
        InputError: a label that is none of ``classes``, while one of these is not named; a weight that is no
            number of 0 or more.

    >>> classes, labels = np.array(["1", "2"]), np.array([0, 0, 0, 1])
    >>> weights_of_classes("balanced", classes, labels, np.ones(4)).round(3).tolist()
    [0.667, 2.0]
    >>> weights_of_classes({"2": 5}, classes, labels, np.ones(4)).tolist()
    [1.0, 5.0]
    """
    if isinstance(class_weight, Mapping):
        return _named_weights(class_weight, classes, classes if known is None else known)
    if not isinstance(class_weight, str) or class_weight != "balanced":
        raise InputError(
            f"class_weight={class_weight!r:.80}",
            hint='use "balanced", or {label: weight} with the labels of y',
        )
    counts = np.bincount(labels, weights=sample_weight, minlength=len(classes))
    present = counts > 0
    factors = np.ones(len(classes))
    factors[present] = counts.sum() / (present.sum() * counts[present])
    return factors


def _named_weights(
    class_weight: Mapping[Any, float], classes: npt.NDArray[Any], known: npt.NDArray[Any]
) -> npt.NDArray[np.float64]:
    given = {
        label.item() if isinstance(label, np.generic) else label: weight
        for label, weight in class_weight.items()
    }
    for label, weight in given.items():
        if isinstance(weight, bool) or not isinstance(weight, Real) or not 0 <= float(weight) < np.inf:
            raise InputError(
                f"class_weight of {label!r} is {weight!r:.80}", hint="use a finite number of 0 or more"
            )
    labels = known.tolist()
    unknown = [label for label in given if label not in labels]
    # A draw of the rows may lack a class; a label that y spells otherwise leaves one without a weight.
    if unknown and not all(label in given for label in classes.tolist()):
        raise InputError(_unknown(unknown[0], known), hint="name labels as they are written in y")
    return np.array([float(given.get(label, 1.0)) for label in classes.tolist()])


def _unknown(label: Any, known: npt.NDArray[Any]) -> str:
    some = ", ".join(repr(one) for one in known[:5].tolist()) + (", ..." if len(known) > 5 else "")
    kind = type(known[:1].tolist()[0]).__name__
    other = f" (of type {type(label).__name__}, labels are {kind})" if type(label).__name__ != kind else ""
    return f"class_weight names {label!r:.80}{other}, which is no label of y: {some}"
