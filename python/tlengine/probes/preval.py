"""Prevalidated ridge regression: the instant probe with probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator

from tlengine import _core
from tlengine.data.folds import inner_folds
from tlengine.errors import InputError
from tlengine.probes.bases import LinearClassifierMixin
from tlengine.probes.choice import choose_alpha, is_idle
from tlengine.probes.fit_options import refuse_options
from tlengine.probes.inputs import TrainingSet, check_positive, training_set
from tlengine.probes.paths import FOLDS, check_groups
from tlengine.probes.persistence import PretrainedMixin
from tlengine.probes.ridge import signs, solve_classifier, spread
from tlengine.probes.weights import ClassWeight
from tlengine.settings import num_threads

__all__ = ["PreValProbe"]

Pairs = list[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]

_ALPHAS = tuple(float(alpha) for alpha in np.logspace(-3, 3, 10))
_BYTES = 256 << 20


class PreValProbe(PretrainedMixin, LinearClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Ridge regression whose logits are scaled to the least log-loss of its leave-one-out predictions.

    Dempster, Webb & Schmidt, *Prevalidated ridge regression is a highly-efficient drop-in replacement for
    logistic regression for high-dimensional data* (2024), arXiv 2401.15610. Ridge regression on +1/-1
    targets, one column per class, from one factorisation for all alphas; the exact leave-one-out predictions
    come with it. With m the mean of the targets and f the prediction beyond it, the probabilities are
    ``softmax(m + f / temperature)``; for every alpha the temperature minimises the log-loss of the
    leave-one-out predictions (a convex problem in one number), and the alpha with the least log-loss wins.
    Where no row is wrong when it is left out that log-loss would fall for ever: then the row that is nearest
    to it counts as wrong, with the label of its nearest rival.

    With ``Y`` of shape (n, L), 0 and 1, each label is a pair of classes of its own, and one temperature
    serves all of them.

    There is no ``sample_weight``: leaving out a row of weight 2 is not leaving out one of two equal rows.

    Args:
        alphas: penalties to choose from, 0 or more.
        class_weight: None, ``"balanced"`` or {label: weight}, in the ridge and in the log-loss.
        fit_intercept: whether there is an intercept; without it m is zero.
        n_jobs: threads; None is ``TLENGINE_NUM_THREADS`` or every core. Results do not depend on it.

    Attributes:
        alpha_, temperature_: what was chosen. ``alphas_``: (n_alphas,).
        scores_: (n_alphas,) minus the log-loss of the leave-one-out predictions, each at its temperature.
        classes_: (K,), or the names of the L columns of Y. ``multilabel_``: whether y was (n, L).
        coef_: (K, d), or (1, d) for two classes, in the dtype of X; ``intercept_``: (K,), or (1,), float64:
            scaled, so that ``decision_function`` gives logits.

    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> probe = PreValProbe(alphas=[1e2, 1e3, 1e4]).fit(X[:1000], y[:1000])
    >>> probe.predict_proba(X[1000:]).shape, round(probe.score(X[1000:], y[1000:]), 2)
    ((797, 10), 0.9)
    """

    _tensors: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "coef_": ("columns", "features"),
        "intercept_": ("columns",),
        "alphas_": ("alphas",),
        "scores_": ("alphas",),
    }
    _scalars: ClassVar[tuple[str, ...]] = ("alpha_", "temperature_", "multilabel_")

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

    def fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        groups: npt.ArrayLike | None = None,
        **unknown: Any,
    ) -> Self:
        """Solves every alpha and its temperature.

        A ``GridEdgeWarning`` says that alpha was chosen at an edge of the grid although the log-loss still
        falls there.

        Args:
            X: (n, d) features. Memory beside the targets (n, K) float64: O(d^2), and 248 bytes a row and
                alpha, or twice that, for as many alphas at a time as 64 MB hold, at least one. Up to 32
                classes, with several labels per row, or ``groups``: the predictions (n, K) of as many alphas
                as fit into 256 MB, at least one.
            y: (n,) class labels; or (n, L), 0 and 1 for each label, two or more labels: one temperature for
                all of them, at the least mean log-loss.
            groups: (n,) rows of one group (a person, copies of one sample) do not vouch for each other:
                5 folds of whole groups stand in for leaving out one row. None: every row is a group.
            **unknown: there are no others; ``sample_weight`` for one is refused.

        Raises:
            InputError: no class has two groups.
            NonFiniteError, LabelError, SingleClassError, InputError: see :mod:`tlengine.errors`.
            UnknownOptionError: another argument, also a ``TypeError``.
        """
        refuse_options(
            "PreValProbe", unknown, option="sample_weight",
            why="leaving out a row of weight 2 is not leaving out one of two equal rows",
            instead="class_weight= weighs classes, and RidgeProbeCV and LinearProbeCV take weights of rows",
        )  # fmt: skip
        alphas = check_positive("alpha", self.alphas, zero=True)
        train = training_set(self, X, y, None, multilabel=True)
        weight = train.weight(self.class_weight)
        pairs = _folds(train, np.flatnonzero(weight), groups)
        found = (
            self._solve(train, alphas, weight)
            if pairs is None
            else self._by_folds(train, alphas, weight, pairs)
        )
        losses, scales = found["loss"], found["scale"]
        best = choose_alpha(
            -losses[None], -losses, alphas,
            idle=lambda: is_idle(train.X, found["coef"][alphas.argmax()] / spread(train)), stacklevel=2,
        )  # fmt: skip
        self.classes_, self.alphas_, self.scores_ = train.classes, alphas, -losses
        self.multilabel_ = train.multilabel
        self.alpha_, self.temperature_ = float(alphas[best]), float(1 / scales[best])
        coef, centre, scale = found["coef"][best], found["centre"], scales[best]
        # A column by itself stands for one class and, negated, for the other: logits differ by twice its own.
        twice = 2.0 if len(centre) == 1 or train.multilabel else 1.0
        self.coef_ = (twice * scale * coef).astype(coef.dtype)
        self.intercept_ = twice * (scale * (found["intercept"][best] - centre) + centre)
        return self

    def _solve(
        self, train: TrainingSet, alphas: npt.NDArray[np.float64], weight: npt.NDArray[np.float64]
    ) -> dict[str, Any]:
        """The core's solutions, centres, scales and log-losses, by leaving out each row."""
        used = np.flatnonzero(weight)
        everything = len(used) == len(weight)
        return _core.solve_prevalidated(
            train.X if everything else np.ascontiguousarray(train.X[used]),
            _targets(train, used),
            weight[used],
            train.labels[used] if _is_softmax(train) else None,
            alphas.tolist(),
            fit_intercept=self.fit_intercept,
            threads=num_threads(self.n_jobs),
        )

    def _by_folds(
        self,
        train: TrainingSet,
        alphas: npt.NDArray[np.float64],
        weight: npt.NDArray[np.float64],
        pairs: Pairs,
    ) -> dict[str, Any]:
        """As :meth:`_solve`, by leaving out whole groups."""
        used = np.flatnonzero(weight)
        held = np.sort(np.concatenate([held for _, held in pairs]))
        share = weight[used[held]] / weight[used[held]].sum()
        found = solve_classifier(train, alphas, weight, fit_intercept=self.fit_intercept, n_jobs=self.n_jobs)
        goal = _targets(train, used)
        mean = goal @ (weight[used] / weight.sum())
        found["centre"] = mean if self.fit_intercept else np.zeros(len(goal))
        group = max(1, _BYTES // goal.nbytes)
        fits = [
            _core.fit_scales(
                np.ascontiguousarray(
                    self._held_out(train, alphas[first : first + group], used, pairs, len(goal))[:, :, held]
                ),
                found["centre"],
                train.labels[used[held]] if _is_softmax(train) else None,
                None if _is_softmax(train) else np.ascontiguousarray(goal[:, held]),
                share,
                num_threads(self.n_jobs),
            )
            for first in range(0, len(alphas), group)
        ]
        found["scale"], found["loss"] = (np.concatenate(parts) for parts in zip(*fits, strict=True))
        return found

    def _held_out(
        self,
        train: TrainingSet,
        alphas: npt.NDArray[np.float64],
        used: npt.NDArray[np.intp],
        pairs: Pairs,
        columns: int,
    ) -> npt.NDArray[np.float64]:
        """Predictions (n_alphas, columns, rows used) by the fit that held a row out; 0 where none did."""
        found = np.zeros((len(alphas), columns, len(used)))
        for fit, held in pairs:
            weight = train.weight(self.class_weight, used[fit])
            part = solve_classifier(
                train, alphas, weight, fit_intercept=self.fit_intercept, n_jobs=self.n_jobs
            )
            found[:, :, held] = part["coef"] @ train.X[used[held]].T + part["intercept"][:, :, None]
        return found

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def predict_proba(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """Class probabilities, (n, K), rows sum to 1; or the probability of each label, (n, L)."""
        from scipy.special import expit, softmax

        scores = self.decision_function(X)
        if scores.ndim == 1:
            return np.stack([expit(-scores), expit(scores)], axis=1)
        return np.asarray(expit(scores) if self.multilabel_ else softmax(scores, axis=1))

    def predict_log_proba(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """Logarithms of the probabilities, exact also where they underflow: (n, K), or (n, L)."""
        from scipy.special import log_expit, log_softmax

        scores = self.decision_function(X)
        if scores.ndim == 1:
            return np.stack([log_expit(-scores), log_expit(scores)], axis=1)
        return np.asarray(log_expit(scores) if self.multilabel_ else log_softmax(scores, axis=1))


def _folds(train: TrainingSet, used: npt.NDArray[np.intp], groups: npt.ArrayLike | None) -> Pairs | None:
    """Folds of whole groups among the rows used; None where every row is a group."""
    if groups is None:
        return None
    check_groups(groups, train.labels)
    own = np.unique(np.asarray(groups)[used], return_inverse=True)[1]
    if own.max() == len(own) - 1:
        return None
    codes = np.zeros(len(used), np.intp) if train.multilabel else train.labels[used].astype(np.intp)
    pairs = inner_folds(codes, own, FOLDS)
    if not pairs:
        raise InputError("no class has two groups, so nothing can be held out", hint="fit RidgeProbe instead")
    return pairs


def _is_softmax(train: TrainingSet) -> bool:
    """Whether the columns are classes that exclude each other; else each is a pair of classes."""
    return not train.multilabel and len(train.classes) > 2


def _targets(train: TrainingSet, used: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    """+1 and -1 for each column and row used."""
    goal = signs(train)
    return np.ascontiguousarray(goal if len(used) == goal.shape[1] else goal[:, used])
