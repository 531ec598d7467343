"""The shortest way to a strategy: one function that learns from rows and returns a function that scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tlengine.errors import InputError
from tlengine.plugins.contracts import Fitted, Job, Kind, Roles, Rows, Scores, View

__all__ = ["Scorer", "SimpleStrategy"]

Scorer = Callable[[View, Rows], Scores]
"""Takes a view and m of its rows, returns scores (m, K), ``-inf`` for classes that were not learnt."""


class SimpleStrategy:
    """A strategy of which :meth:`learn` alone is to be written; override what else is otherwise.

    ``learn`` is called for the rows to fit, and for those of every inner fold, so that there are held-out
    scores to calibrate by and to be chosen by. It cannot be saved.

    Attributes:
        reads, seeded, prior_free: as in :class:`~.contracts.Strategy`; by default features, not seeded, and
            scores that follow the class shares.
        scores: the kind of scores that are returned, as in :class:`~.contracts.Fitted`; by default logits.
    """

    reads: Literal["features", "contents"] = "features"
    scores: Literal["logits", "votes"] = "logits"
    seeded: bool = False
    prior_free: bool = False

    def learn(self, view: View, rows: Rows, seed: int) -> Scorer:
        """Learn from ``rows``, whose labels are ``view.codes(rows)``; return what scores others."""
        raise NotImplementedError(f"{type(self).__name__} is to have a method learn(view, rows, seed)")

    def settings(self) -> Mapping[str, Any]:
        """The attributes that were set on it, such as the fields of a dataclass."""
        return dict(vars(self))

    def fit(self, view: View, roles: Roles, *, seed: int, folder: Path | None = None) -> Fitted:
        """Learn from the training rows, and from each inner fold what the others are scored by."""
        held = [self._learn(view, rows, seed)(view, others.copy()) for rows, others in roles.inner]
        return _Learnt(
            kind=self.scores,
            scorer=self._learn(view, roles.train, seed),
            held_out=np.concatenate(held) if held else None,
        )

    def _learn(self, view: View, rows: Rows, seed: int) -> Scorer:
        """The rows are the author's own, to shuffle as a training loop does."""
        return self.learn(view, rows.copy(), seed)

    def fit_many(self, jobs: Sequence[Job]) -> Iterable[Fitted]:
        """One after the other."""
        for job in jobs:
            yield self.fit(job.view, job.roles, seed=job.seed, folder=job.folder)


@dataclass(kw_only=True, eq=False)
class _Learnt:
    kind: Kind
    scorer: Scorer
    held_out: Scores | None
    chosen: Mapping[str, Any] = field(default_factory=dict)
    converged: bool = True
    flops: float | None = None
    nbytes: int | None = None

    def scores(self, view: View, rows: Rows) -> Scores:
        return np.asarray(self.scorer(view, rows), dtype=np.float64)

    def estimator(self, view: View, rows: Rows, labels: npt.NDArray[Any]) -> Any:
        raise InputError(
            "a simple strategy cannot be kept", hint="return a Fitted with an estimator of its own"
        )
