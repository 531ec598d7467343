"""Intervals and paired tests over resamples *and* test samples.

A test row appears under several seeds, and a seed tests many rows, so neither is independent of the others.
The variance of an estimate is therefore clustered both ways (Cameron, Gelbach & Miller, "Robust Inference
With Multiway Clustering", JBES 2011): by unit (a row, or the rows of one group or content) and by seed.
Quantiles are Student's, with Satterthwaite's degrees of freedom. Two guards hold where few rows leave no
visible variance: proportions get Wilson's interval at their effective sample size, and a paired difference
has at least the standard error of Agresti & Min (Statistics in Medicine 2005).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tlengine.evaluation.metrics import Outcome, influence

__all__ = ["Estimate", "PairedTest", "estimate", "holm", "paired_test"]

FloatArray = npt.NDArray[np.float64]
Units = npt.NDArray[np.intp]
LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A metric averaged over seeds, with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class PairedTest:
    """The difference in accuracy to a control on the same test rows, its 95 % interval and two-sided p-value.

    ``se`` is the standard error and ``df`` its degrees of freedom.
    """

    effect: float
    low: float
    high: float
    p_value: float
    se: float
    df: float


@dataclass(frozen=True)
class _Spread:
    variance: float
    df: float


def estimate(metric: str, seeds: Sequence[Outcome], units: Units) -> Estimate:
    """A metric over all seeds, with its interval.

    Args:
        metric: one of ``METRICS``.
        seeds: the outcome of each seed, its folds pooled.
        units: (n,) the unit of every row of the dataset.

    >>> import numpy as np
    >>> right = Outcome.of(np.arange(20), np.zeros(20, int), np.tile([0.9, 0.1], (20, 1)))
    >>> e = estimate("accuracy", [right], np.arange(20))
    >>> round(e.value, 3), round(e.low, 2), e.high
    (1.0, 0.82, 1.0)
    """
    found = [influence(metric, outcome) for outcome in seeds]
    values = np.array([value for value, _ in found])
    value = float(values.mean())
    spread = _two_way([each for _, each in found], values, [units[o.rows] for o in seeds])
    if metric in ("accuracy", "balanced_accuracy"):
        return _wilson(value, spread, _sample_size(metric, seeds, units))
    reach = _quantile(spread.df) * spread.variance**0.5
    top = 1.0 if metric == "ece" else np.inf
    return Estimate(value=value, low=max(0.0, value - reach), high=min(top, value + reach))


def _two_way(contributions: list[FloatArray], values: FloatArray, units: list[Units]) -> _Spread:
    """Variance of the mean over seeds, clustered by unit and by seed.

    V = V_unit + V_seed - V_both, never below V_unit: with few seeds the difference of the last two is noisy.
    """
    n_seeds = len(values)
    each = np.concatenate(contributions) / n_seeds
    _, unit = np.unique(np.concatenate(units), return_inverse=True)
    n_units = int(unit.max()) + 1
    by_unit = float((np.bincount(unit, weights=each) ** 2).sum()) * n_units / max(1, n_units - 1)
    if n_seeds == 1:
        return _Spread(by_unit, max(1, n_units - 1))
    both = sum(
        float((np.bincount(u, weights=c / n_seeds) ** 2).sum())
        for u, c in zip(units, contributions, strict=True)
    )
    extra = max(0.0, float(values.var(ddof=1)) / n_seeds - both)
    variance = by_unit + extra
    spread = by_unit**2 / max(1, n_units - 1) + extra**2 / (n_seeds - 1)
    return _Spread(variance, variance**2 / spread if spread else n_units - 1)


def _quantile(df: float, level: float = LEVEL) -> float:
    from scipy.stats import t

    return float(t.ppf(0.5 + level / 2, df))


def _sample_size(metric: str, seeds: Sequence[Outcome], units: Units) -> float:
    """The most independent observations there can be: units, harmonically over classes when balanced."""
    rows, at = np.unique(np.concatenate([o.rows for o in seeds]), return_index=True)
    if metric == "accuracy":
        return float(len(np.unique(units[rows])))
    truth = np.concatenate([o.truth for o in seeds])[at]
    counts = np.array([len(np.unique(units[rows[truth == c]])) for c in np.unique(truth)])
    return float(len(counts) ** 2 / (1.0 / counts).sum())


def _wilson(p: float, spread: _Spread, most: float) -> Estimate:
    n = min(most, p * (1 - p) / spread.variance) if spread.variance > 0 else most
    z2 = _quantile(spread.df) ** 2
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    reach = (z2 * (p * (1 - p) / n + z2 / (4 * n * n))) ** 0.5 / (1 + z2 / n)
    return Estimate(value=p, low=max(0.0, min(p, centre - reach)), high=min(1.0, max(p, centre + reach)))


def paired_test(strategy: Sequence[Outcome], control: Sequence[Outcome], units: Units) -> PairedTest:
    """Compare the accuracy of a strategy with its control, row by row.

    Args:
        strategy: the outcome of each seed, its folds pooled.
        control: likewise, for the same rows.
        units: (n,) the unit of every row of the dataset.
    """
    from scipy.stats import t

    differences = [_aligned(a, b) for a, b in zip(strategy, control, strict=True)]
    values = np.array([d.mean() for d in differences])
    effect = float(values.mean())
    centred = [(d - m) / len(d) for d, m in zip(differences, values, strict=True)]
    spread = _two_way(centred, values, [units[np.sort(o.rows)] for o in strategy])
    rows = np.unique(np.concatenate([o.rows for o in strategy]))
    floor = _agresti_min(np.concatenate(differences), len(np.unique(units[rows])))
    se = max(spread.variance, floor) ** 0.5
    reach = _quantile(spread.df) * se
    return PairedTest(
        effect=effect,
        low=max(-1.0, effect - reach),
        high=min(1.0, effect + reach),
        p_value=float(2 * t.sf(abs(effect) / se, spread.df)),
        se=se,
        df=spread.df,
    )


def _aligned(a: Outcome, b: Outcome) -> FloatArray:
    """Differences of correctness in the order of the rows."""
    by_a, by_b = np.argsort(a.rows), np.argsort(b.rows)
    if not np.array_equal(a.rows[by_a], b.rows[by_b]):
        raise ValueError("a paired test needs the same test rows on both sides")
    return a.correct[by_a] - b.correct[by_b]


def _agresti_min(difference: FloatArray, n: int) -> float:
    """Variance of a difference of matched proportions with half a pair added to each cell."""
    wins, losses = n * float((difference > 0).mean()), n * float((difference < 0).mean())
    return (wins + losses + 1 - (wins - losses) ** 2 / (n + 2)) / (n + 2) ** 2


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number (Holm 1979).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    m = len(p_values)
    raised = np.asarray(p_values)[order] * np.arange(m, 0, -1)
    adjusted = np.empty(m)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(raised))
    return [round(float(p), 12) for p in adjusted]
