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

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.errors import InputError, ShapeMismatchError, SingleClassError
from tlengine.types import ROLES

__all__ = ["Exclusion", "Plan", "Resample", "assign_folds", "make_resamples", "unit_index"]

Rows = npt.NDArray[np.intp]
FOLDS = 5
SMALL = 1_000
MIN_TRAIN = 2
"""Rows of a class that every training part needs: one to learn from while the other one checks."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Resample:
    """One assignment of rows to roles; a row has one role at most.

    Attributes:
        seed: the seed of the draw.
        fold: the fold within the seed; 0 for a holdout.
        train, test, select, calibrate: (m,) sorted row numbers; None where the role is not played.

    Raises:
        InputError: a row with two roles, or twice in one.

    >>> import numpy as np
    >>> Resample(seed=0, fold=0, train=np.array([0, 1]), test=np.array([1]))
    Traceback (most recent call last):
    tlengine.errors.InputError: row 1 serves as train and as test
    hint: within a resample a row has one role
    """

    seed: int
    fold: int
    train: Rows
    test: Rows
    select: Rows | None = None
    calibrate: Rows | None = None

    def __post_init__(self) -> None:
        rows = np.concatenate([rows for _, rows in self.roles()])
        names = np.concatenate([np.full(len(rows), role) for role, rows in self.roles()])
        order = np.argsort(rows, kind="stable")
        rows, names = rows[order], names[order]
        reused = np.flatnonzero(rows[1:] == rows[:-1])
        if reused.size:
            at = int(reused[0])
            raise InputError(
                f"row {rows[at]} serves as {names[at]} and as {names[at + 1]}",
                hint="within a resample a row has one role",
                row=int(rows[at]),
            )

    def roles(self) -> Iterator[tuple[str, Rows]]:
        """The roles that are played, each with its rows."""
        for role in ROLES:
            rows = getattr(self, role)
            if rows is not None:
                yield role, rows

    def __repr__(self) -> str:
        counts = ", ".join(f"{role}={len(rows)}" for role, rows in self.roles())
        return f"Resample(seed={self.seed}, fold={self.fold}, {counts})"


@dataclass(frozen=True, kw_only=True)
class Exclusion:
    """A class too small for the roles: its name and how many rows it has."""

    label: str
    count: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """All resamples of a run, and what was noticed while making them.

    Attributes:
        kind: ``"holdout"``, ``"folds"`` or ``"given"``.
        resamples: in the order of seed, then fold.
        excluded: classes too small for the roles; their rows have no role.
        units: (n,) the unit of each row: rows of one group or of identical content share it.
        straddling: rows outside the user's training split whose content or group is inside it too.
        notes: one sentence for each thing the user should know.
    """

    kind: str
    resamples: tuple[Resample, ...]
    excluded: tuple[Exclusion, ...]
    units: Rows
    straddling: int = 0
    notes: tuple[str, ...] = ()


def unit_index(
    n: int, *, groups: npt.ArrayLike | None = None, keys: npt.NDArray[np.uint8] | None = None
) -> Rows:
    """The unit of each row: rows linked by an equal group or content digest, directly or through others.

    >>> unit_index(4, groups=["a", "a", "b", "c"]).tolist()
    [0, 0, 1, 2]
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    rows = np.arange(n)
    links = [_first_alike(column) for column in _link_columns(n, groups, keys)]
    ends = np.concatenate([*links, rows])
    starts = np.concatenate([rows] * (len(links) + 1))
    graph = coo_array((np.ones(len(ends), dtype=np.int8), (starts, ends)), shape=(n, n))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.intp)


def _link_columns(
    n: int, groups: npt.ArrayLike | None, keys: npt.NDArray[np.uint8] | None
) -> list[npt.NDArray[Any]]:
    columns: list[npt.NDArray[Any]] = []
    if groups is not None:
        columns.append(np.asarray(groups))
    if keys is not None:
        digests = np.ascontiguousarray(keys, dtype=np.uint8)
        columns.append(digests.view(np.dtype((np.void, digests.shape[1]))).ravel())
    for column in columns:
        if len(column) != n:
            raise ShapeMismatchError(f"groups or keys have {len(column)} rows, the labels {n}")
    return columns


def _first_alike(column: npt.NDArray[Any]) -> Rows:
    """For each row the first row with an equal value."""
    _, first, inverse = np.unique(column, return_index=True, return_inverse=True)
    return np.asarray(first[inverse.ravel()], dtype=np.intp)


