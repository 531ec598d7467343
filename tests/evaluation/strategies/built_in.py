"""The built-in strategies that read rows, and how the tests fit them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tlengine.evaluation.strategies import (
    CentroidStrategy,
    EstimatorStrategy,
    LogisticStrategy,
    NeighborsStrategy,
    RidgeStrategy,
    TfidfStrategy,
    read_scores,
)
from tlengine.evaluation.strategies.base import pad
from tlengine.plugins import resolve
from tlengine.plugins.contracts import Roles
from tlengine.probes import probe_path
from tlengine.testing import ArrayView

BUILT_IN: dict[str, Callable[[], Any]] = {
    "knn": NeighborsStrategy,
    "probe": LogisticStrategy,
    "ridge": RidgeStrategy,
    "centroid": CentroidStrategy,
    "tfidf": TfidfStrategy,
    "svm": lambda: EstimatorStrategy(resolve("probe", "svm")),
    "preval": lambda: EstimatorStrategy(resolve("probe", "preval")),
}


OF_ROWS = tuple(name for name in BUILT_IN if name != "tfidf")
"""Those that fit the rows of the view as they are."""


def seen(X: np.ndarray, codes: np.ndarray, roles: Roles, name: str = "") -> ArrayView:
    """For the strategy of texts as counts of terms."""
    return ArrayView(np.floor(np.abs(2 * X)) if name == "tfidf" else X, codes, roles)


def fitted(name: str, X: np.ndarray, codes: np.ndarray, roles: Roles) -> tuple[Any, ArrayView]:
    view = seen(X, codes, roles, name)
    return BUILT_IN[name]().fit(view, roles, seed=0), view


def select_at_all(n: int) -> Roles:
    """A user's validation rows, on which hyper-parameters are chosen."""
    train, select = np.arange(0, n // 2), np.arange(n // 2, 3 * n // 4)
    return Roles(train=train, test=np.arange(3 * n // 4, n), inner=((train, select),), select=select)


def refitted(name: str, view: ArrayView, roles: Roles, chosen: dict[str, Any]) -> np.ndarray:
    """Scores of the rows held out, each inner part fitted by itself with what was chosen."""
    strategy, parts = BUILT_IN[name](), []
    for rows, held in roles.inner:
        known, codes = np.unique(view.codes(rows), return_inverse=True)
        X, others = view.features(rows), view.features(held)
        if name == "probe":
            path = probe_path(X, codes, Cs=[chosen["C"]], tol=1e-8)
            s = others @ path.coef_[0].T + path.intercept_[0]
            found = np.concatenate([-s / 2, s / 2], axis=1) if s.shape[1] == 1 else s
        else:
            found = read_scores(strategy.make(**chosen).fit(X, codes), others, strategy.reading)[1]
        parts.append(pad(found, known, view.classes))
    return np.concatenate(parts)
