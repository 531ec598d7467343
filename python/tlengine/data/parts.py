"""The two parts of one table of features: rows to learn from and rows to judge by, for ``probe`` and ``knn``.

By the rules of :mod:`.resamples`: the user's split as given, validation rows as the test where there is no
test, equal contents and groups as one unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.data.folds import inner_folds
from tlengine.data.resamples import is_split, make_resamples
from tlengine.data.units import content_digests, unit_index
from tlengine.errors import InputError
from tlengine.types import Features

__all__ = ["Parts", "parts_of"]

Rows = npt.NDArray[np.intp]


@dataclass(frozen=True, kw_only=True, eq=False)
class Parts:
    """Who learns and who is judged.

    Attributes:
        train: (m,) rows to learn from.
        test: (t,) rows of the user's test part, all of classes that ``train`` has; None without a split.
        codes: (n,) class numbers; of rows in ``train`` or ``test`` they are without gaps.
        classes: (K,) the label of each number.
        units: (n,) the unit of each row.
        notes: one sentence for each thing the user should know.
    """

    train: Rows
    test: Rows | None
    codes: Rows
    classes: npt.NDArray[Any]
    units: Rows
    notes: tuple[str, ...] = ()

    def folds(self, n_folds: int) -> list[tuple[Rows, Rows]]:
        """(positions to fit, positions held out) in ``train``, whole units, every class in each fit.

        Raises:
            InputError: no class has two units.
        """
        pairs = inner_folds(self.codes[self.train], self.units[self.train], n_folds)
        if not pairs:
            raise InputError(
                "no class has two different samples (or groups), so nothing can be held out",
                hint="label more samples",
            )
        return pairs

    def judged_alone(self) -> tuple[Rows, int]:
        """The rows of ``train`` whose class has another unit there, and how many have none."""
        codes, units = self.codes[self.train], self.units[self.train]
        pairs = np.unique(np.stack([codes, units]), axis=1)
        several = np.bincount(pairs[0], minlength=len(self.classes)) > 1
        return self.train[several[codes]], int((~several[codes]).sum())


def parts_of(features: Features) -> Parts:
    """The parts of labelled features.

    Contents are equal where the features' ``keys`` are or, without keys, where the rows themselves are.

    Raises:
        InputError: an unknown role in ``splits``, or a test part without a class of the training part.
        SingleClassError: the training part has fewer than two classes of 2 rows.

    >>> X = np.array([[0.0], [1], [1], [2], [3]], dtype=np.float32)
    >>> parts = parts_of(Features(X=X, ids=np.arange(5).astype(str), y=np.array(["a", "b", "b", "a", "b"])))
    >>> parts.train.tolist(), parts.units.tolist(), parts.test
    ([0, 1, 2, 3, 4], [0, 1, 1, 2, 3], None)
    """
    y = np.asarray(features.y)
    keys = content_digests(features.X) if features.keys is None else features.keys
    if features.splits is None or not is_split(features.splits):
        classes, codes = np.unique(y, return_inverse=True)
        units = unit_index(len(y), groups=features.groups, keys=keys)
        return Parts(train=np.arange(len(y)), test=None, codes=codes, classes=classes, units=units)
    plan = make_resamples(y, seeds=1, groups=features.groups, keys=keys, splits=features.splits)
    given = plan.resamples[0]
    notes = list(plan.notes)
    if plan.excluded:
        shown = ", ".join(f"{e.label!r} ({e.count})" for e in plan.excluded)
        notes.append(f"classes too small to train are left out: {shown}")
    if given.select is not None:
        notes.append(f"{len(given.select)} validation rows are not used: neither learnt from nor judged by")
    return Parts(
        train=given.train,
        test=given.test,
        codes=plan.codes,
        classes=plan.classes,
        units=plan.units,
        notes=tuple(notes),
    )
