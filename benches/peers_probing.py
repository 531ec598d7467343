"""What others do in the place of whole searches: scikit-learn's choice of C, torch for a thousand classes."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benches.peers_probes import load

Work = Callable[[], Any]


def split(X: Any, y: Any) -> tuple[Any, Any, Any, Any]:
    """Three quarters to fit on and one to judge by, stratified: X and y of both."""
    from sklearn.model_selection import train_test_split

    fit, judge, labels, told = train_test_split(X, y, test_size=0.25, random_state=0, stratify=y)
    return fit, labels, judge, told


def judged(model: Any, X: Any, y: Any) -> float:
    """The log-loss on rows that no fit has seen."""
    from sklearn.metrics import log_loss

    return float(log_loss(y, model.predict_proba(X)))


def logistic_cv(folder: Path) -> Work:
    """``LogisticRegressionCV`` with its ten values of C and five folds."""
    from sklearn.linear_model import LogisticRegressionCV

    warnings.simplefilter("ignore")
    X, y, unseen, told = split(*load(folder))
    model = LogisticRegressionCV(
        Cs=10, cv=5, scoring="neg_log_loss", max_iter=1000, use_legacy_attributes=False, l1_ratios=(0,)
    )
    return lambda: judged(model.fit(X, y), unseen, told)


def grid_search(folder: Path) -> Work:
    """``GridSearchCV`` over the same ten values, two jobs."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV

    warnings.simplefilter("ignore")
    X, y, unseen, told = split(*load(folder))
    search = GridSearchCV(
        LogisticRegression(max_iter=1000), {"C": np.logspace(-4, 4, 10)}, scoring="neg_log_loss", n_jobs=2
    )
    return lambda: judged(search.fit(X, y), unseen, told)


def torch_lbfgs(folder: Path, Cs: Sequence[float], goals: Sequence[float], limit: float) -> Work:
    """Full-batch L-BFGS in torch, centred, warm from C to C, each until it reaches its goal.

    The work returns whether it did all of them within ``limit`` seconds.
    """
    import torch
    from torch.nn.functional import cross_entropy

    X, y = load(folder)
    rows, labels = torch.from_numpy(X - X.mean(axis=0)), torch.from_numpy(y.astype(np.int64))
    classes, n = int(y.max()) + 1, len(y)

    def work() -> bool:
        begun = time.perf_counter()
        W = torch.zeros(classes, X.shape[1], requires_grad=True)
        b = torch.zeros(classes, requires_grad=True)
        for C, goal in zip(Cs, goals, strict=True):
            solver = torch.optim.LBFGS([W, b], max_iter=5, history_size=10, line_search_fn="strong_wolfe")
            value = float("inf")

            def loss(solver: Any = solver, C: float = C) -> Any:
                solver.zero_grad()
                found = cross_entropy(rows @ W.T + b, labels) + 0.5 * W.square().sum() / (C * n)
                found.backward()
                return found

            while value > goal:
                if time.perf_counter() - begun > limit:
                    return False
                solver.step(loss)
                with torch.no_grad():
                    logits = (rows @ W.T + b).double()
                    value = float(
                        C * cross_entropy(logits, labels, reduction="sum") + 0.5 * W.double().square().sum()
                    )
        return True

    return work


def ridge_probe_cv(folder: Path, alphas: Sequence[float]) -> Work:
    """Our own ridge probe with the same penalties, chosen by leave-one-out."""
    from tlengine.probes import RidgeProbeCV

    X, y = load(folder)
    return lambda: RidgeProbeCV(alphas).fit(X, y).alpha_
