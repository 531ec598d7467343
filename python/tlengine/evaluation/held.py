"""What the rows that a fit held out say: how to calibrate its scores, and how well it did."""

from __future__ import annotations

from tlengine.plugins.contracts import Codes, HeldOut, Kind, Matrix, Scores
from tlengine.statistics import calibrate, log_loss, probabilities

__all__ = ["calibrated", "shown"]


def calibrated(
    kind: Kind,
    held_out: Scores | Matrix | None,
    codes: Codes,
    *,
    labels: int,
    classes: int,
    beside: tuple[Scores | Matrix, Codes] | None = None,
) -> tuple[float, HeldOut | None]:
    """The parameter that turns scores into probabilities, and what the rows held out show with it.

    Args:
        kind: of the scores.
        held_out: (h, K) scores of the rows held out; None where there are none.
        codes: (h,) their classes.
        labels: how many labels the fit used.
        classes: how many classes the run has.
        beside: scores and classes of rows that the user set apart to calibrate by; they alone calibrate.

    >>> import numpy as np
    >>> scores = np.array([[9.0, 0], [9, 0], [9, 0], [9, 0]])
    >>> value, held = calibrated("logits", scores, np.array([0, 0, 0, 1]), labels=8, classes=2)
    >>> held.rows, held.accuracy, round(held.log_loss, 2)
    (4, 0.75, 0.58)
    """
    none = held_out is None or not len(held_out)
    rows, by = beside if beside is not None else (None if none else held_out, codes)
    value = calibrate(kind, rows, by, labels=labels, classes=classes)
    if none:
        return value, None
    assert held_out is not None
    return value, shown(kind, held_out, codes, value)


def shown(kind: Kind, held_out: Scores | Matrix, codes: Codes, value: float) -> HeldOut:
    """What rows held out, (h, K) with their classes (h,), show of a fit that is calibrated by ``value``."""
    proba = probabilities(kind, held_out, value)
    accuracy = float((proba.argmax(axis=1) == codes).mean())
    return HeldOut(rows=len(codes), accuracy=accuracy, log_loss=log_loss(codes, proba))
