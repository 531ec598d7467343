"""Probabilities as the names of the most probable classes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.errors import InputError

__all__ = ["named"]


def named(
    ids: Iterable[Any], classes: Sequence[Any] | npt.NDArray[Any], proba: npt.NDArray[Any], top_k: int
) -> list[dict[str, Any]]:
    """The most probable classes of every row, the first among equals by the order of ``classes``.

    Args:
        ids: (n,) names of the rows.
        classes: (K,) labels.
        proba: (n, K) probabilities.
        top_k: how many classes to name, at most K are.

    Returns:
        Records ``{"id", "label", "probability", "top": [{"label", "probability"}, ...]}``.

    Raises:
        InputError: ``top_k`` below 1.

    >>> named(["a"], ["cat", "dog"], np.array([[0.25, 0.75]]), 1)
    [{'id': 'a', 'label': 'dog', 'probability': 0.75, 'top': [{'label': 'dog', 'probability': 0.75}]}]
    """
    if top_k < 1:
        raise InputError(f"top-k is {top_k}; at least 1", hint="3 is the default")
    best = np.argsort(-proba, axis=1, kind="stable")[:, :top_k]
    found = []
    for id_, row, chosen in zip(ids, proba, best.tolist(), strict=True):
        top = [{"label": str(classes[c]), "probability": round(float(row[c]), 6)} for c in chosen]
        found.append({"id": str(id_), **top[0], "top": top})
    return found
