"""Several tests at once: Holm's procedure (Scandinavian Journal of Statistics 1979)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["holm", "holm_levels"]


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number (Holm), in their order.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    raised = np.asarray(p_values, dtype=np.float64)[order] * np.arange(len(order), 0, -1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(raised))
    return [float(p) for p in adjusted]


def holm_levels(p_values: Sequence[float], alpha: float = 0.05) -> list[float]:
    """The level at which Holm's procedure decided each comparison, in their order.

    The k-th smallest of m p-values is held against alpha / (m - k + 1), until one is not below; those after
    it are decided by it. An interval at that level (:func:`.paired.interval_at`) leaves 0 out where, and only
    where, the comparison is significant.

    >>> [round(level, 4) for level in holm_levels([0.01, 0.04, 0.03])]
    [0.9833, 0.975, 0.975]
    """
    order = np.argsort(p_values, kind="stable")
    limits = alpha / np.arange(len(order), 0, -1)
    missed = np.flatnonzero(np.asarray(p_values)[order] >= limits)
    if len(missed):
        limits[missed[0] :] = limits[missed[0]]
    levels = np.empty(len(order))
    levels[order] = 1.0 - limits
    return [float(level) for level in levels]
