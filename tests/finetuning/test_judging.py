"""Training loss and statistics do not hang on how rows are listed."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from tlengine.finetuning.judging import settle_statistics, training_loss
from tlengine.finetuning.network import Network


class Rows:
    """Rows of two classes far apart, as batches."""

    device = "cpu"

    def __init__(self, X: np.ndarray) -> None:
        self.X = torch.from_numpy(X.astype(np.float32))

    def batch(self, rows: Any, views: Any = None) -> torch.Tensor:
        return self.X[torch.from_numpy(np.asarray(rows))]


def network() -> Network:
    torch.manual_seed(0)
    return Network(nn.BatchNorm1d(3), nn.Linear(3, 2)).eval()


def test_statistics_of_rows_that_lie_class_by_class_are_those_of_all_of_them() -> None:
    """Batches of one class would leave out how far the classes are apart."""
    codes = np.repeat([0, 1], 32)
    X = np.random.default_rng(0).normal(size=(64, 3)) + 10 * codes[:, None]
    found = network()
    settle_statistics(found, Rows(X), np.arange(64), 16)  # type: ignore[arg-type]
    (norm,) = [part for part in found.modules() if isinstance(part, nn.BatchNorm1d)]
    assert norm.running_var is not None
    whole = torch.from_numpy(X.var(axis=0, ddof=1))
    assert bool(((norm.running_var - whole).abs() < 0.15 * whole).all()), "25 of within, 26 in all"


def test_the_loss_by_statistics_of_batches_is_that_of_mixed_batches() -> None:
    codes = np.repeat([0, 1], 32)
    X = np.random.default_rng(0).normal(size=(64, 3)) + 10 * codes[:, None]
    order = np.random.default_rng(1).permutation(64)
    losses = [
        training_loss(network(), Rows(X[o]), np.arange(64), torch.from_numpy(codes[o]), batch=16)  # type: ignore[arg-type]
        for o in (np.arange(64), order)
    ]
    assert abs(losses[0] - losses[1]) < 0.1 * losses[1]
