"""The plan of a run: which rows each task trains on, is tested on, and chooses its hyper-parameters by.

A plan is made once (:func:`tlengine.data.resamples.make_resamples`) and sent to every worker; a task is six
words, and the plan says which rows they mean.

>>> import numpy as np
>>> from tlengine.data.resamples import make_resamples
>>> from tlengine.plugins.contracts import Task
>>> plan = make_resamples(np.array(["cat", "dog"] * 50), seeds=2)
>>> task = Task(view="net", strategy="probe", budget=10, seed=0, fold=3)
>>> roles = plan.roles(task)
>>> len(roles.train), len(roles.test), [len(held) for _, held in roles.inner], plan.labels(task)
(20, 20, [4, 4, 4, 4, 4], 20)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.data.budgets import draw_budgets
from tlengine.data.folds import inner_folds
from tlengine.errors import InputError
from tlengine.plugins.contracts import Budget, Codes, Roles, Task
from tlengine.types import ROLES

__all__ = ["INNER_FOLDS", "Exclusion", "Plan", "Resample"]

Rows = npt.NDArray[np.intp]
INNER_FOLDS = 5
REMEMBERED = 32
"""Roles kept at hand: strategy after strategy asks for the same ones."""
_INNER_PART = re.compile(r"inner:([0-9]{1,9})(?:/([0-9]{1,9}))?")


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
    """All resamples of a run, what they mean for a task, and what was noticed while making them.

    Attributes:
        kind: ``"holdout"``, ``"folds"`` or ``"given"``.
        resamples: in the order of seed, then fold.
        excluded: classes too small for the roles; their rows have no role.
        units: (n,) the unit of each row: rows of one group or of identical content share it.
        codes: (n,) class numbers without gaps; -1 for rows of excluded classes.
        classes: (K,) the label of each number, as in ``y``.
        straddling: rows of the user's split whose content or group is in another part as well.
        notes: one sentence for each thing the user should know.
        inner_folds: how many folds of a budget hyper-parameters are chosen by.
    """

    kind: str
    resamples: tuple[Resample, ...]
    excluded: tuple[Exclusion, ...]
    units: Rows
    codes: Codes
    classes: npt.NDArray[Any]
    straddling: int = 0
    notes: tuple[str, ...] = ()
    inner_folds: int = INNER_FOLDS
    _known: dict[tuple[Any, ...], Roles] = field(default_factory=dict, init=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_known": {}}

    def resample(self, seed: int, fold: int) -> Resample:
        """The resample of that name.

        Raises:
            InputError: there is none.
        """
        for resample in self.resamples:
            if (resample.seed, resample.fold) == (seed, fold):
                return resample
        last = self.resamples[-1]
        raise InputError(
            f"no resample of seed {seed} and fold {fold}",
            hint=f"seeds go up to {last.seed}, folds up to {last.fold}",
        )

    def roles(self, task: Task) -> Roles:
        """The rows of a task by what they are for; view and strategy make no difference.

        - ``"fit"``: the rows of the budget train. Below ``"all"`` the user's ``select`` rows are left alone
          and inner folds are made of the budget, whole units and every class in each part to fit; at
          ``"all"`` hyper-parameters are chosen on ``select`` where there is one.
        - ``"inner:i"``: the i-th inner part to fit trains, what it held out is tested; ``"inner:i/k"`` where
          there are k folds rather than :attr:`inner_folds`.
        - ``"refit"``: every row of a class that takes part trains, whatever the budget; none is tested.

        Equal rows have equal inner folds, whatever the seed.

        Raises:
            InputError: no such resample, part or inner fold.
        """
        key = (task.budget, task.seed, task.fold, task.part)
        roles = self._known.get(key)
        if roles is None:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            roles = self._known[key] = self._roles(task)
        return roles

    def _roles(self, task: Task) -> Roles:
        if task.part == "refit":
            rows = np.flatnonzero(self.codes >= 0)
            return Roles(train=rows, test=rows[:0], inner=self._inner(rows, self.inner_folds))
        if task.part == "fit":
            return self._fit(task, self.inner_folds)
        found = _INNER_PART.fullmatch(task.part)
        folds = int(found[2] or self.inner_folds) if found else self.inner_folds
        whole = self._fit(task, folds)
        if found is None or folds < 2 or int(found[1]) >= len(whole.inner):
            raise InputError(
                f"no part {task.part!r}",
                hint=f"parts are fit, refit and inner:0 up to the {len(whole.inner)} inner folds",
            )
        train, held = whole.inner[int(found[1])]
        return Roles(train=train, test=held, inner=self._inner(train, self.inner_folds))

    def _fit(self, task: Task, folds: int) -> Roles:
        resample = self.resample(task.seed, task.fold)
        train = self.train(resample, task.budget)
        if task.budget != "all":
            return Roles(train=train, test=resample.test, inner=self._inner(train, folds))
        select = resample.select
        inner = self._inner(train, folds) if select is None else ((train, select),)
        return Roles(
            train=train, test=resample.test, inner=inner, select=select, calibrate=resample.calibrate
        )

    def train(self, resample: Resample, budget: Budget) -> Rows:
        """(m,) sorted training rows that a budget allows; nested in those of every larger one."""
        return draw_budgets(self.codes, resample.train, [budget], resample.seed)[0].rows

    def _inner(self, train: Rows, folds: int) -> tuple[tuple[Rows, Rows], ...]:
        pairs = inner_folds(self.codes[train], self.units[train], folds)
        return tuple((train[fit], train[held]) for fit, held in pairs)

    def labels(self, task: Task) -> int:
        """How many labels the task may see: its training rows, and at ``"all"`` the user's other parts."""
        if task.part != "fit":
            return len(self.roles(task).labelled)
        resample = self.resample(task.seed, task.fold)
        beside = (resample.select, resample.calibrate) if task.budget == "all" else ()
        parts = [self.train(resample, task.budget), *beside]
        return sum(len(rows) for rows in parts if rows is not None)

    def distinct(self, budget: Budget) -> list[tuple[int, int]]:
        """(seed, fold) of the resamples of every seed that has a new pair of training rows and test rows.

        A seed whose folds are all repeats says nothing new. One that repeats some of them stays whole, so
        that every unit is tested as often as any other.
        """
        known: set[tuple[bytes, bytes]] = set()
        found: list[tuple[int, int]] = []
        for seed in dict.fromkeys(resample.seed for resample in self.resamples):
            own = [resample for resample in self.resamples if resample.seed == seed]
            pairs = {(self.train(r, budget).tobytes(), r.test.tobytes()) for r in own}
            if not pairs <= known:
                found += [(resample.seed, resample.fold) for resample in own]
            known |= pairs
        return found

    def tasks(
        self,
        strategies: Mapping[str, Sequence[str]],
        budgets: Sequence[Budget],
        inner: Mapping[str, int] | None = None,
    ) -> Iterator[Task]:
        """Every fit: seed by seed, budget by budget, fold by fold, all strategies of one before the next.

        Args:
            strategies: the names of the strategies that each view has, by the name of the view.
            budgets: labels per class, ascending.
            inner: the strategies whose inner folds at the largest budget are tasks as well, with their
                number; they follow the fits of that budget, the first fold of all before the second of any.
        """
        for seed in dict.fromkeys(resample.seed for resample in self.resamples):
            places = [(seed, resample.fold) for resample in self.resamples if resample.seed == seed]
            fits: list[Task] = []
            for budget in budgets:
                fits = list(_fits(strategies, budget, places))
                yield from fits
            yield from self._inner_tasks(fits, inner or {})

    def _inner_tasks(self, fits: Sequence[Task], inner: Mapping[str, int]) -> Iterator[Task]:
        each = [
            (fit, self.inner_parts(fit, inner[fit.strategy])) for fit in fits if inner.get(fit.strategy, 0)
        ]
        for number in range(max((len(parts) for _, parts in each), default=0)):
            yield from (replace(fit, part=parts[number]) for fit, parts in each if number < len(parts))

    def inner_parts(self, task: Task, folds: int) -> tuple[str, ...]:
        """The parts that hold out, together, what a fit can hold out, each row once.

        Args:
            task: the fit.
            folds: how many, 2 or more; there are fewer where no class has so many units, one where the
                user's ``select`` rows are held out, and none where nothing can be.
        """
        return tuple(f"inner:{number}/{folds}" for number in range(len(self._fit(task, folds).inner)))

    def shares(self, rows: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """(K,) share of each class among the rows, for decisions that do not depend on it."""
        counts = np.bincount(self.codes[np.asarray(rows, dtype=np.intp)], minlength=len(self.classes))
        return np.asarray(counts / max(1, counts.sum()))


def _fits(
    strategies: Mapping[str, Sequence[str]], budget: Budget, places: Sequence[tuple[int, int]]
) -> Iterator[Task]:
    for seed, fold in places:
        for view, names in strategies.items():
            for name in names:
                yield Task(view=view, strategy=name, budget=budget, seed=seed, fold=fold)