def assign_folds(
    codes: npt.NDArray[np.integer[Any]],
    units: Rows,
    n_folds: int,
    rng: np.random.Generator,
    *,
    first_gets_more: bool = False,
) -> Rows:
    """Deal whole units to folds so that every fold has its share of every class.

    Units of several rows are placed first, the largest first, each where its classes are scarcest; single
    rows are then dealt class by class to the folds that have the fewest of that class.

    Args:
        codes: (n,) class numbers from 0.
        units: (n,) unit of each row.
        n_folds: how many folds.
        rng: decides among equals.
        first_gets_more: what does not divide evenly goes to fold 0 first (a holdout then never lacks a
            class); otherwise to the folds that have the fewest rows.

    Returns:
        (n,) the fold of each row.
    """
    n_classes = int(codes.max()) + 1 if len(codes) else 0
    counts = np.zeros((n_folds, n_classes), dtype=np.intp)
    folds = np.full(len(codes), -1, dtype=np.intp)
    order, starts, sizes = _unit_blocks(units, rng)
    for start, size in zip(starts[sizes > 1], sizes[sizes > 1], strict=True):
        rows = order[start : start + size]
        share = np.bincount(codes[rows], minlength=n_classes)
        scarce = np.lexsort((counts.sum(axis=1), counts @ share))[0]
        counts[scarce] += share
        folds[rows] = scarce
    singles = order[starts[sizes == 1]]
    for code in range(n_classes):
        rows = singles[codes[singles] == code]
        dealt = _deal(counts, code, len(rows), first_gets_more)
        folds[rows] = dealt
        counts[:, code] += np.bincount(dealt, minlength=n_folds)
    return folds


def _unit_blocks(units: Rows, rng: np.random.Generator) -> tuple[Rows, Rows, Rows]:
    """Rows unit by unit, the largest unit first and equals shuffled; where units start, and their sizes."""
    n_units = int(units.max()) + 1 if len(units) else 0
    sizes = np.bincount(units, minlength=n_units)
    rank = np.empty(n_units, dtype=np.intp)
    shuffled = rng.permutation(n_units)
    rank[shuffled[np.argsort(-sizes[shuffled], kind="stable")]] = np.arange(n_units)
    order = np.argsort(rank[units], kind="stable")
    ordered = sizes[np.argsort(rank)]
    starts = np.concatenate([[0], np.cumsum(ordered)[:-1]]) if n_units else np.zeros(0)
    return order, starts.astype(np.intp), ordered


def _deal(counts: Rows, code: int, n: int, first_gets_more: bool) -> Rows:
    """Folds for n single rows of a class: the emptiest first, remainders by fold number or by fold size."""
    of_class, total = counts[:, code], counts.sum(axis=1)
    tie = np.arange(len(counts)) if first_gets_more else np.argsort(np.argsort(total, kind="stable"))
    turn = np.arange(n)
    levels = [np.stack([of_class[f] + turn, np.full(n, tie[f]), np.full(n, f)]) for f in range(len(counts))]
    slots = np.concatenate(levels, axis=1)
    return np.asarray(slots[2][np.lexsort((slots[1], slots[0]))[:n]], dtype=np.intp)


def make_resamples(
    y: npt.ArrayLike,
    *,
    seeds: int = 5,
    groups: npt.ArrayLike | None = None,
    keys: npt.NDArray[np.uint8] | None = None,
    splits: npt.ArrayLike | None = None,
) -> Plan:
    """Assign the rows of a labelled dataset to roles, once or more for each seed.

    Args:
        y: (n,) labels.
        seeds: how many seeds, 1 or more; they are 0, 1, ….
        groups: (n,) rows of one group stay on one side.
        keys: (n, 32) content digests; rows of equal content stay on one side.
        splits: (n,) a role for each row, from the user; taken as given. A ``select`` part without a
            ``test`` part is used as the test.

    Raises:
        InputError: ``seeds`` below 1, or an unknown role.
        SingleClassError: fewer than two classes are large enough.
    """
    labels = np.asarray(y)
    if seeds < 1:
        raise InputError(f"{seeds} seeds; at least 1 is needed", hint="5 is the default")
    classes, codes = np.unique(labels, return_inverse=True)
    units = unit_index(len(labels), groups=groups, keys=keys)
    if splits is None or not _is_split(np.asarray(splits)):
        return _own_plan(classes, codes, units, seeds)
    return _given_plan(classes, codes, units, seeds, np.asarray(splits).astype(str))


