"""Predictions of the test rows of one draw of training rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tlengine.errors import ShapeMismatchError

__all__ = ["Outcome", "pool"]

FloatArray = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]
Decisions = Literal["natural", "prior_free"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """Predictions for the test rows of one draw, its folds pooled.

    Attributes:
        rows: (m,) row numbers.
        truth: (m,) class numbers.
        proba: (m, K) float32 probabilities, calibrated.
        shares: (f, K) class shares of the rows that were fitted, one line a fold.
        fold: (m,) the line of ``shares`` that belongs to each row.

    >>> o = Outcome.of(np.array([7]), np.array([1]), np.array([[0.6, 0.4]]), counts=[9, 1])
    >>> o.predicted.tolist(), o.prior_free.tolist(), o.balanced.round(2).tolist()
    ([0], [1], [[0.14, 0.86]])
    """

    rows: Codes
    truth: Codes
    proba: npt.NDArray[np.float32]
    shares: FloatArray
    fold: Codes

    @classmethod
    def of(
        cls, rows: Codes, truth: Codes, proba: npt.NDArray[np.floating[Any]], *, counts: npt.ArrayLike
    ) -> Outcome:
        """The outcome of one fit.

        Args:
            rows: (m,) row numbers.
            truth: (m,) class numbers.
            proba: (m, K) probabilities.
            counts: (K,) how many rows of each class were fitted, or their shares.

        Raises:
            ShapeMismatchError: shapes that do not fit together.
        """
        shares = np.asarray(counts, dtype=np.float64)
        if proba.ndim != 2 or not (len(rows) == len(truth) == len(proba)) or len(shares) != proba.shape[1]:
            raise ShapeMismatchError(
                f"{len(rows)} rows, {len(truth)} classes, probabilities {proba.shape}, "
                f"counts of {len(shares)} classes",
                hint="give one probability for each row and each class of the run",
            )
        return cls(
            rows=rows,
            truth=truth,
            proba=np.asarray(proba, dtype=np.float32),
            shares=(shares / shares.sum())[None],
            fold=np.zeros(len(rows), dtype=np.intp),
        )

    @cached_property
    def predicted(self) -> Codes:
        """(m,) the most probable class; the first of equals."""
        return np.asarray(self.proba.argmax(axis=1))

    @property
    def balanced(self) -> FloatArray:
        """(m, K) probabilities if every class were equally frequent: p_k / pi_k, normalised.

        pi are the class shares of the fitted rows (Saerens et al., Neural Computation 2002). A class that was
        not fitted has none, unless the row has nothing else.
        """
        pi = self.shares[self.fold]
        p = np.divide(self.proba, pi, out=np.zeros(pi.shape), where=pi > 0)
        total = p.sum(axis=1, keepdims=True)
        return np.asarray(np.divide(p, total, out=self.proba.astype(np.float64), where=total > 0))

    @cached_property
    def prior_free(self) -> Codes:
        """(m,) decisions argmax p_k / pi_k, which do not follow the class shares of the fitted rows."""
        return np.asarray(self.balanced.argmax(axis=1))

    @property
    def correct(self) -> FloatArray:
        """(m,) 1.0 where the prediction is right."""
        return np.asarray(self.predicted == self.truth, dtype=np.float64)

    def only(self, kept: npt.NDArray[np.bool_]) -> Outcome:
        """The same of some of its rows.

        Args:
            kept: (m,) which.
        """
        return replace(
            self, rows=self.rows[kept], truth=self.truth[kept], proba=self.proba[kept], fold=self.fold[kept]
        )

    def seen_as(self, decisions: Decisions) -> FloatArray:
        """(m, K) the probabilities that a metric of such decisions is given."""
        return self.balanced if decisions == "prior_free" else np.asarray(self.proba, dtype=np.float64)


def pool(outcomes: Sequence[Outcome]) -> Outcome:
    """Several outcomes (the folds of a seed) as one.

    >>> one = Outcome.of(np.array([0]), np.array([0]), np.array([[1.0, 0.0]]), counts=[1, 1])
    >>> pool([one, one]).fold.tolist()
    [0, 1]
    """
    if len(outcomes) == 1:
        return outcomes[0]
    starts = np.cumsum([0, *(len(o.shares) for o in outcomes)])
    return Outcome(
        rows=np.concatenate([o.rows for o in outcomes]),
        truth=np.concatenate([o.truth for o in outcomes]),
        proba=np.concatenate([o.proba for o in outcomes]),
        shares=np.concatenate([o.shares for o in outcomes]),
        fold=np.concatenate([o.fold + start for o, start in zip(outcomes, starts, strict=False)]),
    )
