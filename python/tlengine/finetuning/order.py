"""Which rows a step sees, and as which views: functions of (seed, epoch, row) alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tlengine.plugins.contracts import Rows

__all__ = ["Order", "seed_for"]


def seed_for(*words: int | str) -> int:
    """A seed (63 bits) that depends on all words and their order.

    >>> seed_for(0, "head") == seed_for(0, "head"), seed_for(0, 1) == seed_for(1, 0)
    (True, False)
    """
    import hashlib

    digest = hashlib.blake2b("\0".join(map(str, words)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


@dataclass(frozen=True, kw_only=True)
class Order:
    """All epochs in a row, cut into steps of equal size: a step may see the end of one epoch and the next.

    Attributes:
        rows: how many.
        batch: rows a step, at most ``rows``.
        seed: of the fit.
        views: how many views a row has; None for another one in each epoch; 0 for the row as it is.

    >>> order = Order(rows=5, batch=2, seed=0, views=None)
    >>> sorted(np.concatenate([order.step(s)[0] for s in range(5)]).tolist())
    [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    """

    rows: int
    batch: int
    seed: int
    views: int | None = 0

    def step(self, step: int) -> tuple[Rows, Rows]:
        """(batch,) row numbers and (batch,) view numbers; -1 for a row as it is."""
        places = np.arange(step * self.batch, (step + 1) * self.batch)
        epochs = places // self.rows
        rows = np.empty(len(places), dtype=np.intp)
        for epoch in np.unique(epochs):
            order = np.random.default_rng([self.seed, int(epoch)]).permutation(self.rows)
            rows[epochs == epoch] = order[places[epochs == epoch] % self.rows]
        return rows, np.array([self._view(int(e), int(r)) for e, r in zip(epochs, rows, strict=True)])

    def _view(self, epoch: int, row: int) -> int:
        if self.views == 0:
            return -1
        number = seed_for(self.seed, epoch, row, "view")
        return number % self.views if self.views else number
