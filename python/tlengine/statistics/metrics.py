"""What is measured on test rows, and what each row adds to it.

A metric is a :class:`~tlengine.plugins.records.MetricSpec`. Its influence function says what each row adds to
the metric's deviation, to first order, and adds up to 0; the intervals are made of it. Where a metric brings
none, units are left out one at a time (:func:`jackknife`), or block by block where there are many.

A metric that compares rows with one another is scored within each fold, since models of different folds are
not on one scale, and averaged with the rows of the folds as weights; a fold where it is not defined is left
out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.errors import InputError
from tlengine.plugins.records import MetricSpec
from tlengine.statistics import ranking
from tlengine.statistics.calibration import LEAST, log_loss
from tlengine.statistics.calibration_error import ece_null, expected_calibration_error
from tlengine.statistics.outcomes import Outcome

__all__ = ["ACCURACY", "BALANCED_ACCURACY", "METRICS", "blocks", "influence", "jackknife", "score", "scores"]

FloatArray = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]
TOP = 5
NULL_DRAWS = 199
"""Sets of labels that a calibrated model's calibration error is drawn from."""
BLOCKS = 200
"""So many calls of a metric without an influence function are enough for its variance."""


def _hits(codes: Codes, proba: FloatArray) -> FloatArray:
    return np.asarray(proba.argmax(axis=1) == codes, dtype=np.float64)


def _top_hits(codes: Codes, proba: FloatArray) -> FloatArray:
    """1.0 where fewer than five classes come before the true one: more probable, or equal and earlier."""
    own = proba[np.arange(len(codes)), codes][:, None]
    earlier = np.arange(proba.shape[1]) < codes[:, None]
    before = (proba > own) | ((proba == own) & earlier)
    return np.asarray(before.sum(axis=1) < TOP, dtype=np.float64)


def _losses(codes: Codes, proba: FloatArray) -> FloatArray:
    return -np.log(np.maximum(proba[np.arange(len(codes)), codes], LEAST))


def _squares(codes: Codes, proba: FloatArray) -> FloatArray:
    return np.asarray(((proba - np.eye(proba.shape[1])[codes]) ** 2).sum(axis=1))


def _deviations(values: FloatArray) -> FloatArray:
    """What each row adds to the deviation of a mean."""
    return np.asarray((values - values.mean()) / len(values))


