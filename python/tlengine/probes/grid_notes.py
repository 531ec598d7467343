"""What a grid has to say at its end: one warning for each thing, however many jobs it happened to."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.errors import GridEdgeWarning, RareClassWarning, ScoringWarning

__all__ = ["Notes", "warn_of_edges"]

_MANY = 0.25
"""The share of records from which on a chosen C at the edge of the grid is said."""
_SHOWN = 8


class Notes:
    """Collected while jobs run, on any thread; said by :meth:`say`."""

    def __init__(self) -> None:
        self._rare: dict[str, dict[Any, None]] = defaultdict(dict)
        self._scorers: dict[str, list[str]] = defaultdict(list)
        self._warned: dict[type[Warning], list[str]] = defaultdict(list)

    def rare(self, target: str, labels: Iterable[Any]) -> None:
        """Labels that a part did not learn, so that they do not count there."""
        self._rare[target].update(dict.fromkeys(labels))

    def no_score(self, scorer: str, where: str, reason: str) -> None:
        """A scorer gave no number."""
        self._scorers[scorer].append(f"{where}: {reason}")

    def warned(self, caught: Iterable[warnings.WarningMessage], where: str) -> None:
        """A fit gave warnings."""
        for one in caught:
            self._warned[one.category].append(f"{where}: {one.message}")

    def say(self, stacklevel: int) -> None:
        """One warning for each target with rare labels, scorer without a number, and kind of warning."""
        for target, labels in self._rare.items():
            shown = ", ".join(map(str, list(labels)[:_SHOWN])) + (", ..." if len(labels) > _SHOWN else "")
            warnings.warn(
                f"target {target!r}: {len(labels)} labels that all rows of some training part have, or none, "
                f"do not count in what is judged by it: {shown}",
                RareClassWarning,
                stacklevel,
            )
        for scorer, reasons in self._scorers.items():
            warnings.warn(
                f"scoring {scorer!r} is NaN in {len(reasons)} records; first {reasons[0]}",
                ScoringWarning,
                stacklevel,
            )
        for category, texts in self._warned.items():
            warnings.warn(f"{len(texts)} warnings of fits; first {texts[0]}", category, stacklevel)


def warn_of_edges(edges: Sequence[int], Cs: npt.NDArray[np.float64], stacklevel: int) -> None:
    """Say how often the held-out loss still falls at the edge of the grid, where that is often.

    Args:
        edges: of each job, as :class:`~tlengine.probes.grid_records.Finished` has them.
        Cs: (n_C,).
        stacklevel: of the warning.
    """
    low, high = edges.count(-1), edges.count(1)
    if low + high and low + high >= _MANY * len(edges):
        warnings.warn(
            f"the chosen C is at the edge of the grid in {low + high} of {len(edges)} records, and the "
            f"held-out loss still falls there: {low} at {Cs.min():g}, {high} at {Cs.max():g}; widen Cs",
            GridEdgeWarning,
            stacklevel,
        )
