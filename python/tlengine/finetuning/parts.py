"""What a training is made of before its first step: augmentation, the head, the block that is to learn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from tlengine.features import Backbone
from tlengine.finetuning.augment import Augmentation
from tlengine.finetuning.determinism import seed_generators
from tlengine.finetuning.grouping import choose_parameters, relative_gradients
from tlengine.finetuning.heads import HeadConfig, start_from_means, start_from_probe, tokens_of
from tlengine.finetuning.inputs import Inputs
from tlengine.finetuning.judging import BATCH
from tlengine.finetuning.memory import SHORT, halved, is_short
from tlengine.finetuning.network import Network
from tlengine.finetuning.order import seed_for
from tlengine.finetuning.settings import TrainSettings
from tlengine.plugins import registry
from tlengine.plugins.contracts import Rows
from tlengine.plugins.network_records import HeadDim

if TYPE_CHECKING:
    from tlengine.finetuning.fitting import Fit

__all__ = ["augmentation_of", "built_head", "head_config", "reads_tokens", "surgical_block"]


def augmentation_of(fit: Fit, settings: TrainSettings, backbone: Backbone) -> Augmentation | None:
    """How pictures are augmented; None for texts, and where nothing is wanted."""
    wanted = settings.augment
    if backbone.modality == "text" or wanted == "none":
        return None
    if isinstance(fit.view.contents(fit.roles.train[:1])[0], str):
        return None
    return Augmentation(flip=wanted == "crop-flip" or (wanted == "auto" and fit.flip))


def reads_tokens(settings: TrainSettings) -> bool:
    """Whether the head pools for itself."""
    return registry.resolve_head(settings.head).input == "tokens"


def head_config(fit: Fit, settings: TrainSettings, backbone: Backbone, inputs: Inputs) -> HeadConfig:
    """What the head is built of."""
    return HeadConfig(
        name=settings.head,
        dim=_dim(fit, backbone, inputs) if reads_tokens(settings) else backbone.embedding_dim,
        classes=len(fit.known),
        settings=settings.head_settings,
    )


def _dim(fit: Fit, backbone: Backbone, inputs: Inputs) -> HeadDim:
    """Tokens and columns, by one sample; None for the tokens of texts, of which each has its own."""
    with torch.no_grad():
        tokens = tokens_of(backbone, inputs.batch(fit.roles.train[:1]))
    _, number, columns = tokens.values.shape
    return (number if tokens.mask is None else None), columns


def built_head(fit: Fit, settings: TrainSettings, config: HeadConfig) -> nn.Module:
    """The head with the weights that it starts from."""
    seed_generators(seed_for(fit.seed, "head"), fit.device)
    head = config.build()
    if settings.start == "probe":
        start_from_probe(head, config.name, fit.probe.coef, fit.probe.intercept)
    elif settings.start == "means":
        start_from_means(head, config.name, _means(fit))
    return head


def _means(fit: Fit) -> npt.NDArray[np.float64]:
    """(K, d) class means of the frozen features of the training rows."""
    view, rows = fit.view, fit.roles.train
    X, codes = view.features(rows), view.codes(rows)
    return np.stack([X[codes == code].mean(axis=0, dtype=np.float64) for code in fit.known])


def surgical_block(
    fit: Fit, settings: TrainSettings, backbone: Backbone, network: Network, inputs: Inputs
) -> int | None:
    """The block with the largest relative gradient, by one pass over the training rows as they are.

    None where another way to choose is set.

    Raises:
        ResourceError: no memory for a single row.
    """
    if settings.train != "surgical":
        return None
    everything = choose_parameters(settings.with_settings({"train": "all"}), backbone)
    rows, size = fit.roles.train, BATCH
    network.eval()
    for parameter in network.backbone.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    while True:
        try:
            _add_gradients(fit, network, inputs, rows, size)
            break
        except SHORT as error:
            if not is_short(error):
                raise
            size = halved(min(size, len(rows)), error, fit.device, "train on")
        network.zero_grad(set_to_none=True)
    ratios = relative_gradients(network, everything.depth, everything.blocks)
    network.zero_grad(set_to_none=True)
    return int(np.argmax(ratios))


def _add_gradients(fit: Fit, network: Network, inputs: Inputs, rows: Rows, size: int) -> None:
    """Of the mean loss over all rows, so many at a time."""
    for start in range(0, len(rows), size):
        logits = network(inputs.batch(rows[start : start + size]))
        wanted = fit.targets[start : start + size]
        loss = functional.cross_entropy(logits.float(), wanted, reduction="sum") / len(rows)
        loss.backward()  # type: ignore[no-untyped-call]
