"""How the probes of a grid are judged: accuracy and log-loss, and the scorers that the user names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.errors import InputError
from tlengine.probes.grid_jobs import Key
from tlengine.probes.scoring import Scoring, check_scoring

__all__ = ["RESERVED", "check_scorings", "class_scores", "label_scores", "logits_to_proba"]

Floats = npt.NDArray[np.float64]

RESERVED = (*Key._fields, "n_train", "n_test", "C", "alpha", "k", "converged")
"""Columns of the records that no scorer may be named after."""

_WAY = "a name of scikit-learn's scorers, a callable (estimator, X, y), or a list or dict of them"


def check_scorings(scoring: Any) -> dict[str, Scoring] | None:
    """Scorers by the name of their column; None for accuracy and log-loss.

    Raises:
        UnknownNameError: no scorer has this name.
        InputError: something else than scorers, none at all, two of one name, or the name of another column.

    >>> list(check_scorings(["f1_macro", "roc_auc"]))
    ['f1_macro', 'roc_auc']
    """
    if scoring is None:
        return None
    if isinstance(scoring, Mapping):
        named = [(str(name), _one(one)) for name, one in scoring.items()]
    else:
        single = isinstance(scoring, str) or callable(scoring) or not isinstance(scoring, Iterable)
        named = [(one.name, one) for one in map(_one, [scoring] if single else scoring)]
    names = [name for name, _ in named]
    if not names:
        raise InputError("scoring is empty", hint=_WAY)
    for name in names:
        if name in RESERVED or names.count(name) > 1:
            what = "another column of the records has" if name in RESERVED else "two scorers have"
            raise InputError(f"scoring: {what} the name {name!r}", hint="name them: scoring={'mine': scorer}")
    return dict(named)


def _one(scoring: Any) -> Scoring:
    if scoring is None:
        raise InputError("scoring holds None", hint=_WAY)
    return check_scoring(scoring, own=())


def class_scores(
    logits: npt.NDArray[Any], y: npt.NDArray[Any], weight: Floats | None = None
) -> tuple[Floats, Floats]:
    """Accuracy and log-loss (jobs, n_C) from logits (jobs, n_C, K, n), labels (jobs, n) and their weights.

    One column is that of two classes. The logits are overwritten.
    """
    if logits.shape[2] == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=2)
    top = logits.max(axis=2)
    own = np.take_along_axis(logits, y[:, None, None, :], axis=2)[:, :, 0]
    # Where several classes have the highest logit the first of them counts, as for argmax.
    first = np.full(top.shape, logits.shape[2], dtype=np.int32)
    for k in reversed(range(logits.shape[2])):
        first[logits[:, :, k] == top] = k
    np.exp(np.subtract(logits, top[:, :, None], out=logits), out=logits)
    loss = np.log(logits.sum(axis=2)) + (top - own)
    right = first == y[:, None]
    if weight is None:
        return right.mean(axis=2), loss.mean(axis=2, dtype=np.float64)
    shares = (weight / weight.sum(axis=1, keepdims=True))[:, None]
    return (right * shares).sum(axis=2), (loss * shares).sum(axis=2)


def label_scores(
    logits: npt.NDArray[Any], Y: npt.NDArray[np.bool_], weight: Floats | None = None
) -> tuple[Floats, Floats]:
    """Accuracy and log-loss (n_C,), averaged over rows and labels: logits (n_C, L, n), Y (n, L), (n,)."""
    signed = np.where(Y.T, logits, -logits).astype(np.float64)
    right = (logits > 0) == Y.T
    loss = np.logaddexp(0, -signed)

    def mean(cells: npt.NDArray[Any]) -> Floats:
        return np.asarray(np.average(cells.mean(axis=1), axis=1, weights=weight))

    return mean(right), mean(loss)


def logits_to_proba(logits: npt.NDArray[Any], *, several: bool) -> npt.NDArray[np.float32]:
    """Probabilities (n_C, n, K), or (n_C, n, L) of each label, from logits (n_C, K, n)."""
    from scipy.special import expit, softmax

    if several:
        shares = expit(logits)
    elif logits.shape[1] == 1:
        shares = np.concatenate([expit(-logits), expit(logits)], axis=1)
    else:
        shares = softmax(logits, axis=1)
    return np.ascontiguousarray(shares.transpose(0, 2, 1), dtype=np.float32)
