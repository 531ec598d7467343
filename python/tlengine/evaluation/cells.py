"""From records to outcomes: everything that one strategy on one view did with one budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from tlengine.evaluation.inner import is_inner
from tlengine.evaluation.setup import Setup
from tlengine.plugins.contracts import Budget, HeldOut, Record, Role, Task
from tlengine.statistics import Outcome, pool, probabilities

__all__ = ["Cell", "Place", "cells_of", "outcome_of", "pooled"]

Place = tuple[int, int]
"""(seed, fold) of a resample."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Cell:
    """All fits of one strategy on one view with one budget.

    Attributes:
        view, backbone, strategy, budget, role: which; ``backbone`` is "" for a control that belongs to none.
        records: by resample.
        setup: the run's.
    """

    view: str
    backbone: str
    strategy: str
    budget: Budget
    role: Role
    setup: Setup
    records: Mapping[Place, Record]
    _outcomes: dict[Place, Outcome] = field(default_factory=dict, init=False, repr=False)

    @property
    def pair(self) -> tuple[str, str]:
        """View and strategy."""
        return self.view, self.strategy

    @property
    def name(self) -> dict[str, Any]:
        """The same with the budget, as the beginning of a record."""
        return {"backbone": self.view, "strategy": self.strategy, "role": self.role, "budget": self.budget}

    @property
    def labels(self) -> float:
        """Labels used, on average."""
        return float(np.mean([record.labels for record in self.records.values()]))

    @property
    def under_trained(self) -> bool:
        """Whether any of its fits ended while its training loss was still falling, and says so."""
        return any(record.facts.get("under_trained", False) for record in self.records.values())

    def outcome(self, place: Place) -> Outcome:
        """The calibrated predictions of one resample."""
        if place not in self._outcomes:
            self._outcomes[place] = outcome_of(self.setup, self.task(place), self.records[place])
        return self._outcomes[place]

    def task(self, place: Place) -> Task:
        """The task of a resample."""
        seed, fold = place
        return Task(view=self.view, strategy=self.strategy, budget=self.budget, seed=seed, fold=fold)

    @cached_property
    def draws(self) -> list[Outcome]:
        """The outcome of each distinct draw, its folds pooled."""
        return pooled(self.setup, self.budget, {place: self.outcome(place) for place in self.records})

    @cached_property
    def inner(self) -> dict[Place, HeldOut]:
        """How the fit of each training part did on the rows that it held out, where there are any."""
        return {place: record.held for place, record in self.records.items() if record.held is not None}


def outcome_of(setup: Setup, task: Task, record: Record) -> Outcome:
    """What a record says of the test rows, as it is calibrated."""
    assert record.scores is not None
    roles, codes = setup.plan.roles(task), setup.ground.codes
    counts = np.bincount(codes[roles.train], minlength=len(setup.ground.classes))
    if getattr(setup.strategies[task.strategy].strategy, "prior_free", False):
        counts = np.minimum(counts, 1)
    proba = probabilities(record.kind, record.scores, record.calibration)
    return Outcome.of(roles.test, codes[roles.test], proba, counts=counts)


def pooled(setup: Setup, budget: Budget, outcomes: Mapping[Place, Outcome]) -> list[Outcome]:
    """The outcome of each distinct draw of training and test rows, the folds of a seed pooled.

    Resamples that repeat another's rows say nothing new, unless a seeded strategy drew anew.
    """
    places = setup.draws(budget) & set(outcomes)
    by_seed: dict[int, list[Outcome]] = {}
    for place in sorted(places):
        by_seed.setdefault(place[0], []).append(outcomes[place])
    return [pool(found) for found in by_seed.values()]


def cells_of(setup: Setup, tasks: Sequence[Task], records: Mapping[str, Record]) -> list[Cell]:
    """The cells whose fits all have a result, in the order of the tasks."""
    found: dict[tuple[str, str, Budget], dict[Place, Record | None]] = {}
    for task in (task for task in tasks if not is_inner(task)):
        record = records.get(setup.key(task))
        where = found.setdefault((task.view, task.strategy, task.budget), {})
        where[task.seed, task.fold] = None if record is None or record.failed else record
    return [
        Cell(
            view=view,
            backbone=setup.views[view].backbone,
            strategy=strategy,
            budget=budget,
            role=setup.strategies[strategy].role,
            setup=setup,
            records={place: record for place, record in each.items() if record is not None},
        )
        for (view, strategy, budget), each in found.items()
        if all(record is not None for record in each.values())
    ]
