"""Strategies by similarity: nearest neighbours and class means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tlengine.evaluation.strategies.base import Candidate, Tuned, pad
from tlengine.plugins.contracts import Codes, Kind, Matrix, Rows, Scores, View
from tlengine.statistics import log_loss

__all__ = ["CentroidStrategy", "NeighborsStrategy"]


class NeighborsStrategy(Tuned):
    """The vote of the nearest neighbours by cosine, weighted as in DINO (arXiv 2104.14294), smoothed."""

    kind: Kind = "votes"
    reading = "predict_proba"

    def candidates(self, view: View, fewest: int) -> list[Candidate]:
        """Temperatures of the weights, and numbers of neighbours as far as there are so many."""
        ks = sorted({min(k, fewest) for k in (1, 3, 5, 10, 20, 50, 100)})
        return [{"temperature": t, "k": k} for t in (0.02, 0.07, 0.3) for k in ks]

    def default(self, view: View, rows: int) -> Candidate:
        """The nearest alone."""
        return {"temperature": 0.07, "k": 1}

    def make(self, **candidate: Any) -> Any:
        """An unfitted classifier."""
        from tlengine.probes import KNeighborsProbe

        return KNeighborsProbe(**candidate, metric="cosine")

    def held_scores(
        self, view: View, rows: Rows, held: Rows, candidates: Sequence[Candidate]
    ) -> tuple[Kind, Scores]:
        """All candidates from one search."""
        from tlengine.probes import neighbor_votes

        known, compact = np.unique(view.codes(rows), return_inverse=True)
        ks = sorted({c["k"] for c in candidates})
        temperatures = sorted({c["temperature"] for c in candidates})
        found = neighbor_votes(
            view.features(held), view.features(rows), compact, k=ks, temperature=temperatures
        ).proba
        flat = found.reshape(len(candidates), *found.shape[2:])
        return "votes", pad(flat, known, view.classes)

    def losses(self, kind: Kind, scores: Matrix, codes: Codes, labels: int) -> list[float]:
        """Of the votes as they are: each has its own least share."""
        return [log_loss(codes, np.where(np.isfinite(each), each, 0.0)) for each in scores]


class CentroidStrategy(Tuned):
    """The nearest class mean; probabilities by a temperature."""

    prior_free = True

    def candidates(self, view: View, fewest: int) -> list[Candidate]:
        """Both ways to be near."""
        return [{"metric": "cosine"}, {"metric": "euclidean"}]

    def make(self, **candidate: Any) -> Any:
        """An unfitted classifier."""
        from tlengine.probes import NearestCentroidProbe

        return NearestCentroidProbe(**candidate)
