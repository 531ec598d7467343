"""The targets of a grid: one class per row, or several labels per row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.errors import LabelError, SingleClassError, TlengineError
from tlengine.probes.grid_jobs import Key
from tlengine.probes.grid_notes import Notes
from tlengine.probes.indicators import ONE_CLASS, column_names, encode_indicators, is_multilabel
from tlengine.probes.labels import check_labels

__all__ = ["Target", "learnt_labels", "read_targets"]

Rows = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Target:
    """What is to be told of each row.

    Attributes:
        codes: (n,) uint32 positions in ``classes``; or (n, L) bool, which labels each row has.
        classes: (K,) sorted labels as the user wrote them; or (L,) names of the columns of a
            table, else their numbers.
    """

    codes: npt.NDArray[Any]
    classes: npt.NDArray[Any]

    @property
    def several(self) -> bool:
        """Whether a row may have several labels, or none."""
        return self.codes.ndim == 2

    @property
    def columns(self) -> int:
        """Columns of coefficients that a linear probe has."""
        return 1 if len(self.classes) == 2 and not self.several else len(self.classes)

    def labels(self, rows: Rows) -> npt.NDArray[Any]:
        """The labels of rows as an estimator of scikit-learn takes them: (m,), or (m, L) of 0 and 1."""
        found: npt.NDArray[Any] = self.codes[rows].astype(np.intp)
        return found if self.several else self.classes[found]


def read_targets(given: Mapping[str, Any]) -> dict[str, Target]:
    """Targets by name.

    Raises:
        ShapeMismatchError, LabelError, SingleClassError: labels that cannot be used; the message names the
            target.

    >>> read_targets({"y": ["b", "a", "b"]})["y"].codes.tolist()
    [1, 0, 1]
    >>> read_targets({"tags": [[0, 1], [1, 1]]})["tags"].classes.tolist()
    [0, 1]
    """
    found = {}
    for name, y in given.items():
        try:
            found[name] = _indicators(y) if is_multilabel(y) else _classes(name, y)
        except TlengineError as error:
            if name in error.message or len(given) == 1:
                raise
            message = f"target {name!r}: {error.message}"
            raise type(error)(message, hint=error.hint, **error.context) from None
    return found


_COLUMNS = "columns of classes are targets of their own: targets={name: table[name] for name in table}"


def _classes(name: str, y: Any) -> Target:
    classes, codes = np.unique(check_labels(y), return_inverse=True)
    if len(classes) < 2:
        raise SingleClassError(f"target {name!r} has only one class", hint="leave it out")
    return Target(codes.reshape(-1).astype(np.uint32), classes)


def _indicators(Y: Any) -> Target:
    columns = Y.shape[1] if hasattr(Y, "shape") else len(Y[0])
    names = column_names(Y, columns)
    try:
        return Target(encode_indicators(Y, names=names), names)
    except LabelError as error:
        if error.hint == ONE_CLASS and hasattr(Y, "columns"):
            raise LabelError(error.message, hint=_COLUMNS, **error.context) from None
        raise


def learnt_labels(key: Key, target: Target, rows: Rows, notes: Notes) -> npt.NDArray[np.bool_]:
    """The labels (L,) that some of these rows have and others do not; ``notes`` is told of the others."""
    codes = target.codes[rows]
    learnt = np.asarray(codes.any(axis=0) & ~codes.all(axis=0))
    if not learnt.all():
        notes.rare(key, target.classes[~learnt].tolist())
    return learnt
