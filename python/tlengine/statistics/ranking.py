"""Metrics of order: each class against the rest, averaged over the classes that are there to be told apart.

Ties count as half a win (``auroc``) or share one threshold (``average_precision``), as in scikit-learn. Where
no class has both members and others among the rows, the value is NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

__all__ = ["auroc", "auroc_influence", "average_precision", "average_precision_influence"]

FloatArray = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]
Part = Callable[[Flags, FloatArray], tuple[float, FloatArray]]


def auroc(codes: Codes, proba: FloatArray) -> float:
    """Area under the ROC curve: how often a member of a class gets more of it than another row.

    >>> auroc(np.array([0, 1, 1]), np.array([[0.6, 0.4], [0.6, 0.4], [0.1, 0.9]]))
    0.75
    """
    return _mean_value(_delong, codes, proba)


def auroc_influence(codes: Codes, proba: FloatArray) -> FloatArray:
    """What each row adds: its placement among the others (DeLong et al., Biometrics 1988)."""
    return _mean_influence(_delong, codes, proba)


def average_precision(codes: Codes, proba: FloatArray) -> float:
    """Precision at the threshold of each member of a class, averaged.

    >>> average_precision(np.array([0, 1]), np.array([[0.6, 0.4], [0.1, 0.9]]))
    1.0
    """
    return _mean_value(_precision, codes, proba)


def average_precision_influence(codes: Codes, proba: FloatArray) -> FloatArray:
    """What each row adds, by the delta method."""
    return _mean_influence(_precision, codes, proba)


def _parts(part: Part, codes: Codes, proba: FloatArray) -> Iterator[tuple[float, FloatArray]]:
    for k in np.unique(codes):
        member = codes == k
        if not member.all():
            yield part(member, proba[:, k])


def _mean_value(part: Part, codes: Codes, proba: FloatArray) -> float:
    values = [value for value, _ in _parts(part, codes, proba)]
    return float(np.mean(values)) if values else float("nan")


def _mean_influence(part: Part, codes: Codes, proba: FloatArray) -> FloatArray:
    each = [influence for _, influence in _parts(part, codes, proba)]
    return np.asarray(np.mean(each, axis=0)) if each else np.zeros(len(codes))


def _delong(member: Flags, score: FloatArray) -> tuple[float, FloatArray]:
    """The area, and placements minus the area over how many rows are on the same side.

    Members alone are sorted: ``low`` of them are below another row, and ``high`` not above it. That row is
    below the member at ``first`` (of equals) where ``high <= first``, and tied or below where ``low`` is.
    """
    order = np.argsort(score[member], kind="stable")
    members, others = score[member][order], score[~member]
    n, m = len(members), len(others)
    low = np.searchsorted(members, others, side="left")
    high = np.searchsorted(members, others, side="right")
    first = np.searchsorted(members, members, side="left")
    below, tied_or_below = (np.cumsum(np.bincount(at, minlength=n + 1))[first] for at in (high, low))
    wins = (below + tied_or_below) / (2 * m)
    area = float(wins.mean())
    won = np.empty(n)
    won[order] = wins
    each = np.empty(len(score))
    each[member], each[~member] = (won - area) / n, (1.0 - (low + high) / (2 * n) - area) / m
    return area, each


def _precision(member: Flags, score: FloatArray) -> tuple[float, FloatArray]:
    """AP = E[y A / B] / E[y], where A and B are the shares of members and of rows scored as high.

    Varying the distribution towards row j adds y A/B of j itself, what j adds as a member to the A of the
    members at or below it, and takes away what it adds to their B.
    """
    n = len(score)
    _, tied = np.unique(-score, return_inverse=True)
    rows = np.cumsum(np.bincount(tied)) / n
    members = np.bincount(tied, weights=member)
    found = np.cumsum(members) / n
    precision = found / rows
    share = members.sum() / n
    value = float((members * precision).sum() / n / share)
    as_member = np.cumsum((members / n / rows)[::-1])[::-1][tied]
    as_row = np.cumsum((members / n * precision / rows)[::-1])[::-1][tied]
    total = member * (precision[tied] + as_member) - as_row - value * share
    return value, np.asarray((total - value * (member - share)) / share / n)
