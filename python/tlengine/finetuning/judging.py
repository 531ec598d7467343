"""What a trained network is like: its training loss, its statistics, how far its features moved."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from tlengine.finetuning.inputs import Inputs
from tlengine.finetuning.memory import in_parts
from tlengine.finetuning.network import Network, evaluating, is_batch_norm
from tlengine.plugins.contracts import Rows

__all__ = ["BATCH", "drift", "rows_of", "settle_statistics", "training_loss"]

BATCH = 64
"""Rows of a forward pass, where nothing is trained."""
_JUDGED = 512
"""Training rows by which the loss is judged, at the most."""


def rows_of(
    network: Network, inputs: Inputs, rows: Rows
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32]]:
    """(m, k) logits and (m, d) features of rows as they are, in evaluation mode; at least one row."""

    def part(some: Rows) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32]]:
        found, logits = network.outputs(inputs.batch(some))
        return logits.double().cpu().numpy(), found.float().cpu().numpy()

    with evaluating(network):
        logits, features = zip(*in_parts(rows, BATCH, part, inputs.device), strict=True)
    return np.concatenate(logits), np.concatenate(features)


def training_loss(
    network: Network, inputs: Inputs, rows: Rows, targets: torch.Tensor, *, batch: int | None = None
) -> float:
    """The mean loss of training rows as they are, without dropout; of up to 512, evenly spaced.

    Args:
        network: what is judged.
        inputs: the rows of the run for it.
        rows: (n,) the training rows.
        targets: (n,) class numbers without gaps.
        batch: with a number, batch normalisation takes the statistics of batches of this size, as a training
            does that learns them.
    """
    places = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _JUDGED)).round().astype(np.intp))

    def loss(part: Rows) -> float:
        logits = network(inputs.batch(rows[part]))
        wanted = targets[torch.from_numpy(part).to(targets.device)]
        return float(functional.cross_entropy(logits.float(), wanted, reduction="sum"))

    with evaluating(network), _by_batch(network, batch is not None):
        parts = _parts(places, batch or BATCH)
        total = sum(sum(in_parts(part, len(part), loss, inputs.device)) for part in parts)
    return total / len(places)


def _parts(places: Rows, size: int) -> list[Rows]:
    """Parts of about equal size, of two rows at least: batch normalisation cannot do with a single one.

    Mixed, as the batches of a training are: rows that lie class by class would be normalised class by class.
    """
    mixed = np.random.default_rng(0).permutation(places)
    return np.array_split(mixed, max(1, min(round(len(places) / size), len(places) // 2)))


@contextmanager
def _by_batch(network: Network, wanted: bool) -> Iterator[None]:
    """Batch normalisation by the batch's own statistics; the running ones stay as they are."""
    norms = [part for part in network.modules() if wanted and is_batch_norm(part)]
    momenta = [part.momentum for part in norms]
    try:
        for part in norms:
            part.train()
            part.momentum = 0.0  # type: ignore[assignment] # a number, where None means an average
        yield
    finally:
        for part, momentum in zip(norms, momenta, strict=True):
            part.momentum = momentum


def settle_statistics(network: Network, inputs: Inputs, rows: Rows, batch: int) -> None:
    """Running means and variances become averages over the training rows, for the weights as they are."""
    norms = [part for part in network.modules() if is_batch_norm(part)]
    if not norms:
        return
    momenta, device = [part.momentum for part in norms], inputs.device
    try:
        with evaluating(network):
            for part in norms:
                part.reset_running_stats()  # type: ignore[operator] # every batch norm has it
                part.train()
                part.momentum = None  # type: ignore[assignment] # the plain average
            for some in _parts(np.asarray(rows), batch):
                for _ in in_parts(some, len(some), lambda part: network.features(inputs.batch(part)), device):
                    pass
    finally:
        for part, momentum in zip(norms, momenta, strict=True):
            part.momentum = momentum


def drift(before: npt.NDArray[np.float32], after: npt.NDArray[np.float32]) -> float:
    """How far features moved: mean distance, in units of their mean distance from their mean before.

    Kumar et al. 2022 tell by it how fine-tuning distorts features.

    >>> drift(np.array([[0.0], [2.0]], np.float32), np.array([[0.5], [2.5]], np.float32))
    0.5
    """
    moved = np.linalg.norm(np.asarray(after, np.float64) - before, axis=1).mean()
    spread = np.linalg.norm(np.asarray(before, np.float64) - before.mean(axis=0), axis=1).mean()
    return float(moved / spread) if spread > 0 else float(moved)


def parameters_of(module: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(one.numel() for one in module.parameters() if one.requires_grad)
