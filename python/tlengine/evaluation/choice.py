"""Which strategy to use, chosen inside the training part of each resample, so that no test row has a say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tlengine.evaluation.cells import Cell, Place, pooled
from tlengine.statistics import Outcome

__all__ = ["Choice", "choose"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Choice:
    """What cross-validation picks, resample by resample, with one budget.

    Attributes:
        picks: the cell of each resample that says something new.
        judged_only: cells without held-out scores, which could not take part.
        contested: whether in some resample another cell was within a standard error of the best.
    """

    picks: dict[Place, Cell]
    judged_only: tuple[Cell, ...] = ()
    contested: bool = False

    @property
    def counts(self) -> list[tuple[Cell, int]]:
        """Cells by how often they were picked, the most often first."""
        found = Counter(id(cell) for cell in self.picks.values())
        cells = {id(cell): cell for cell in self.picks.values()}
        return [(cells[key], count) for key, count in found.most_common()]

    @property
    def looked(self) -> bool:
        """Whether held-out rows decided; else the first cell is taken everywhere."""
        return all(place in cell.inner for place, cell in self.picks.items())

    @property
    def kept(self) -> Cell:
        """What was picked most often."""
        return self.counts[0][0]

    @cached_property
    def draws(self) -> list[Outcome]:
        """The outcomes of what was picked, one for each distinct draw."""
        cell = self.kept
        outcomes = {place: picked.outcome(place) for place, picked in self.picks.items()}
        return pooled(cell.setup, cell.budget, outcomes)


def choose(cells: Sequence[Cell]) -> Choice:
    """Picks among the cells of one budget.

    Of those whose held-out accuracy is within a standard error of the best, the one with the least held-out
    log-loss. What has no held-out scores in some resample takes no part; where nothing has, the first cell is
    taken everywhere, and where controls alone have them, the first strategy.
    """
    first = cells[0]
    places = [place for place in first.records if place in first.setup.draws(first.budget)]
    able = [cell for cell in cells if all(place in cell.inner for place in places)]
    rest = tuple(cell for cell in cells if cell not in able)
    ours = [cell for cell in cells if cell.role == "strategy"]
    if ours and not any(cell.role == "strategy" for cell in able):
        able, first = [], ours[0]  # controls alone can be chosen: that says nothing of the strategies
    if not able:
        others = tuple(cell for cell in rest if cell is not first)
        return Choice(picks=dict.fromkeys(places, first), judged_only=others)
    close = {place: _close(able, place) for place in places}
    picks = {place: min(found, key=lambda cell: cell.inner[place].log_loss) for place, found in close.items()}
    return Choice(picks=picks, judged_only=rest, contested=any(len(found) > 1 for found in close.values()))


def _close(cells: Sequence[Cell], place: Place) -> list[Cell]:
    """Those whose held-out accuracy is within a standard error of the best."""
    best = max((cell.inner[place] for cell in cells), key=lambda held: held.accuracy)
    error = float(np.sqrt(best.accuracy * (1 - best.accuracy) / best.rows))
    return [cell for cell in cells if cell.inner[place].accuracy >= best.accuracy - error]