def _is_split(splits: npt.NDArray[Any]) -> bool:
    """Whether the column separates training rows from others; a single part separates nothing."""
    names = set(splits.astype(str).tolist())
    if strange := sorted(names - set(ROLES)):
        raise InputError(f"unknown split role {strange[0]!r}", hint=f"roles are {', '.join(ROLES)}")
    return "train" in names and bool(names & {"select", "test"})


def _own_plan(classes: npt.NDArray[Any], codes: Rows, units: Rows, seeds: int) -> Plan:
    usable = np.ones(len(classes), dtype=bool)
    while True:
        rows = np.flatnonzero(usable[codes])
        _require_two(classes, codes, usable)
        kind = "holdout" if len(rows) >= SMALL else "folds"
        drawn = [r for seed in range(seeds) for r in _draw(codes, units, rows, seed, kind)]
        starved = _starved(codes, usable, drawn)
        if not starved.any():
            return Plan(
                kind=kind,
                resamples=tuple(drawn),
                excluded=_exclusions(classes, codes, usable),
                units=units,
            )
        usable &= ~starved


def _draw(codes: Rows, units: Rows, rows: Rows, seed: int, kind: str) -> Iterator[Resample]:
    rng = np.random.default_rng([seed, 0])
    _, local = np.unique(codes[rows], return_inverse=True)
    _, compact = np.unique(units[rows], return_inverse=True)
    folds = assign_folds(local, compact, FOLDS, rng, first_gets_more=kind == "holdout")
    for fold in range(1 if kind == "holdout" else FOLDS):
        yield Resample(seed=seed, fold=fold, train=rows[folds != fold], test=rows[folds == fold])


def _starved(codes: Rows, usable: npt.NDArray[np.bool_], drawn: Sequence[Resample]) -> npt.NDArray[np.bool_]:
    """Classes that some training part has too few of, or that some seed never tests."""
    n = len(usable)
    tested: dict[int, Rows] = {}
    starved = np.zeros(n, dtype=bool)
    for resample in drawn:
        starved |= np.bincount(codes[resample.train], minlength=n) < MIN_TRAIN
        seen = np.bincount(codes[resample.test], minlength=n)
        tested[resample.seed] = tested.get(resample.seed, np.zeros(n, dtype=np.intp)) + seen
    for seen in tested.values():
        starved |= seen == 0
    return starved & usable


def _given_plan(
    classes: npt.NDArray[Any], codes: Rows, units: Rows, seeds: int, splits: npt.NDArray[np.str_]
) -> Plan:
    notes = []
    parts = {role: np.flatnonzero(splits == role) for role in ROLES}
    if not parts["test"].size:
        parts["test"], parts["select"] = parts["select"], parts["test"]
        notes.append("no test split: the validation split is used as the test, and for nothing else")
    usable = np.bincount(codes[parts["train"]], minlength=len(classes)) >= MIN_TRAIN
    _require_two(classes, codes, usable)
    outside = np.concatenate([parts["select"], parts["test"]])
    straddling = int(np.isin(units[outside], units[parts["train"]]).sum())
    if straddling:
        notes.append(f"{straddling} rows outside the training split have a twin (content or group) inside it")
    kept = {role: rows[usable[codes[rows]]] for role, rows in parts.items() if rows.size}
    if not kept["test"].size:
        raise InputError("no row of the test split belongs to a class of the training split")
    return Plan(
        kind="given",
        resamples=tuple(Resample(seed=seed, fold=0, **kept) for seed in range(seeds)),
        excluded=_exclusions(classes, codes, usable),
        units=units,
        straddling=straddling,
        notes=tuple(notes),
    )


def _exclusions(
    classes: npt.NDArray[Any], codes: Rows, usable: npt.NDArray[np.bool_]
) -> tuple[Exclusion, ...]:
    counts = np.bincount(codes, minlength=len(classes))
    return tuple(
        Exclusion(label=str(classes[code]), count=int(counts[code])) for code in np.flatnonzero(~usable)
    )


def _require_two(classes: npt.NDArray[Any], codes: Rows, usable: npt.NDArray[np.bool_]) -> None:
    if usable.sum() >= 2:
        return
    counts: Mapping[str, int] = {
        str(c): int(n) for c, n in zip(classes, np.bincount(codes, minlength=len(classes)), strict=True)
    }
    shown = ", ".join(f"{name!r} ({count})" for name, count in list(counts.items())[:5])
    raise SingleClassError(
        f"{int(usable.sum())} usable class of {len(counts)}: {shown or 'none'}",
        hint="two classes of at least 3 different samples each are needed",
        counts=counts,
    )
