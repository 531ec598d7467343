"""The fits of a run document, and what they told of themselves: a plugin may tell anything, or nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = ["Fit", "curve_of", "fits_of", "mean_of", "notes_of", "number_of", "rates_of", "told"]

Fit = Mapping[str, Any]


def fits_of(document: Mapping[str, Any]) -> dict[tuple[str, str, Any], list[Fit]]:
    """(backbone, strategy, budget) -> its fits."""
    found: dict[tuple[str, str, Any], list[Fit]] = {}
    for fit in document["fits"]:
        found.setdefault((fit["backbone"], fit["strategy"], fit["budget"]), []).append(fit)
    return found


def mean_of(fits: Sequence[Fit], name: str) -> float | None:
    """Of a number of the fits themselves, where it is known; None where it is nowhere."""
    known = [float(fit[name]) for fit in fits if fit.get(name) is not None]
    return sum(known) / len(known) if known else None


def told(fit: Fit, name: str) -> Any:
    """A fact of a fit; None where it told none of the name.

    >>> told({"facts": {"block": "blocks.6"}}, "block"), told({}, "block")
    ('blocks.6', None)
    """
    return fit.get("facts", {}).get(name)


def number_of(fit: Fit, name: str) -> float | None:
    """A fact that is a finite number; None where it is not.

    >>> number_of({"facts": {"drift": 0.5}}, "drift"), number_of({"facts": {"drift": "far"}}, "drift")
    (0.5, None)
    """
    return _number(told(fit, name))


def curve_of(fit: Fit) -> list[tuple[float, float]]:
    """Steps and training losses; empty where they are not told, or are not finite numbers.

    >>> curve_of({"facts": {"curve": [[1, 2.0], [2, 1.5]]}}), curve_of({"facts": {"curve": [[1, None]]}})
    ([(1.0, 2.0), (2.0, 1.5)], [])
    """
    found = told(fit, "curve")
    return list(_pairs(found)) if isinstance(found, list) else []


def _pairs(entries: Sequence[Any]) -> Iterator[tuple[float, float]]:
    for entry in entries:
        values = [_number(value) for value in entry] if isinstance(entry, list) and len(entry) == 2 else []
        if len(values) == 2 and values[0] is not None and values[1] is not None:
            yield values[0], values[1]


def rates_of(fit: Fit) -> list[tuple[float, float | None]]:
    """Learning rates that were tried, and the loss of each; None for one that is not finite."""
    found = told(fit, "tried")
    entries = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    known = [(_number(one.get("rate")), _number(one.get("loss"))) for one in entries]
    return [(rate, loss) for rate, loss in known if rate is not None]


def notes_of(fit: Fit) -> list[str]:
    """Sentences for the user."""
    found = told(fit, "notes")
    return [note for note in found if isinstance(note, str)] if isinstance(found, list) else []


def _number(value: Any) -> float | None:
    known = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if known else None
