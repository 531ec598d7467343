"""Seeds that cannot change the outcome are not run.

Up to :data:`~tlengine.statistics.clustering.FEW_DRAWS` draws, the p-value of a paired test is never smaller
than that of the draws' values alone, one number for each. A value lies between -1 and 1, so the smallest
p-value that the draws which remain could bring about has a closed form: of all completions with one sum, that
of equal values varies least, and t has a single maximum in that value. Where even this leaves no outcome but
"undecided" at every budget, that is the outcome, whatever the rest would show. Nothing else can be foregone:
one draw of -1 among five takes any gain away, and one of 1 any loss.

A fit that is still to come may fail, too. A strategy that lacks one is not judged, and one that lacks an
inner fold is not chosen, so that another is tested in its place, also on the draws that are known: the
outcome has to be "undecided" whichever of them are left. A control that fails needs no such care: where it is
met it is missing, and then only a loss to another one could decide, which is ruled out for each by itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt

from tlengine.evaluation.cells import Cell, cells_of
from tlengine.evaluation.choice import choose
from tlengine.evaluation.comparisons import controls_for, missing_controls
from tlengine.evaluation.inner import with_held_out
from tlengine.evaluation.setup import Setup
from tlengine.plugins.contracts import Budget, Record, Task
from tlengine.statistics.clustering import FEW_DRAWS, quantile, upper_tail
from tlengine.statistics.decisions import ALPHA, MARGIN

__all__ = ["Foregone", "surely_undecided"]

Values = Sequence[float] | npt.NDArray[np.float64]

MOST = 8
"""Strategies that may yet fail, beyond which it is not asked what would be if some did."""


class Foregone:
    """Whether the outcome is known, asked while a run goes on; it says so for the first seeds that show it.

    It is never known where all strategies are cheap, nor without controls, nor beyond a few seeds, nor while
    more than :data:`MOST` strategies of a budget have fits to come.

    Args:
        setup: of the run.
        tasks: all of them.
        records: of the run, as they come.
        active: False for never.

    Attributes:
        after: how many seeds were enough; None while they are not.
    """

    def __init__(
        self, setup: Setup, tasks: Sequence[Task], records: Mapping[str, Record], *, active: bool = True
    ) -> None:
        self._setup, self._tasks, self._records = setup, tasks, records
        self._keys: dict[int, set[str]] = {}
        seeded = any(setup.strategies[task.strategy].strategy.seeded for task in tasks)
        if active and seeded and setup.plan.kind != "folds":
            for task in tasks:
                self._keys.setdefault(task.seed, set()).add(setup.key(task))
        self.seeds = list(self._keys) if len(self._keys) <= FEW_DRAWS else []
        self._whole = 0
        self.after: int | None = None

    def __call__(self) -> bool:
        """Whether the seeds that are whole, in their order, are enough."""
        while (
            self.after is None
            and self._whole < len(self.seeds) - 1
            and self._keys[self.seeds[self._whole]] <= self._records.keys()
        ):
            self._whole += 1
            if self._whole > 1 and self._known():
                self.after = self._whole
        return self.after is not None

    @property
    def kept(self) -> list[Task]:
        """The tasks of the seeds that were enough; all while they are not."""
        return [task for task in self._tasks if self.after is None or task.seed in self.seeds[: self.after]]

    @property
    def note(self) -> str:
        """What was not run, and why."""
        return (
            f"Stopped after {self.after} of {len(self.seeds)} seeds: whatever the others showed, the outcome "
            "would be undecided"
        )

    def _known(self) -> bool:
        tasks = [task for task in self._tasks if task.seed in self.seeds[: self._whole]]
        cells = cells_of(self._setup, tasks, with_held_out(self._setup, tasks, self._records))
        budgets = dict.fromkeys(task.budget for task in tasks)
        return all(self._open([cell for cell in cells if cell.budget == budget]) for budget in budgets)

    def _open(self, cells: Sequence[Cell]) -> bool:
        """Whether the outcome of a budget is "undecided" for sure."""
        strategies = [cell for cell in cells if cell.role != "control"]
        if not any(controls_for(cell, cells) for cell in strategies):
            return False
        lacking = self._lacking()
        unsure = [cell for cell in strategies if (*cell.pair, cell.budget) in lacking]
        return len(unsure) <= MOST and all(
            self._undecided(left, cells) for left in _left_of(strategies, unsure)
        )

    def _lacking(self) -> Collection[tuple[str, str, Budget]]:
        """View, strategy and budget of which some fit or inner fold has no result, or none yet."""
        found = set()
        for task in self._tasks:
            record = self._records.get(self._setup.key(task))
            if record is None or record.failed:
                found.add((task.view, task.strategy, task.budget))
        return found

    def _undecided(self, strategies: Sequence[Cell], cells: Sequence[Cell]) -> bool:
        """Whether the outcome is "undecided" for sure where these strategies have results to the end."""
        controls = {id(c): c for cell in strategies for c in controls_for(cell, cells)}
        if not controls:
            return True
        transfer = choose(strategies)
        picked = list(transfer.picks.values())
        met = {id(c) for cell in picked for c in controls_for(cell, cells)}
        return surely_undecided(
            [
                [a.correct.mean() - b.correct.mean() for a, b in zip(transfer.draws, c.draws, strict=True)]
                for c in controls.values()
            ],
            len(self.seeds) - self._whole,
            counts=[key in met and not _says(c) for key, c in controls.items()],
            missing=bool(missing_controls(self._setup, [cell.view for cell in picked], cells)),
        )


def _left_of(strategies: Sequence[Cell], unsure: Sequence[Cell]) -> Iterator[list[Cell]]:
    """Every set of strategies that may be left at the end, in their order; all of them first."""
    for failed in range(len(unsure) + 1):
        for gone in combinations(unsure, failed):
            yield [cell for cell in strategies if cell not in gone]


def _says(control: Cell) -> bool:
    """Whether it tells how its training ended; then it may yet be set aside."""
    return any("under_trained" in record.facts for record in control.records.values())


def surely_undecided(
    differences: Sequence[Values], left: int, *, counts: Sequence[bool], missing: bool = False
) -> bool:
    """Whether no completion of the draws has another outcome than "undecided".

    Args:
        differences: for each control, the differences of accuracy of the draws that are known, 2 or more.
        left: how many draws are not; with them there are at most ``FEW_DRAWS``.
        counts: whether each control is sure to count in the end.
        missing: whether a control that is met has no result: then the outcome is "negative" or "undecided".

    >>> surely_undecided([[0.1, -0.1, 0.05, -0.1]], 1, counts=[True])
    True
    >>> surely_undecided([[0.1, 0.1, 0.1, 0.12]], 1, counts=[True])
    False
    """
    known = [np.asarray(values, dtype=np.float64) for values in differences]
    if any(2 * _least_p(-values, left) < ALPHA for values in known):
        return False
    if missing:
        return True
    sure = [values for values, counted in zip(known, counts, strict=True) if counted]
    no_gain = any(2 * _least_p(values, left) >= ALPHA for values in sure)
    maybe_lost = any(_least_p(values, left, shift=MARGIN) >= ALPHA for values in sure)
    return no_gain and (maybe_lost or all(_too_wide(values, left) for values in known))


def _least_p(values: npt.NDArray[np.float64], left: int, *, shift: float = 0.0) -> float:
    """The smallest one-sided p-value that the mean is not above ``-shift``, over all completions."""
    w = values + shift
    total, squares, draws = float(w.sum()), float(w @ w), len(w) + left
    best = min(1 + shift, max(shift - 1, squares / total)) if total > 0 else 1 + shift
    mean = (total + left * best) / draws
    if mean <= 0:
        return 0.5
    variance = (squares + left * best**2 - draws * mean**2) / (draws - 1)
    return 0.0 if variance <= 0 else upper_tail(mean / (variance / draws) ** 0.5, draws - 1)


def _too_wide(values: npt.NDArray[np.float64], left: int) -> bool:
    """Whether the draws vary too much for a difference that is surely within the margin on both sides."""
    draws = len(values) + left
    least = float(((values - values.mean()) ** 2).sum()) / ((draws - 1) * draws)
    return bool(quantile(draws - 1, 1 - 2 * ALPHA) * least**0.5 >= MARGIN)
