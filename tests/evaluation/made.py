"""Cells whose predictions are made up, so that what a judgement must say of them is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tlengine.data.resamples import Plan, make_resamples
from tlengine.evaluation.cells import Cell, cells_of
from tlengine.evaluation.executors import Here
from tlengine.evaluation.held import calibrated
from tlengine.evaluation.running import tasks_of
from tlengine.evaluation.setup import Chosen, Setup
from tlengine.evaluation.strategies import EstimatorStrategy, LogisticStrategy
from tlengine.evaluation.views import Ground, RunView
from tlengine.plugins import resolve_strategy
from tlengine.plugins.contracts import HeldOut, Record, Task

__all__ = ["Named", "World", "fitted", "held", "setup_of"]


def held(accuracy: float, log_loss: float = 0.3) -> HeldOut:
    """What 320 rows held out might show."""
    return HeldOut(rows=320, accuracy=accuracy, log_loss=log_loss)


class Named:
    """A strategy that bears a name and nothing else."""

    reads = "features"

    def __init__(self, seeded: bool = False) -> None:
        self.seeded = seeded

    def settings(self) -> Mapping[str, Any]:
        return {}


def ground_of(plan: Plan) -> Ground:
    digests = np.zeros((len(plan.codes), 32), np.uint8)
    digests[:, :4] = np.arange(len(plan.codes), dtype="<u4").view(np.uint8).reshape(-1, 4)
    return Ground(codes=plan.codes, classes=plan.classes, units=plan.units, digests=digests)


@dataclass
class World:
    """Strategies that are right as often as they are told to be.

    Attributes:
        plan: of the rows.
        seeded: whether the strategies draw.
    """

    plan: Plan
    seeded: bool = False
    cells: list[Cell] = field(default_factory=list)

    @classmethod
    def of(cls, rows: int = 400, classes: int = 2, seeds: int = 3, **options: Any) -> World:
        """Rows of equally frequent classes."""
        return cls(make_resamples(np.arange(rows) % classes, seeds=seeds, **options))

    def add(
        self,
        strategy: str,
        right: float,
        held: float | None = None,
        *,
        view: str = "net",
        backbone: str | None = None,
        role: str = "strategy",
        budget: Any = "all",
        luck: int = 0,
        sure: float = 3.0,
    ) -> Cell:
        """A cell that is right in a share of the test rows, and in a share of the rows held out.

        Args:
            strategy, view, backbone, role, budget: of the cell.
            right, held: the shares; None where nothing is held out.
            luck: two cells of one luck are right on the same rows.
            sure: the logit of what is predicted.
        """
        backbone = view if backbone is None else backbone
        chosen = Chosen(name=strategy, strategy=Named(self.seeded), role=role, view="backbone")  # type: ignore[arg-type]
        views = {view: RunView(name=view, X=np.zeros((len(self.plan.codes), 1), np.float32))}
        setup = Setup(ground=ground_of(self.plan), views=views, plan=self.plan, strategies={strategy: chosen})
        values = np.random.default_rng([luck, 0]).random(len(self.plan.codes))
        records = {}
        for resample in self.plan.resamples:
            place = (resample.seed, resample.fold)
            task = Task(view=view, strategy=strategy, budget=budget, seed=place[0], fold=place[1])
            roles = self.plan.roles(task)
            held_out, codes = self._held_out(roles.held, held, sure), self.plan.codes[roles.held]
            labels, k = self.plan.labels(task), len(self.plan.classes)
            value, told = calibrated("logits", held_out, codes, labels=labels, classes=k)
            moved = np.random.default_rng([luck, 1 + place[0]]).normal(size=len(values)) * 0.05
            records[place] = Record(
                task=task,
                key=f"{strategy} {place}",
                labels=labels,
                scores=self._scores(roles.test, values[roles.test] + moved[roles.test] < right, sure),
                calibration=value,
                held=told,
            )
        cell = Cell(
            view=view, backbone=backbone, strategy=strategy, budget=budget, role=role, setup=setup,
            records=records,
        )  # type: ignore[arg-type]  # fmt: skip
        self.cells.append(cell)
        return cell

    def control(self, name: str, right: float, held: float | None = None, **options: Any) -> Cell:
        """A control that belongs to no backbone."""
        return self.add(name, right, held, **{"view": name, "backbone": "", "role": "control", **options})

    def _held_out(self, rows: Any, right: float | None, sure: float) -> Any:
        return None if right is None else self._scores(rows, np.arange(len(rows)) < right * len(rows), sure)

    def _scores(self, rows: Any, right: Any, sure: float) -> Any:
        k = len(self.plan.classes)
        predicted = np.where(right, self.plan.codes[rows], (self.plan.codes[rows] + 1) % k)
        return (sure * np.eye(k)[predicted]).astype(np.float32)


def setup_of(
    X: Any, plan: Plan, strategies: Sequence[Any], controls: Mapping[str, Any] | None = None
) -> Setup:
    """A setup of features: names, or pairs (name, strategy); controls are arrays, or (name, array)."""
    chosen, views = {}, {"net": RunView(name="net", backbone="net", X=np.asarray(X, np.float32))}
    for given in strategies:
        name, strategy = given if isinstance(given, tuple) else (given, None)
        if strategy is None:
            spec: Any = resolve_strategy(name)
            strategy = spec.make() if hasattr(spec, "make") else EstimatorStrategy(spec)
        chosen[name] = Chosen(name=name, strategy=strategy)
    for name, array in (controls or {}).items():
        views[name] = RunView(name=name, X=np.asarray(array, np.float32))
        chosen[name] = Chosen(name=name, strategy=LogisticStrategy(), role="control", view=name)
    return Setup(ground=ground_of(plan), views=views, plan=plan, strategies=chosen)


def fitted(setup: Setup, budgets: Sequence[Any]) -> list[Cell]:
    """The cells of all fits."""
    tasks = tasks_of(setup, ["net"], budgets)
    first = {setup.key(task): task for task in reversed(tasks)}
    records = {record.key: record for record in Here().run(setup, list(first.values()))}
    return cells_of(setup, tasks, records)
