"""What a solved fold says of its held-out rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.probes.inputs import TrainingSet
from tlengine.probes.path import Head

__all__ = ["held_out", "means", "one_vs_rest_log_proba"]


def held_out(
    found: dict[str, Any], train: TrainingSet, test: npt.NDArray[np.intp], head: Head
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64] | None]:
    """Accuracy and log-loss (none for the hinge) on the held-out rows of a fold, for every C.

    Args:
        found: what the core says of the fold; of several labels per row only those that were solved.
        train: the rows.
        test: those that are held out.
        head: as :class:`tlengine.probes.ProbePath`.
    """
    weight, columns = train.sample_weight[test], found["coef"].shape[1]
    if not (train.multilabel or columns == 1 or head == "multinomial"):
        return _one_vs_rest_scores(found, train.X[test], train.labels[test], weight, head)
    total = weight.sum() * (columns if train.multilabel else 1)
    loss = None if head == "squared_hinge" else found["held_out_loss"] / total
    return found["held_out_hits"] / total, loss


def _one_vs_rest_scores(
    found: dict[str, Any],
    X: npt.NDArray[Any],
    labels: npt.NDArray[Any],
    weight: npt.NDArray[np.float64],
    head: Head,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64] | None]:
    right, own = [], []
    for coef, intercept in zip(found["coef"], found["intercept"], strict=True):
        scores = X @ coef.T + intercept
        right.append(scores.argmax(axis=1) == labels)
        if head == "ovr":
            own.append(one_vs_rest_log_proba(scores)[np.arange(len(labels)), labels])
    accuracy = np.average(right, axis=1, weights=weight)
    return accuracy, -np.average(own, axis=1, weights=weight) if own else None


def one_vs_rest_log_proba(scores: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Logarithms of the normalised probabilities of classes against their rest, from logits (n, K)."""
    from scipy.special import log_expit, logsumexp

    each = log_expit(np.asarray(scores, dtype=np.float64))
    return np.asarray(each - logsumexp(each, axis=1, keepdims=True))


def means(
    scores: Sequence[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64] | None]],
) -> tuple[npt.NDArray[np.float64] | None, npt.NDArray[np.float64] | None]:
    """Accuracy and log-loss over the folds; each fold counts the same."""
    if not scores:
        return None, None
    losses = [loss for _, loss in scores if loss is not None]
    return np.mean([right for right, _ in scores], axis=0), np.mean(losses, axis=0) if losses else None
