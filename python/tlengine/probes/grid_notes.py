"""What a grid has to say at its end: one warning for each thing, however many jobs it happened to."""

from __future__ import annotations

import sys
import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.errors import GridEdgeWarning, RareClassWarning, ScoringWarning, TimeLimitWarning
from tlengine.probes.grid_jobs import Key, where
from tlengine.probes.scoring import Scores

__all__ = ["Note", "Notes", "say", "warn_of_edges", "warn_of_end"]

Note = dict[str, dict[str, Any]]
"""What is to be said of one job, in JSON's types: under ``"rare"`` labels; under ``"scorers"`` why a scorer
gave no number, a reason for each record; under ``"absent"`` the classes that a scorer left out; under
``"one"`` the one class of all rows that judged C; under ``"own"`` why a probe has no accuracy and log-loss;
under ``"fits"``, by category, how many warnings and the first."""

_MANY = 0.25
"""The share of records from which on a chosen C at the edge of the grid is said."""
_SHOWN = 8


class Notes:
    """Collected while jobs run, on any thread, each thing of a job once, however often it is told."""

    def __init__(self) -> None:
        self._of: dict[Key, Note] = defaultdict(dict)

    def rare(self, key: Key, labels: Iterable[Any]) -> None:
        """Labels that a part did not learn, so that they do not count there."""
        self._of[key].setdefault("rare", {}).update(dict.fromkeys(map(str, labels), True))

    def one_class(self, key: Key, label: Any) -> None:
        """All held-out rows of a job are of one class."""
        self._of[key].setdefault("one", {})[str(label)] = True

    def scored(self, key: Key, scorer: str, scores: Scores) -> None:
        """A scorer gave no number for some records, or one without the classes that no test row has."""
        if scores.reasons:
            self._of[key].setdefault("scorers", {})[scorer] = list(scores.reasons.values())
        if scores.partial:
            self._of[key].setdefault("absent", {})[scorer] = list(map(repr, scores.absent))

    def unjudged(self, key: Key, probe: str, reason: str) -> None:
        """A probe could not be judged by accuracy and log-loss, beside the scorers that were asked for."""
        self._of[key]["own"] = {probe: reason}

    def warned(self, key: Key, caught: Iterable[warnings.WarningMessage]) -> None:
        """A fit gave warnings."""
        fits: dict[str, Any] = {}
        for one in caught:
            name = f"{one.category.__module__}:{one.category.__qualname__}"
            count, first = fits.get(name, (0, str(one.message)))
            fits[name] = [count + 1, first]
        if fits:
            self._of[key]["fits"] = fits

    def of(self, key: Key) -> Note:
        """What was told of a job."""
        return self._of.get(key, {})


def say(notes: Mapping[Key, Note], stacklevel: int) -> None:
    """One warning for each target with rare labels, scorer without a number, and kind of warning.

    Args:
        notes: of all jobs, in the order of their records.
        stacklevel: of the warnings.
    """
    rare: dict[str, dict[str, bool]] = defaultdict(dict)
    scorers: dict[str, list[str]] = defaultdict(list)
    absent: dict[str, list[str]] = defaultdict(list)
    fits: dict[str, tuple[int, str]] = {}
    for key, note in notes.items():
        rare[key.target] |= note.get("rare", {})
        for scorer, reasons in note.get("scorers", {}).items():
            scorers[scorer] += [f"{where(key)}: {reason}" for reason in reasons]
        for scorer, labels in note.get("absent", {}).items():
            absent[scorer].append(f"{where(key)}: {', '.join(labels[:_SHOWN])}")
        for category, (more, text) in note.get("fits", {}).items():
            count, first = fits.get(category, (0, f"{where(key)}: {text}"))
            fits[category] = count + more, first
    for target, labels in rare.items():
        _say_rare(target, list(labels), stacklevel + 1)
    _say_one_class(notes, stacklevel + 1)
    for scorer, reasons in scorers.items():
        text = f"scoring {scorer!r} is NaN in {len(reasons)} records; first {reasons[0]}"
        warnings.warn(text, ScoringWarning, stacklevel)
    for scorer, jobs in absent.items():
        text = f"needs test rows of every class; in {len(jobs)} probes it leaves out those without one"
        warnings.warn(f"scoring {scorer!r} {text}; first {jobs[0]}", ScoringWarning, stacklevel)
    _say_unjudged(notes, stacklevel + 1)
    for category, (count, first) in fits.items():
        if _category(category) is GridEdgeWarning and count < _MANY * len(notes):
            continue
        warnings.warn(f"{count} warnings of fits; first {first}", _category(category), stacklevel)


def _say_rare(target: str, labels: Sequence[str], stacklevel: int) -> None:
    if labels:
        shown = ", ".join(labels[:_SHOWN]) + (", ..." if len(labels) > _SHOWN else "")
        warnings.warn(
            f"target {target!r}: {len(labels)} labels that all rows of some training part have, or none, "
            f"do not count in what is judged by it: {shown}",
            RareClassWarning,
            stacklevel,
        )


def _say_one_class(notes: Mapping[Key, Note], stacklevel: int) -> None:
    ones = [f"{where(key)}: {next(iter(note['one']))}" for key, note in notes.items() if "one" in note]
    if ones:
        text = "C was chosen by held-out rows of one class alone, which say nothing about the others, in"
        warnings.warn(f"{text} {len(ones)} probes; first {ones[0]}", RareClassWarning, stacklevel)


def _say_unjudged(notes: Mapping[Key, Note], stacklevel: int) -> None:
    own = [(key, *next(iter(note["own"].items()))) for key, note in notes.items() if "own" in note]
    if own:
        key, probe, reason = own[0]
        text = f"accuracy and log-loss of {probe} are NaN in {len(own)} records; first {where(key)}: {reason}"
        warnings.warn(text, ScoringWarning, stacklevel)


def _category(name: str) -> type[Warning]:
    """The kind of warning of this name, where its module is loaded; a ``UserWarning`` else."""
    module, _, kind = name.partition(":")
    found = getattr(sys.modules.get(module), kind, None)
    return found if isinstance(found, type) and issubclass(found, Warning) else UserWarning


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


def warn_of_end(done: int, asked: int, stacklevel: int) -> None:
    """Say that a callback ended the grid before all was done, where it did."""
    if done < asked:
        warnings.warn(
            f"the grid was ended after {done} of {asked} probes; take it up with resume=",
            TimeLimitWarning,
            stacklevel,
        )
