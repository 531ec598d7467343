"""Prevalidated ridge regression: the instant probe with probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator

from tlengine.data.folds import inner_folds
from tlengine.errors import InputError
from tlengine.probes.bases import LinearClassifierMixin
from tlengine.probes.inputs import TrainingSet, check_positive, training_set
from tlengine.probes.paths import FOLDS, check_groups
from tlengine.probes.persistence import PretrainedMixin
from tlengine.probes.ridge import signs, solve_classifier
from tlengine.probes.weights import ClassWeight

__all__ = ["PreValProbe"]

Pairs = list[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]

_ALPHAS = tuple(float(alpha) for alpha in np.logspace(-3, 3, 10))
_BYTES = 256 << 20
_SCALES = (1e-6, 1e6)


class PreValProbe(PretrainedMixin, LinearClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Ridge regression whose logits are scaled to the least log-loss of its leave-one-out predictions.

    Dempster, Webb & Schmidt, *Prevalidated ridge regression is a highly-efficient drop-in replacement for
    logistic regression for high-dimensional data* (2024), arXiv 2401.15610. Ridge regression on +1/-1
    targets, one column per class, from one factorisation for all alphas; the exact leave-one-out predictions
    come with it. With m the mean of the targets and f the prediction beyond it, the probabilities are
    ``softmax(m + f / temperature)``; for every alpha the temperature minimises the log-loss of the
    leave-one-out predictions (a convex problem in one number), and the alpha with the least log-loss wins.

    There is no ``sample_weight``: leaving out a row of weight 2 is not leaving out one of two equal rows.

    Args:
        alphas: penalties to choose from, 0 or more.
        class_weight: None, ``"balanced"`` or {label: weight}, in the ridge and in the log-loss.
        fit_intercept: whether there is an intercept; without it m is zero.
        n_jobs: threads; None is ``TLENGINE_NUM_THREADS`` or every core. Results do not depend on it.

    Attributes:
        alpha_, temperature_: what was chosen. ``alphas_``: (n_alphas,).
        scores_: (n_alphas,) minus the log-loss of the leave-one-out predictions, each at its temperature.
        classes_: (K,). ``coef_``: (K, d), or (1, d) for two classes, in the dtype of X; ``intercept_``: (K,),
            or (1,), float64: scaled, so that ``decision_function`` gives logits.

    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> probe = PreValProbe().fit(X[:1000], y[:1000])
    >>> probe.predict_proba(X[1000:]).shape, round(probe.score(X[1000:], y[1000:]), 2)
    ((797, 10), 0.9)
    """

    _tensors: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "coef_": ("columns", "features"),
        "intercept_": ("columns",),
        "alphas_": ("alphas",),
        "scores_": ("alphas",),
    }
    _scalars: ClassVar[tuple[str, ...]] = ("alpha_", "temperature_")

    def __init__(
        self,
        alphas: npt.ArrayLike = _ALPHAS,
        *,
        class_weight: ClassWeight = None,
        fit_intercept: bool = True,
        n_jobs: int | None = None,
    ) -> None:
        self.alphas = alphas
        self.class_weight = class_weight
        self.fit_intercept = fit_intercept
        self.n_jobs = n_jobs

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike, groups: npt.ArrayLike | None = None) -> Self:
        """Solves every alpha and its temperature.

        Args:
            X: (n, d) features. Memory: O(d^2), and the leave-one-out predictions (n, K) of as
                many alphas as fit into 256 MB, at least one.
            y: (n,) class labels.
            groups: (n,) rows of one group (a person, copies of one sample) do not vouch for each other:
                5 folds of whole groups stand in for leaving out one row. None: every row is a group.

        Raises:
            InputError: no class has two groups.
            NonFiniteError, LabelError, SingleClassError, InputError: see :mod:`tlengine.errors`.
        """
        alphas = check_positive("alpha", self.alphas, zero=True)
        train = training_set(self, X, y, None)
        weight = train.weight(self.class_weight)
        used = np.flatnonzero(weight)
        goal, share = signs(train)[:, used], weight[used] / weight.sum()
        centre = goal @ share if self.fit_intercept else np.zeros(len(goal))
        pairs = _folds(train, used, groups)
        group = max(1, _BYTES // goal.nbytes)
        fits = [
            fit
            for first in range(0, len(alphas), group)
            for fit in self._fits(train, alphas[first : first + group], weight, used, centre, share, pairs)
        ]
        losses = np.array([loss for loss, *_ in fits])
        ties = np.flatnonzero(losses <= losses.min() + 1e-12)
        best = int(ties[np.argmax(alphas[ties])])
        _, scale, coef, intercept = fits[best]
        self.classes_, self.alphas_, self.scores_ = train.classes, alphas, -losses
        self.alpha_, self.temperature_ = float(alphas[best]), 1 / scale
        # A column of two classes stands for itself and its negative: their logits differ by twice its own.
        twice = 2.0 if len(goal) == 1 else 1.0
        self.coef_ = (twice * scale * coef).astype(coef.dtype)
        self.intercept_ = twice * (scale * (intercept - centre) + centre)
        return self

    def _fits(
        self,
        train: TrainingSet,
        alphas: npt.NDArray[np.float64],
        weight: npt.NDArray[np.float64],
        used: npt.NDArray[np.intp],
        centre: npt.NDArray[np.float64],
        share: npt.NDArray[np.float64],
        pairs: Pairs | None,
    ) -> list[tuple[float, float, npt.NDArray[Any], npt.NDArray[np.float64]]]:
        """Log-loss, scale, coefficients and intercepts for each alpha."""
        found = solve_classifier(
            train, alphas, weight, fit_intercept=self.fit_intercept, n_jobs=self.n_jobs,
            leave_one_out=pairs is None, predictions=pairs is None,
        )  # fmt: skip
        if pairs is None:
            predictions = found["prediction"]
        else:
            predictions = self._by_folds(train, alphas, used, pairs)
            held = np.sort(np.concatenate([held for _, held in pairs]))
            predictions, used, share = predictions[:, :, held], used[held], share[held] / share[held].sum()
        fits, scale = [], 1.0
        for i in range(len(alphas)):
            moves = predictions[i] - centre[:, None]
            base = centre
            if len(centre) == 1:
                moves, base = np.stack([-moves[0], moves[0]]), np.array([-centre[0], centre[0]])
            scale, loss = fit_scale(moves.T, base, train.labels[used], share, start=scale)
            fits.append((loss, scale, found["coef"][i].copy(), found["intercept"][i]))
        return fits

    def _by_folds(
        self,
        train: TrainingSet,
        alphas: npt.NDArray[np.float64],
        used: npt.NDArray[np.intp],
        pairs: Pairs,
    ) -> npt.NDArray[np.float64]:
        """Predictions (n_alphas, K, rows used) by the fit that held a row out; 0 where none did."""
        columns = 1 if len(train.classes) == 2 else len(train.classes)
        found = np.zeros((len(alphas), columns, len(used)))
        for fit, held in pairs:
            weight = train.weight(self.class_weight, used[fit])
            part = solve_classifier(
                train, alphas, weight, fit_intercept=self.fit_intercept, n_jobs=self.n_jobs
            )
            found[:, :, held] = part["coef"] @ train.X[used[held]].T + part["intercept"][:, :, None]
        return found

    def predict_proba(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """Class probabilities: (n, K), rows sum to 1."""
        from scipy.special import expit, softmax

        scores = self.decision_function(X)
        if scores.ndim == 1:
            return np.stack([expit(-scores), expit(scores)], axis=1)
        return np.asarray(softmax(scores, axis=1))


def _folds(train: TrainingSet, used: npt.NDArray[np.intp], groups: npt.ArrayLike | None) -> Pairs | None:
    """Folds of whole groups among the rows used; None where every row is a group."""
    if groups is None:
        return None
    check_groups(groups, train.labels)
    own = np.unique(np.asarray(groups)[used], return_inverse=True)[1]
    if own.max() == len(own) - 1:
        return None
    pairs = inner_folds(train.labels[used].astype(np.intp), own, FOLDS)
    if not pairs:
        raise InputError("no class has two groups, so nothing can be held out", hint="fit RidgeProbe instead")
    return pairs


def fit_scale(
    moves: npt.NDArray[np.float64],
    base: npt.NDArray[np.float64],
    labels: npt.NDArray[np.uint32],
    share: npt.NDArray[np.float64],
    *,
    start: float = 1.0,
) -> tuple[float, float]:
    """The c from 1e-6 to 1e6 of least log-loss of ``softmax(base + c * moves)``, and that log-loss.

    The log-loss is convex in c: Newton's method on its derivative, kept inside a bracket by bisection of
    log c.

    Args:
        moves: (n, K).
        base: (K,).
        labels: (n,) classes.
        share: (n,) weights that sum to 1.
        start: where to begin.

    >>> moves, labels = np.array([[1.0, -1], [1, -1], [-1, 1], [1, -1]]), np.array([0, 0, 1, 1])
    >>> scale, loss = fit_scale(moves, np.zeros(2), labels, np.full(4, 0.25))
    >>> round(float(1 / (1 + np.exp(-2 * scale))), 6)  # right three times of four
    0.75
    """
    own = moves[np.arange(len(moves)), labels]
    low, high = _SCALES
    scale = min(max(start, low), high)
    for _ in range(60):
        logits = base + scale * moves
        top = logits.max(axis=1, keepdims=True)
        p = np.exp(logits - top)
        total = p.sum(axis=1)
        p /= total[:, None]
        mean = np.einsum("ik,ik->i", p, moves)
        slope = share @ (mean - own)
        low, high = (scale, high) if slope < 0 else (low, scale)
        curvature = share @ (np.einsum("ik,ik,ik->i", p, moves, moves) - mean**2)
        following = scale - slope / curvature if curvature > 0 else low
        if not low < following < high:
            following = float(np.sqrt(low * high))
        if abs(following - scale) <= 1e-9 * scale:
            break
        scale = following
    loss = share @ (np.log(total) + top[:, 0] - (base[labels] + scale * own))
    return float(scale), float(loss)
