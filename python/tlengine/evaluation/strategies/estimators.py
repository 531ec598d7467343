"""Any scikit-learn classifier as a strategy: what plugins register, and what users pass."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tlengine.documents import plain
from tlengine.evaluation.strategies.base import ArrayFitted, Candidate, Tuned
from tlengine.plugins import ProbeSpec
from tlengine.plugins.contracts import Fitted, Kind, Rows, Scores, View

__all__ = ["EstimatorStrategy", "SavedBySpec"]


class EstimatorStrategy(Tuned):
    """The classifier of a :class:`~tlengine.plugins.ProbeSpec`, its candidates judged by the log-loss.

    What the fitted classifier offers decides what its scores are: probabilities, else decisions, else votes.
    """

    reading = "offered"

    def __init__(self, spec: ProbeSpec) -> None:
        self.spec = spec

    def settings(self) -> Mapping[str, Any]:
        """What the estimator is and what its parameters are, as far as they can be told."""
        made = self.spec.estimator(**self._first())
        parameters = made.get_params(deep=True) if hasattr(made, "get_params") else vars(made)
        kind = type(made)
        told = {name: _told(value) for name, value in sorted(parameters.items())}
        return {"estimator": f"{kind.__module__}.{kind.__qualname__}", "parameters": told}

    def candidates(self, view: View, fewest: int) -> list[Candidate]:
        """Those of the spec."""
        return self.spec.candidates_for(fewest, view.matrix().shape[1], view.scale)

    def make(self, **candidate: Any) -> Any:
        """An unfitted classifier; it is kept as its spec says."""
        return self.spec.estimator(**candidate)

    def finish(self, view: View, rows: Rows, chosen: Candidate, held: Scores | None, kind: Kind) -> Fitted:
        """Fits all training rows; the estimator that is kept knows how to save itself."""
        found = super().finish(view, rows, chosen, held, kind)
        assert isinstance(found, ArrayFitted)
        found.wrap = self._kept
        return found

    def _kept(self, classifier: Any) -> Any:
        from tlengine.probes.persistence import saves_itself

        return classifier if saves_itself(classifier) else SavedBySpec(self.spec, classifier)

    def _first(self) -> Candidate:
        return self.spec.candidates_for(2, 1, 1.0)[0]


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


def _told(value: Any) -> Any:
    """A parameter in plain JSON; an object by its class, for its text may hold an address."""
    if value is None or isinstance(value, str | int | float | bool | np.generic):
        return plain(value)
    if isinstance(value, list | tuple):
        return [_told(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _told(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    kind = value if isinstance(value, type) else type(value)
    return f"{kind.__module__}.{kind.__qualname__}"
