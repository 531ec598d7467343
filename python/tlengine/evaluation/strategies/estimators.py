"""Any scikit-learn classifier as a strategy: what plugins register, and what users pass."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tlengine.evaluation.strategies.base import ArrayFitted, Candidate, Tuned, own_bytes
from tlengine.plugins import ProbeSpec
from tlengine.plugins.contracts import Fitted, Kind, Rows, Scores, View

__all__ = ["EstimatorStrategy", "SavedBySpec"]


_SHAPES = ((2, 1, 1.0), (100, 64, 1.0), (1_000, 512, 2.0))
"""Rows, columns and scales by which a function of candidates is told apart from others, beside its code."""


class EstimatorStrategy(Tuned):
    """The classifier of a :class:`~tlengine.plugins.ProbeSpec`, its candidates judged by the log-loss.

    What the fitted classifier offers decides what its scores are: probabilities, else decisions, else votes.
    A ``random_state`` that was left open is 0, also in the steps of a pipeline, so that the same call gives
    the same numbers.
    """

    reading = "offered"

    def __init__(self, spec: ProbeSpec) -> None:
        self.spec = spec

    @cached_property
    def prior_free(self) -> bool:
        """Whether the classes weigh the same, however many rows each has: ``class_weight="balanced"``."""
        parameters = _parameters(self.make(**self._first()))
        weights = [v for name, v in parameters.items() if name.rpartition("__")[2] == "class_weight"]
        return "balanced" in [weight for weight in weights if isinstance(weight, str)]

    def settings(self) -> Mapping[str, Any]:
        """What makes the estimator, the first that it makes, and the candidates."""
        return {
            "make": self.spec.estimator,
            "estimator": self.make(**self._first()),
            "propose": self.spec.candidates,
            "candidates": [self.spec.candidates_for(*shape) for shape in _SHAPES],
        }

    def candidates(self, view: View, fewest: int) -> list[Candidate]:
        """Those of the spec."""
        return self.spec.candidates_for(fewest, view.matrix().shape[1], view.scale)

    def make(self, **candidate: Any) -> Any:
        """An unfitted classifier; it is kept as its spec says."""
        made = self.spec.estimator(**candidate)
        if hasattr(made, "set_params"):
            names = [name for name in _parameters(made) if name.rpartition("__")[2] == "random_state"]
            made.set_params(**{name: 0 for name in names if _parameters(made)[name] is None})
        return made

    def finish(self, view: View, rows: Rows, chosen: Candidate, held: Scores | None, kind: Kind) -> Fitted:
        """Fits all training rows; the estimator that is kept knows how to save itself."""
        found = super().finish(view, rows, chosen, held, kind)
        assert isinstance(found, ArrayFitted)
        found.wrap = self._kept
        return found

    def nbytes(self, classifier: Any) -> int | None:
        """Bytes of the arrays that are kept, where tlengine or the spec keeps it; else None."""
        found = own_bytes(classifier)
        if found is not None or self.spec.save is None:
            return found
        try:
            arrays, _ = self.spec.save(classifier)
            return sum(np.asarray(array).nbytes for array in arrays.values())
        except KeyboardInterrupt:
            raise
        except BaseException:  # it costs the size alone here; who keeps the model is told why it cannot be
            return None

    def _kept(self, classifier: Any) -> Any:
        from tlengine.probes.persistence import saves_itself

        return classifier if saves_itself(classifier) else SavedBySpec(self.spec, classifier)

    def _first(self) -> Candidate:
        return self.spec.candidates_for(*_SHAPES[0])[0]


def _parameters(made: Any) -> Mapping[str, Any]:
    found: Mapping[str, Any] = made.get_params(deep=True) if hasattr(made, "get_params") else vars(made)
    return found


class SavedBySpec:
    """A fitted classifier of a plugin, kept by what its spec says.

    Args:
        spec: the probe.
        classifier: fitted on the user's labels.
    """

    def __init__(self, spec: ProbeSpec, classifier: Any) -> None:
        self.spec, self.classifier = spec, classifier

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.classifier, name)

    def save_pretrained(
        self, directory: str | os.PathLike[str], *, metadata: Mapping[str, Any] | None = None
    ) -> Path:
        """Write it as its spec says; see :func:`tlengine.probes.save_with`."""
        from tlengine.probes import save_with

        return save_with(self.spec, self.classifier, directory, metadata)
