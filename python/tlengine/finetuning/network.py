"""A backbone with a head: what is trained of it, and at which depth it lies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from tlengine.finetuning.frozen import Hidden
from tlengine.finetuning.heads import Tokens
from tlengine.finetuning.settings import Family

__all__ = ["Network", "family_of", "is_batch_norm", "norm_parameters"]

_NORMS = (_BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


class Network(nn.Module):
    """Rows of features by a backbone, logits by a head.

    Args:
        backbone: takes a batch, or keywords where a batch is a mapping; returns (n, d).
        head: (n, d) to (n, K); with ``tokens``, tokens (n, t, d) and their mask to (n, K).
        tokens: reads them: takes a batch and what runs the network, as
            :func:`~tlengine.finetuning.tokens_of` of a backbone does; None for a head that reads rows.

    >>> network = Network(nn.Flatten(), nn.Linear(4, 2))
    >>> network(torch.zeros(3, 2, 2)).shape
    torch.Size([3, 2])
    """

    def __init__(
        self, backbone: nn.Module, head: nn.Module, tokens: Callable[..., Tokens] | None = None
    ) -> None:
        super().__init__()
        self.backbone, self.head, self.tokens = backbone, head, tokens

    def features(self, inputs: Any) -> torch.Tensor:
        """(n, d) of a batch; of one in the middle of the backbone, by what follows there."""
        if isinstance(inputs, Hidden):
            with inputs.cut.entered(inputs.values, inputs.lengths) as rest:
                return self.features(rest)
        found: torch.Tensor = (
            self.backbone(**inputs) if isinstance(inputs, Mapping) else self.backbone(inputs)
        )
        return found

    def forward(self, inputs: Any) -> torch.Tensor:
        """(n, K) logits of a batch."""
        return self.outputs(inputs)[1]

    def outputs(self, inputs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, d) features and (n, K) logits of a batch, in one pass."""
        if self.tokens is None:
            features = self.features(inputs)
            return features, self.head(features.float())
        found: list[torch.Tensor] = []
        tokens = self.tokens(inputs, run=lambda given: found.append(self.features(given)))
        return found[0], self.head(tokens.values.float(), tokens.mask)

    def set_training(self, frozen: Iterable[str] = (), *, statistics: bool = False) -> None:
        """Training mode, but batch normalisation keeps its statistics unless ``statistics``.

        Args:
            frozen: names of submodules of the backbone that are not trained: they stay in evaluation mode.
            statistics: whether batch normalisation learns its means and variances.
        """
        self.train()
        parts = dict(self.backbone.named_modules())
        for name in frozen:
            if name in parts:
                parts[name].eval()
        if not statistics:
            for part in self.modules():
                if is_batch_norm(part):
                    part.eval()


def is_batch_norm(part: nn.Module) -> bool:
    """Whether it normalises by the statistics of a batch."""
    return isinstance(part, _BatchNorm)


def family_of(backbone: nn.Module, modality: str) -> Family:
    """Whose row of the table of rates holds.

    >>> family_of(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), "image")
    'cnn'
    """
    if modality == "text":
        return "text"
    return "cnn" if any(is_batch_norm(part) for part in backbone.modules()) else "vit"


def norm_parameters(backbone: nn.Module) -> set[str]:
    """Names of all biases, and of the weights of normalisation."""
    found = set()
    for name, part in backbone.named_modules():
        norm = isinstance(part, _NORMS) or type(part).__name__.endswith(("Norm", "Norm2d"))
        for own, _ in part.named_parameters(recurse=False):
            if norm or own.endswith("bias"):
                found.add(f"{name}.{own}" if name else own)
    return found


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode and no gradients; afterwards each part is in the mode that it was in."""
    modes = [(part, part.training) for part in network.modules()]
    try:
        network.eval()
        with torch.no_grad():
            yield
    finally:
        for part, training in modes:
            part.training = training
