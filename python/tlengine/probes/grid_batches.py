"""In which order the jobs of a grid are done, and how many at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy.typing as npt

from tlengine.probes.grid_jobs import Draws, Key
from tlengine.probes.grid_targets import Target

__all__ = ["LOSS", "Costs", "Pace", "batches", "smallest_first"]

LOSS = 0.5
"""Seconds that a batch should take: what is lost where it is cut short."""
_BYTES = 256 << 20
_JOBS = 64
_GROWTH = 4.0
_TEST = 1 / 16
"""A solution takes some twenty passes, each of two products; its test takes one product."""
_LOGIT = 12
"""A logit of four bytes, stacked, and its exponential."""


class Costs:
    """What a job takes in time and memory, by the shape of its data.

    Args:
        arrays: features by name.
        targets: by name.
        draws: by target.
        solutions: how many each job has: values of C on all rows and in each fold.
        reported: how many of them are tested.
    """

    def __init__(
        self,
        arrays: Mapping[str, npt.NDArray[Any]],
        targets: Mapping[str, Target],
        draws: Mapping[str, Draws],
        solutions: int = 1,
        reported: int = 1,
    ) -> None:
        self._arrays, self._targets, self._draws = arrays, targets, draws
        self._solutions, self._reported = solutions, reported

    def of(self, key: Key) -> float:
        """Products for a pass over the training rows of all solutions, and for the test."""
        draws, columns = self._draws[key.target], self._targets[key.target].columns
        rows = draws.most(key.budget) * self._solutions + draws.tested * self._reported * _TEST
        return float(rows * self._arrays[key.features].shape[1] * columns)

    def size(self, key: Key) -> int:
        """Bytes of its training rows, and of the logits of its test rows in all their copies."""
        draws, columns = self._draws[key.target], self._targets[key.target].columns
        logits = draws.tested * max(columns, 2) * self._reported * _LOGIT
        return draws.most(key.budget) * int(self._arrays[key.features][:1].nbytes) + logits


class Pace:
    """Seconds for a product, from the batches that were done in this call.

    Before the first a product counts as 2 ns, and a batch may cost four times the largest so far.
    """

    def __init__(self) -> None:
        self._each, self._largest = 2e-9, LOSS / 2e-9 / 8

    def seconds(self, cost: float) -> float:
        """What a job or a batch will take."""
        return cost * self._each

    def most(self) -> float:
        """What a batch of several jobs may cost."""
        return min(LOSS / self._each, _GROWTH * self._largest)

    def told(self, cost: float, seconds: float) -> None:
        """A batch took so long. Geometric means: one odd batch counts little."""
        if cost > 0:
            each = max(seconds, 1e-6) / cost
            self._each = math.sqrt(self._each * each)
            self._largest = max(self._largest, cost)


def smallest_first(keys: Sequence[Key], arrays: Mapping[str, npt.NDArray[Any]]) -> list[Key]:
    """Small budgets first, over all features and targets; within a budget seed by seed.

    So the features that share a draw follow each other, those of one dtype together: the core solves these
    in one call.

    >>> import numpy as np
    >>> from itertools import product
    >>> keys = [Key(*place) for place in product("ab", "y", [0], [5, "all"])]
    >>> [key.features + str(key.budget) for key in smallest_first(keys, {"a": np.eye(2), "b": np.eye(2)})]
    ['a5', 'b5', 'aall', 'ball']
    """

    def place(at: int) -> tuple[Any, ...]:
        key = keys[at]
        size = math.inf if key.budget == "all" else int(key.budget)
        return size, arrays[key.features].dtype.str, key.target, key.seed, at

    return [keys[at] for at in sorted(range(len(keys)), key=place)]


def batches(
    keys: Sequence[Key],
    kind: Callable[[Key], Any],
    costs: Costs,
    pace: Pace,
    jobs: int = _JOBS,
) -> Iterator[list[Key]]:
    """The keys in batches of one kind that are over in :data:`LOSS` seconds; a larger job has its own.

    Args:
        keys: in order.
        kind: what the jobs of a batch have in common.
        costs: of each.
        pace: asked anew for each batch.
        jobs: at the most.
    """
    start = 0
    while start < len(keys):
        most, cost, size, end = pace.most(), 0.0, 0, start
        for key in islice(keys, start, start + jobs):
            cost, size = cost + costs.of(key), size + costs.size(key)
            if end > start and (cost > most or size > _BYTES or kind(key) != kind(keys[start])):
                break
            end += 1
        yield list(keys[start:end])
        start = end