def _recalls(codes: Codes, hits: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(K,) recall of each class, 0 where it does not occur, and (K,) how often it does."""
    counts = np.bincount(codes).astype(np.float64)
    found = np.bincount(codes, weights=hits)
    return np.divide(found, counts, out=np.zeros(len(counts)), where=counts > 0), counts


def _balanced(codes: Codes, proba: FloatArray) -> float:
    recall, counts = _recalls(codes, _hits(codes, proba))
    return float(recall[counts > 0].mean())


def _balanced_influence(codes: Codes, proba: FloatArray) -> FloatArray:
    hits = _hits(codes, proba)
    recall, counts = _recalls(codes, hits)
    return np.asarray((hits - recall[codes]) / (counts[codes] * (counts > 0).sum()))


def _f1_parts(codes: Codes, proba: FloatArray) -> tuple[Codes, FloatArray, FloatArray]:
    """Predictions, F1 of each class, and how often it is true plus how often predicted."""
    predicted, n_classes = proba.argmax(axis=1), proba.shape[1]
    both = np.bincount(codes[predicted == codes], minlength=n_classes)
    either = np.asarray(
        np.bincount(codes, minlength=n_classes) + np.bincount(predicted, minlength=n_classes), float
    )
    return (
        np.asarray(predicted),
        np.divide(2.0 * both, either, out=np.zeros(n_classes), where=either > 0),
        either,
    )


def _macro_f1(codes: Codes, proba: FloatArray) -> float:
    _, f1, either = _f1_parts(codes, proba)
    return float(f1[either > 0].mean())


def _macro_f1_influence(codes: Codes, proba: FloatArray) -> FloatArray:
    """By the delta method: F1 = 2 A / (B + C), shares of rows that are right, predicted so, and so."""
    predicted, f1, either = _f1_parts(codes, proba)
    rate = np.divide(f1, either, out=np.zeros(len(f1)), where=either > 0)
    gain = np.divide(2.0, either, out=np.zeros(len(f1)), where=either > 0)
    each = gain[codes] * (predicted == codes) - rate[codes] - rate[predicted]
    return np.asarray(each / (either > 0).sum())


def _ece_null(
    codes: Sequence[Codes], proba: Sequence[FloatArray], rows: Sequence[Codes], units: Codes
) -> dict[str, Any]:
    return asdict(ece_null(codes, proba, rows=rows, units=units, draws=NULL_DRAWS))


METRICS: Mapping[str, MetricSpec] = {
    spec.name: spec
    for spec in (
        MetricSpec(
            name="accuracy",
            made_of="rows",
            score=lambda codes, proba: float(_hits(codes, proba).mean()),
            influence=lambda codes, proba: _deviations(_hits(codes, proba)),
            share="rows",
            percent=True,
            description="share of rows whose most probable class is the true one",
        ),
        MetricSpec(
            name="balanced_accuracy",
            score=_balanced,
            influence=_balanced_influence,
            decisions="prior_free",
            share="classes",
            label="balanced accuracy",
            percent=True,
            description="mean recall of the classes, decided as if all were equally frequent",
        ),
        MetricSpec(
            name="log_loss",
            made_of="rows",
            score=log_loss,
            greater_is_better=False,
            influence=lambda codes, proba: _deviations(_losses(codes, proba)),
            limits=(0.0, float("inf")),
            label="log-loss",
            description="minus the logarithm of the true class's probability, in nats",
        ),
        MetricSpec(
            name="ece",
            made_of="rows",
            score=expected_calibration_error,
            greater_is_better=False,
            interval=False,
            limits=(0.0, 1.0),
            null=_ece_null,
            label="calibration error",
            description="gap between confidence and accuracy over 15 bins; biased upward, see its null",
        ),
        MetricSpec(
            name="macro_f1",
            score=_macro_f1,
            influence=_macro_f1_influence,
            limits=(0.0, 1.0),
            label="macro F1",
            percent=True,
            description="mean over classes of the harmonic mean of precision and recall",
        ),
        MetricSpec(
            name="auroc",
            made_of="ranks",
            score=ranking.auroc,
            influence=ranking.auroc_influence,
            limits=(0.0, 1.0),
            label="AUROC",
            description="area under the ROC curve, each class against the rest, mean over classes",
        ),
        MetricSpec(
            name="average_precision",
            made_of="ranks",
            score=ranking.average_precision,
            influence=ranking.average_precision_influence,
            limits=(0.0, 1.0),
            label="average precision",
            description="average precision, each class against the rest, mean over classes",
        ),
        MetricSpec(
            name="top5",
            made_of="rows",
            score=lambda codes, proba: float(_top_hits(codes, proba).mean()),
            influence=lambda codes, proba: _deviations(_top_hits(codes, proba)),
            share="rows",
            label="in the top 5",
            percent=True,
            description="share of rows whose true class is among the five most probable",
        ),
        MetricSpec(
            name="brier",
            made_of="rows",
            score=lambda codes, proba: float(_squares(codes, proba).mean()),
            greater_is_better=False,
            influence=lambda codes, proba: _deviations(_squares(codes, proba)),
            limits=(0.0, 2.0),
            label="Brier score",
            description="squared distance of the probabilities from the truth, summed over classes",
        ),
    )
}
"""The metrics of tlengine, by name; a plugin's come through the hook ``tlengine_metrics``."""

ACCURACY = METRICS["accuracy"]
BALANCED_ACCURACY = METRICS["balanced_accuracy"]


def score(metric: MetricSpec, outcome: Outcome) -> float:
    """A metric of one outcome.

    Raises:
        InputError: it is not defined for these rows (``auroc`` of one class, say): NaN or infinite.

    >>> o = Outcome.of(np.array([0, 1]), np.array([0, 1]), np.array([[0.9, 0.1], [0.8, 0.2]]), counts=[1, 1])
    >>> score(ACCURACY, o)
    0.5
    """
    value = _value(metric, outcome.truth, outcome.seen_as(metric.decisions), outcome.fold)
    if not np.isfinite(value):
        raise InputError(
            f"{metric.name} is {value} on {len(outcome.rows)} test rows of "
            f"{len(np.unique(outcome.truth))} classes",
            hint="leave this metric out, or bring test rows of more classes",
        )
    return value


def scores(outcome: Outcome, metrics: Mapping[str, MetricSpec] = METRICS) -> dict[str, float]:
    """All metrics of one outcome, by name.

    Raises:
        InputError: as in :func:`score`.
    """
    return {name: score(metric, outcome) for name, metric in metrics.items()}


def influence(metric: MetricSpec, outcome: Outcome, units: Codes) -> FloatArray:
    """What each test row adds to the deviation of a metric, to first order; adds up to 0.

    Args:
        metric: whose influence function is used; without one, :func:`jackknife`.
        outcome: m test rows.
        units: (n,) the unit of every row of the data set.
    """
    proba = outcome.seen_as(metric.decisions)
    if metric.influence is None:
        return jackknife(metric, outcome.truth, proba, units[outcome.rows], fold=outcome.fold)
    each = np.zeros(len(outcome.rows))
    for kept, weight in _folds(metric, outcome.truth, proba, outcome.fold):
        own = metric.influence(_frozen(outcome.truth[kept]), _frozen(proba[kept]))
        each[kept] = weight * np.asarray(own, dtype=np.float64)
    return each


def _frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """What a metric is given, which it cannot change."""
    view = array.view()
    view.flags.writeable = False
    return view


def _score(metric: MetricSpec, codes: Codes, proba: FloatArray) -> float:
    return float(metric.score(_frozen(codes), _frozen(proba)))


def _or_nan(metric: MetricSpec, codes: Codes, proba: FloatArray) -> float:
    """NaN where it raises, as a plugin's may for rows of one class."""
    try:
        return _score(metric, codes, proba)
    except Exception:
        return float("nan")


def _folds(
    metric: MetricSpec, codes: Codes, proba: FloatArray, fold: Codes
) -> list[tuple[npt.NDArray[np.bool_], float]]:
    """The parts that are scored, as rows, each with its weight: all rows where they are on one scale."""
    every = [fold == f for f in np.unique(fold)]
    if metric.made_of != "ranks" or len(every) == 1:
        return [(np.ones(len(codes), dtype=bool), 1.0)]
    defined = [kept for kept in every if np.isfinite(_or_nan(metric, codes[kept], proba[kept]))]
    rows = sum(int(kept.sum()) for kept in defined)
    return [(kept, float(kept.sum()) / rows) for kept in defined]


def _value(metric: MetricSpec, codes: Codes, proba: FloatArray, fold: Codes) -> float:
    parts = _folds(metric, codes, proba, fold)
    if not parts:
        return float("nan")
    return sum(weight * _score(metric, codes[kept], proba[kept]) for kept, weight in parts)


def blocks(units: Codes, rows: Codes) -> Codes:
    """(n,) units as they are left out together: at most ``BLOCKS``, of units that are far apart.

    Args:
        units: (n,) the unit of every row of the data set.
        rows: those that are tested.
    """
    tested = np.unique(units[rows])
    if len(tested) <= BLOCKS:
        return units
    block = np.zeros(int(units.max()) + 1, dtype=np.intp)
    block[np.random.default_rng(0).permutation(tested)] = np.arange(len(tested)) % BLOCKS
    return block[units]


def jackknife(
    metric: MetricSpec, codes: Codes, proba: FloatArray, units: Codes, *, fold: Codes | None = None
) -> FloatArray:
    """Influence by leaving out one unit at a time, shared equally by the unit's rows.

    Miller, "The jackknife - a review", Biometrika 1974. It costs one call of the metric a unit: make
    :func:`blocks` where there are many.

    Args:
        metric: any.
        codes: (m,) true classes.
        proba: (m, K) probabilities.
        units: (m,) the unit of each of these rows.
        fold: (m,) the fold of each; default: one.

    Returns:
        (m,) influences; NaN where the metric is not defined, or fails, without some unit.

    >>> codes, proba = np.array([0, 0, 1, 1]), np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.4, 0.6]])
    >>> jackknife(METRICS["accuracy"], codes, proba, np.arange(4)).round(3).tolist()
    [0.062, -0.188, 0.062, 0.062]
    """
    fold = np.zeros(len(codes), dtype=np.intp) if fold is None else fold
    whole = _value(metric, codes, proba, fold)
    _, unit = np.unique(units, return_inverse=True)
    size = np.bincount(unit)
    if len(size) == 1:
        return np.zeros(len(codes))
    change = np.array([whole - _without(metric, codes, proba, fold, unit == u) for u in range(len(size))])
    shares = size / len(codes)
    each = change * (1.0 - shares)
    each -= shares * each.sum()
    return np.asarray((each / size)[unit])


def _without(metric: MetricSpec, codes: Codes, proba: FloatArray, fold: Codes, left_out: Codes) -> float:
    """The metric of the other rows; NaN where it raises, as a plugin's may for rows of one class."""
    kept = ~left_out
    try:
        return _value(metric, codes[kept], proba[kept], fold[kept])
    except Exception:
        return float("nan")
