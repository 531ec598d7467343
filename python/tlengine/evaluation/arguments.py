"""What users pass to ``compare`` and ``finetune``, checked before anything is done."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from tlengine.errors import InputError
from tlengine.evaluation.participants import listed

__all__ = ["EXTRACTION", "check_out", "minutes_of", "names_of_metrics", "seed_of", "seeds_of"]

EXTRACTION = ("device", "batch_size", "workers", "precision", "max_pixels", "strict")
"""Options of :func:`tlengine.extract` that are passed on to it."""
MOST_SEEDS = 10_000
METRICS = ("accuracy", "balanced_accuracy", "log_loss", "ece")
"""What a verdict needs, always measured."""


def names_of_metrics(names: Sequence[str] | str | None) -> list[str]:
    """The metrics that are always measured and those that are asked for.

    Raises:
        InputError: something that is no name.

    >>> names_of_metrics("macro_f1")
    ['accuracy', 'balanced_accuracy', 'log_loss', 'ece', 'macro_f1']
    """
    asked = [] if names is None else listed(names)
    if strange := [name for name in asked if not isinstance(name, str)]:
        raise InputError(
            f"a metric is a {type(strange[0]).__name__}, no name", hint="for instance metrics=['macro_f1']"
        )
    return list(dict.fromkeys([*METRICS, *asked]))


def seeds_of(seeds: Any) -> int:
    """How many seeds.

    Raises:
        InputError: no whole number, or one below 1.
    """
    if not _is_whole(seeds) or not 1 <= seeds <= MOST_SEEDS:
        raise InputError(
            f"{seeds!r:.40} seeds; at least 1 is needed, a whole number up to {MOST_SEEDS:,}",
            hint="5 is the default",
        )
    return int(seeds)


def seed_of(seed: Any) -> int:
    """A seed.

    Raises:
        InputError: no whole number, or one below 0.
    """
    if not _is_whole(seed) or not 0 <= seed < 2**31:
        raise InputError(f"seed {seed!r:.40}", hint="a whole number from 0 on")
    return int(seed)


def _is_whole(number: Any) -> bool:
    return isinstance(number, int | np.integer) and not isinstance(number, bool)


def minutes_of(minutes: Any) -> float | None:
    """A limit of time; None for no limit.

    Raises:
        InputError: no number above 0.
    """
    if minutes is None:
        return None
    number = isinstance(minutes, int | float | np.number) and not isinstance(minutes, bool)
    if not number or not 0 < minutes < np.inf:
        raise InputError(f"max_minutes={minutes!r:.40}", hint="use a number above 0, or None for no limit")
    return float(minutes)


def check_out(out: Any) -> None:
    """Refuse what is no path; None keeps nothing.

    Raises:
        InputError: another thing.
    """
    if not isinstance(out, str | os.PathLike | None):
        raise InputError(f"out is a {type(out).__name__}, no path", hint="pass the path of a folder")
