"""Budgets: how many labels for each class a strategy may use, all of them.

Draws are nested: the rows of a small budget are rows of every larger one of the same seed, so that a
label-efficiency curve compares like with like.

>>> import numpy as np
>>> y = np.repeat([0, 1], 20)
>>> [(d.budget, d.labels) for d in draw_budgets(y, np.arange(40), [5, 10, "all"], seed=0)]
[(5, 10), (10, 20), ('all', 40)]
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.data.folds import turns
from tlengine.errors import InputError
from tlengine.plugins.contracts import Budget

__all__ = ["DEFAULT_BUDGETS", "Budget", "Draw", "draw_budgets", "fitting_budgets", "parse_budgets"]

Rows = npt.NDArray[np.intp]

DEFAULT_BUDGETS: tuple[Budget, ...] = (5, 10, 25, 50, 100, "all")


@dataclass(frozen=True, kw_only=True, eq=False)
class Draw:
    """The rows that one budget allows.

    Attributes:
        budget: labels per class, or ``"all"``.
        rows: (m,) sorted row numbers; a class with fewer rows than the budget gives all it has.
    """

    budget: Budget
    rows: Rows

    @property
    def labels(self) -> int:
        """How many labels the draw uses."""
        return len(self.rows)


def parse_budgets(budgets: Iterable[int | str]) -> tuple[Budget, ...]:
    """Budgets in ascending order without repeats, ``"all"`` last.

    Raises:
        InputError: a budget that is neither ``"all"`` nor a whole number from 1 on, or no budget.

    >>> parse_budgets(["all", "20", 5, 5])
    (5, 20, 'all')
    """
    parsed = {_parse(budget) for budget in budgets}
    if not parsed:
        raise InputError("no budget given", hint="for instance 5,20,all")
    numbers: list[Budget] = sorted(b for b in parsed if b != "all")
    return (*numbers, "all") if "all" in parsed else tuple(numbers)


def _parse(budget: int | str) -> Budget:
    text = str(budget).strip().lower()
    if text == "all":
        return "all"
    if isinstance(budget, bool) or not text.removeprefix("-").isdecimal() or int(text) < 1:
        raise InputError(f"budget {text!r} is not a number of labels", hint="use 1 or more, or 'all'")
    return int(text)


def draw_budgets(
    y: npt.NDArray[Any], rows: npt.ArrayLike, budgets: Sequence[Budget], seed: int
) -> list[Draw]:
    """Nested stratified draws from the training rows of one resample, one for each budget.

    Args:
        y: (n,) labels of the dataset.
        rows: (m,) row numbers of the training part.
        budgets: as :func:`parse_budgets` returns them.
        seed: decides which rows come first.
    """
    train = np.asarray(rows, dtype=np.intp)
    turn = turns(np.unique(y[train], return_inverse=True)[1], np.random.default_rng([seed, 1]))
    return [
        Draw(budget=budget, rows=np.sort(train if budget == "all" else train[turn < budget]))
        for budget in budgets
    ]


def fitting_budgets(
    y: npt.NDArray[Any], parts: Iterable[npt.ArrayLike], budgets: Sequence[Budget]
) -> tuple[Budget, ...]:
    """The budgets that differ from ``"all"``: those that the largest class of each training part exceeds.

    >>> import numpy as np
    >>> fitting_budgets(np.repeat([0, 1], 20), [np.arange(40)], [5, 10, 25, "all"])
    (5, 10, 'all')
    """
    most = min(int(np.unique(y[np.asarray(part)], return_counts=True)[1].max()) for part in parts)
    return tuple(budget for budget in budgets if budget == "all" or budget < most)
