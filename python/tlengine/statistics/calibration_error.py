"""How far confidence is from accuracy, and how far it would be if the probabilities were right.

The error of few rows is biased upward: a perfectly calibrated model shows 9 % on 100 rows and 2 % on 2,000.
So it is shown beside its null, and never compared between sets of different size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["BINS", "EceNull", "confidence_bins", "ece_null", "expected_calibration_error"]

FloatArray = npt.NDArray[np.float64]
GROUPED = "rows share groups, and what a perfect model would show is that of independent rows; no p-value"
BINS = 15
"""Equal-width bins of confidence."""


def expected_calibration_error(codes: npt.ArrayLike, proba: npt.ArrayLike, *, bins: int = BINS) -> float:
    """The gap between confidence and accuracy of the top label, averaged over equal-width bins.

    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017. It is biased upward: see
    :func:`ece_null`.

    Args:
        codes: (n,) true class numbers.
        proba: (n, K) probabilities.
        bins: how many bins of equal width on (0, 1].

    >>> round(expected_calibration_error([0, 1], [[0.8, 0.2], [0.2, 0.8]]), 6)
    0.2
    """
    p = np.asarray(proba, dtype=np.float64)
    confidence = p.max(axis=1)
    surplus = confidence - (p.argmax(axis=1) == np.asarray(codes))
    gaps = np.bincount(confidence_bins(confidence, bins), weights=surplus, minlength=bins)
    return float(np.abs(gaps).sum() / len(p))


def confidence_bins(confidence: npt.ArrayLike, bins: int = BINS) -> npt.NDArray[np.intp]:
    """The number of the equal-width bin (lower, upper] of each confidence.

    >>> confidence_bins([0.5, 0.51, 1.0], bins=2).tolist()
    [0, 1, 1]
    """
    place = np.ceil(np.asarray(confidence, dtype=np.float64) * bins).astype(np.intp) - 1
    return np.clip(place, 0, bins - 1)


@dataclass(frozen=True, kw_only=True)
class EceNull:
    """A calibration error beside what a perfectly calibrated model would show.

    Attributes:
        ece: what was found, averaged over the draws.
        expected, high: the mean and the 95 % upper value if the probabilities were right.
        p_value: how often it would be as large, (1 + #{>=}) / (B + 1). None where rows share a unit: the null
            draws every row by itself, and errors of a group go together, so ``expected`` and ``high`` are
            then those of as many independent rows, and too low.
        reason: why there is no p-value.
    """

    ece: float
    expected: float
    high: float
    p_value: float | None
    reason: str | None = None


def ece_null(
    codes: Sequence[npt.ArrayLike],
    proba: Sequence[npt.ArrayLike],
    *,
    rows: Sequence[npt.NDArray[np.integer[Any]]] | None = None,
    units: npt.NDArray[np.intp] | None = None,
    draws: int = 999,
    seed: int = 0,
    bins: int = BINS,
) -> EceNull:
    """The calibration error that a perfectly calibrated model would show at this many rows.

    Labels are drawn from the probabilities; only whether the top label is right matters, and it is with a
    probability of its confidence. A row that several draws tested has one uniform number for all of them.

    Args:
        codes: for each draw, (m,) true class numbers.
        proba: for each draw, (m, K) probabilities.
        rows: for each draw, (m,) row numbers; None where draws share no row.
        units: (n,) the unit of every row number; default: each row is one.
        draws: how many sets of labels.
        seed: of the labels.
        bins: as in :func:`expected_calibration_error`.

    >>> p = np.tile([0.75, 0.25], (100, 1))
    >>> found = ece_null([np.arange(100) % 4 == 0], [p])
    >>> found.ece, 0.03 < found.expected < 0.04, found.p_value
    (0.0, True, 1.0)
    """
    confidence = [np.asarray(p, dtype=np.float64).max(axis=1) for p in proba]
    place, n_rows = _places([len(c) for c in confidence], rows)
    ece = np.mean([expected_calibration_error(c, p, bins=bins) for c, p in zip(codes, proba, strict=True)])
    rng = np.random.default_rng(seed)
    simulated = np.zeros(draws)
    step = max(1, 2_000_000 // n_rows)
    for start in range(0, draws, step):
        uniform = rng.random((min(step, draws - start), n_rows), dtype=np.float32)
        for c, at in zip(confidence, place, strict=True):
            simulated[start : start + step] += _simulated_ece(c, uniform[:, at], bins)
    simulated /= len(confidence)
    least = float(ece) - 1e-12
    grouped = units is not None and rows is not None and _share_units(units, rows)
    return EceNull(
        ece=float(ece),
        expected=float(simulated.mean()),
        high=float(np.quantile(simulated, 0.95)),
        p_value=None if grouped else float((1 + (simulated >= least).sum()) / (draws + 1)),
        reason=GROUPED if grouped else None,
    )


def _share_units(units: npt.NDArray[np.intp], rows: Sequence[npt.NDArray[np.integer[Any]]]) -> bool:
    tested = np.unique(np.concatenate(rows))
    return len(np.unique(units[tested])) < len(tested)


def _places(
    sizes: Sequence[int], rows: Sequence[npt.NDArray[np.integer[Any]]] | None
) -> tuple[list[npt.NDArray[np.intp]], int]:
    """Where the rows of each draw stand in one list of all rows."""
    if rows is None:
        rows = np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])
    distinct, at = np.unique(np.concatenate(rows), return_inverse=True)
    return np.split(at, np.cumsum(sizes)[:-1]), len(distinct)


def _simulated_ece(confidence: FloatArray, uniform: npt.NDArray[np.float32], bins: int) -> FloatArray:
    """(B,) calibration errors for B rows of uniform numbers (B, m)."""
    order = np.argsort(confidence_bins(confidence, bins), kind="stable")
    starts = np.searchsorted(confidence_bins(confidence, bins)[order], np.arange(bins))
    starts = np.unique(starts[starts < len(order)])
    surplus = confidence[order] - (uniform[:, order] < confidence[order])
    return np.asarray(np.abs(np.add.reduceat(surplus, starts, axis=1)).sum(axis=1) / len(confidence))
