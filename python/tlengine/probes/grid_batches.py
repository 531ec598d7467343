"""In which order the jobs of a grid are done, and how many at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from tlengine.probes.grid_jobs import Draws, Key
from tlengine.probes.grid_targets import Target
from tlengine.probes.sparse import entries, is_sparse

__all__ = ["LONGEST", "LOSS", "Costs", "Pace", "batches", "smallest_first"]

LOSS = 0.5
"""Seconds that a batch of quick jobs should take: what is lost where it is cut short."""
LONGEST = 1.5
"""Seconds of one thread up to which a job is solved beside others, one on each thread."""
_BYTES = 256 << 20
_JOBS = 64
_GROWTH = 4.0
_TEST = 1 / 16
"""A solution takes some twenty passes, each of two products; its test takes one product."""
_INDEX = 4
"""Bytes beside each entry of a sparse row."""
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
        arrays: Mapping[str, Any],
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
        return rows * entries(self._arrays[key.features]) * columns

    def size(self, key: Key) -> int:
        """Bytes of its training rows, and of the logits of its test rows in all their copies."""
        draws, columns = self._draws[key.target], self._targets[key.target].columns
        logits = draws.tested * max(columns, 2) * self._reported * _LOGIT
        X = self._arrays[key.features]
        each = X.dtype.itemsize + (_INDEX if is_sparse(X) else 0)
        return int(draws.most(key.budget) * entries(X) * each) + logits


class Pace:
    """Seconds that one thread takes for a product, from the batches that were done in this call.

    The threads take a job each where there are as many jobs, and share one that is alone, well or badly: the
    time of a job alone bounds what one thread takes from both sides. Before the first batch a product counts
    as 2 ns, and a batch of several jobs may cost four times the largest so far.

    Args:
        threads: that solve a batch.
    """

    def __init__(self, threads: int = 1) -> None:
        self.threads, self._each, self._largest = threads, 2e-9, LOSS / 2e-9 / 8

    def seconds(self, cost: float, jobs: int = 1) -> float:
        """What jobs of this cost will take, at the most."""
        return cost * self._each / min(jobs, self.threads)

    def allows(self, cost: float, largest: float, jobs: int) -> bool:
        """Whether so many jobs may be a batch: all are done soon, or each thread has one that is.

        Args:
            cost: of all.
            largest: the cost of the largest.
            jobs: how many, two at least.
        """
        if self.seconds(largest) > LONGEST or cost > _GROWTH * self.threads * self._largest:
            return False
        return jobs <= self.threads or self.seconds(cost, jobs) <= LOSS

    def told(self, cost: float, jobs: int, seconds: float) -> None:
        """A batch took so long. Geometric means: one odd batch counts little."""
        if cost <= 0:
            return
        least = max(seconds, 1e-6) / cost
        most = least * self.threads
        measured = most if jobs >= self.threads else min(max(self._each, least), most)
        self._each = math.sqrt(self._each * measured)
        self._largest = max(self._largest, cost / self.threads)


def smallest_first(keys: Sequence[Key], arrays: Mapping[str, Any]) -> list[Key]:
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
    """The keys in batches of one kind that are soon over; a large job has its own.

    Args:
        keys: in order.
        kind: what the jobs of a batch have in common.
        costs: of each.
        pace: asked anew for each batch.
        jobs: at the most.
    """
    start, threads = 0, pace.threads
    most = 1 if jobs == 1 else max(jobs, threads)
    while start < len(keys):
        cost, largest, size, count = 0.0, 0.0, 0, 0
        for key in islice(keys, start, start + most):
            each = costs.of(key)
            cost, largest, size = cost + each, max(largest, each), size + costs.size(key)
            fits = size <= _BYTES and pace.allows(cost, largest, count + 1)
            if count and not (fits and kind(key) == kind(keys[start])):
                break
            count += 1
        if count > threads and start + count < len(keys):
            count -= count % threads  # no thread waits for another's last job
        yield list(keys[start : start + count])
        start += count
