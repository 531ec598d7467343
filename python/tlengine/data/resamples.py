"""Resamples: who may train, who is tested, and the promise that nobody does both.

From 1,000 rows on a stratified holdout for each seed; below, repeated stratified folds (5 for each seed);
a split that the user brings is taken as given. Rows of one group, and rows of identical content, form a
*unit* that stays on one side of every split made here.

>>> import numpy as np
>>> plan = make_resamples(np.array(["cat", "dog"] * 50), seeds=2)
>>> plan.kind, len(plan.resamples), plan.resamples[0]
('folds', 10, Resample(seed=0, fold=0, train=80, test=20))
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tlengine.data.folds import MIN_TRAIN, assign_folds, assign_test
from tlengine.data.plans import INNER_FOLDS, Exclusion, Plan, Resample
from tlengine.data.units import unit_index
from tlengine.errors import InputError, SingleClassError
from tlengine.types import ROLES

__all__ = [
    "Exclusion",
    "Kind",
    "Plan",
    "Resample",
    "assign_folds",
    "is_split",
    "make_resamples",
    "unit_index",
]

Rows = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]
Kind = Literal["holdout", "folds"]
FOLDS = 5
SMALL = 1_000
SHARES = {"small": 0.3, "large": 0.2}
"""What a holdout tests below and from :data:`SMALL` rows on."""
ATTEMPTS = 8
"""Draws of a seed before a class counts as one that it cannot train or test."""


def make_resamples(
    y: npt.ArrayLike,
    *,
    seeds: int = 5,
    groups: npt.ArrayLike | None = None,
    keys: npt.NDArray[np.uint8] | None = None,
    splits: npt.ArrayLike | None = None,
    kind: Kind | None = None,
    test_share: float | None = None,
    inner_folds: int = INNER_FOLDS,
) -> Plan:
    """Assign the rows of a labelled dataset to roles, once or more for each seed.

    Args:
        y: (n,) labels.
        seeds: how many seeds, 1 or more; they are 0, 1, ….
        groups: (n,) rows of one group stay on one side.
        keys: (n, 32) content digests; rows of equal content stay on one side.
        splits: (n,) a role for each row, from the user; taken as given, and ``kind`` and ``test_share``
            have no say. A ``select`` part without a ``test`` part is used as the test.
        kind: one ``"holdout"`` for each seed, or 5 ``"folds"``; None for folds below 1,000 rows.
        test_share: of a holdout; None for 0.3 below 1,000 rows and 0.2 from there on.
        inner_folds: folds of a budget by which hyper-parameters are chosen, 2 or more.

    Raises:
        InputError: ``seeds`` below 1, a share outside (0, 1), or an unknown role.
        SingleClassError: fewer than two classes are large enough.
    """
    labels = np.asarray(y)
    _check(seeds, kind, test_share, inner_folds)
    classes, codes = np.unique(labels, return_inverse=True)
    units = unit_index(len(labels), groups=groups, keys=keys)
    build = _Builder(classes, codes, units, seeds, inner_folds)
    if splits is None or not is_split(np.asarray(splits)):
        return build.drawn(kind, test_share)
    return build.given(np.asarray(splits).astype(str))


def _check(seeds: int, kind: str | None, test_share: float | None, inner_folds: int) -> None:
    if seeds < 1:
        raise InputError(f"{seeds} seeds; at least 1 is needed", hint="5 is the default")
    if kind not in (None, "holdout", "folds"):
        raise InputError(f"unknown kind of resamples {kind!r}", hint="use 'holdout', 'folds' or None")
    if test_share is not None and not 0 < test_share < 1:
        raise InputError(f"test_share={test_share}; it must be between 0 and 1", hint="0.2 is usual")
    if inner_folds < 2:
        raise InputError(f"{inner_folds} inner folds; at least 2 are needed", hint="5 is the default")


def is_split(splits: npt.NDArray[Any]) -> bool:
    """Whether the column separates training rows from others; a single part separates nothing.

    Raises:
        InputError: an unknown role.
    """
    names = set(splits.astype(str).tolist())
    if strange := sorted(names - set(ROLES)):
        raise InputError(f"unknown split role {strange[0]!r}", hint=f"roles are {', '.join(ROLES)}")
    return "train" in names and bool(names & {"select", "test"})


class _Builder:
    """Makes a plan of the labels' classes and units."""

    def __init__(
        self, classes: npt.NDArray[Any], codes: Rows, units: Rows, seeds: int, inner_folds: int
    ) -> None:
        self.classes, self.codes, self.units = classes, codes, units
        self.seeds, self.inner_folds = seeds, inner_folds

    def drawn(self, kind: Kind | None, share: float | None) -> Plan:
        """Resamples of our own: classes that one seed cannot train or test are left out of all."""
        usable = np.ones(len(self.classes), dtype=bool)
        while True:
            self._require_two(usable)
            rows = np.flatnonzero(usable[self.codes])
            chosen = kind or ("holdout" if len(rows) >= SMALL else "folds")
            part = share or SHARES["small" if len(rows) < SMALL else "large"]
            drawn = [self._draw(rows, seed, chosen, part) for seed in range(self.seeds)]
            starved = np.any([missed for _, missed in drawn], axis=0)
            if not starved.any():
                return self._plan(chosen, [r for resamples, _ in drawn for r in resamples], usable)
            usable &= ~starved

    def _draw(self, rows: Rows, seed: int, kind: Kind, share: float) -> tuple[list[Resample], Mask]:
        """The resamples of a seed, and the classes that they cannot train or test."""
        rng = np.random.default_rng([seed, 0])
        _, codes = np.unique(self.codes[rows], return_inverse=True)
        _, units = np.unique(self.units[rows], return_inverse=True)
        best: tuple[list[Resample], Mask] | None = None
        for _ in range(ATTEMPTS if units.max() < len(rows) - 1 else 1):
            if kind == "holdout":
                folds = np.where(assign_test(codes, units, share, rng), 0, 1)
            else:
                folds = assign_folds(codes, units, FOLDS, rng)
            tests = [folds == fold for fold in range(1 if kind == "holdout" else FOLDS)]
            resamples = [
                Resample(seed=seed, fold=fold, train=rows[~test], test=rows[test])
                for fold, test in enumerate(tests)
                if test.any() or kind == "holdout"  # fewer units than folds leave some without a row
            ]
            starved = self._starved(rows, resamples)
            if best is None or starved.sum() < best[1].sum():
                best = resamples, starved
            if not starved.any():
                break
        assert best is not None
        return best

    def _starved(self, rows: Rows, resamples: list[Resample]) -> Mask:
        """Classes that a training part has too few of, or that is never tested."""
        n = len(self.classes)
        there = np.bincount(self.codes[rows], minlength=n) > 0
        tested = np.bincount(self.codes[np.concatenate([r.test for r in resamples])], minlength=n)
        trained = np.min([np.bincount(self.codes[r.train], minlength=n) for r in resamples], axis=0)
        return np.asarray(there & ((tested == 0) | (trained < MIN_TRAIN)))

    def given(self, splits: npt.NDArray[np.str_]) -> Plan:
        """The user's split for every seed."""
        notes = []
        parts = {role: np.flatnonzero(splits == role) for role in ROLES}
        if not parts["test"].size:
            parts["test"], parts["select"] = parts["select"], parts["test"]
            notes.append("no test split: the validation split is used as the test, and for nothing else")
        usable = np.bincount(self.codes[parts["train"]], minlength=len(self.classes)) >= MIN_TRAIN
        self._require_two(usable)
        kept = {role: rows[usable[self.codes[rows]]] for role, rows in parts.items() if rows.size}
        if not kept["test"].size:
            raise InputError(
                "no row of the test split belongs to a class of the training split",
                hint=f"a class needs {MIN_TRAIN} training rows",
            )
        if lost := len(parts["test"]) - len(kept["test"]):
            notes.append(
                f"{lost} test rows are left out: their classes have fewer than {MIN_TRAIN} training rows"
            )
        straddling = self._straddling(parts)
        notes += [f"{n} rows outside the {role} split have a twin (content or group) inside it"
                  for role, n in straddling.items() if n]  # fmt: skip
        resamples = [
            Resample(seed=seed, fold=0, **{role: rows for role, rows in kept.items() if rows.size})
            for seed in range(self.seeds)
        ]
        return self._plan("given", resamples, usable, straddling=sum(straddling.values()), notes=tuple(notes))

    def _straddling(self, parts: Mapping[str, Rows]) -> dict[str, int]:
        """Rows outside of training with a twin inside; test rows with one in another of the user's parts."""
        units = {role: self.units[rows] for role, rows in parts.items()}
        outside = np.concatenate([units[role] for role in ROLES if role != "train"])
        beside = np.concatenate([units["select"], units["calibrate"]])
        tested = units["test"][~np.isin(units["test"], units["train"])]
        return {
            "training": int(np.isin(outside, units["train"]).sum()),
            "validation": int(np.isin(tested, beside).sum()),
        }

    def _plan(self, kind: str, resamples: list[Resample], usable: Mask, **noticed: Any) -> Plan:
        counts = np.bincount(self.codes, minlength=len(self.classes))
        left_out = np.flatnonzero(~usable)
        numbers = np.where(usable, np.cumsum(usable) - 1, -1)
        return Plan(
            kind=kind,
            resamples=tuple(resamples),
            excluded=tuple(
                Exclusion(label=str(self.classes[code]), count=int(counts[code])) for code in left_out
            ),
            units=self.units,
            codes=numbers[self.codes],
            classes=self.classes[usable],
            inner_folds=self.inner_folds,
            **noticed,
        )

    def _require_two(self, usable: Mask) -> None:
        if usable.sum() >= 2:
            return
        sizes = np.bincount(self.codes, minlength=len(self.classes))
        counts = {str(c): int(n) for c, n in zip(self.classes, sizes, strict=True)}
        shown = ", ".join(f"{name!r} ({count})" for name, count in list(counts.items())[:5])
        shared = len(np.unique(self.units)) < len(self.units)
        apart = "; rows of one group, or of equal content, stay together and count as one" if shared else ""
        raise SingleClassError(
            f"{int(usable.sum())} usable class of {len(counts)}: {shown or 'none'}",
            hint=f"two classes of at least 3 different samples each are needed{apart}",
            counts=counts,
        )
