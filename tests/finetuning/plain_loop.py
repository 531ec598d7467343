"""Fine-tuning of the last blocks as written by hand: torch alone, all of the network in every step."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

__all__ = ["Steps", "prepared", "train"]


@dataclass
class Steps:
    """What the first step had, and the parameters after the last."""

    loss: float
    gradients: list[torch.Tensor]
    parameters: list[torch.Tensor]


def prepared(network: nn.Module, trained: Iterable[str]) -> list[nn.Parameter]:
    """All in evaluation mode but what is trained, without gradients but for it; returns its parameters."""
    network.requires_grad_(False).eval()
    found: list[nn.Parameter] = []
    for name in trained:
        part = network.get_submodule(name).requires_grad_(True).train()
        found += part.parameters()
        for inner in part.modules():
            if isinstance(inner, nn.BatchNorm2d):
                inner.eval()
    return found


def train(
    forward: Callable[[Any], torch.Tensor],
    parameters: Sequence[nn.Parameter],
    batches: Iterable[tuple[Any, torch.Tensor]],
) -> Steps:
    """One step of SGD on every batch."""
    solver = torch.optim.SGD(parameters, lr=0.05, momentum=0.9)
    first: tuple[float, list[torch.Tensor]] | None = None
    for step, (inputs, labels) in enumerate(batches):
        torch.manual_seed(step)  # dropout
        solver.zero_grad()
        loss = F.cross_entropy(forward(inputs), labels)
        loss.backward()
        if first is None:
            first = loss.item(), [parameter.grad.clone() for parameter in parameters]
        solver.step()
    assert first is not None
    return Steps(*first, [parameter.detach().clone() for parameter in parameters])


def called(network: nn.Module, inputs: Any) -> torch.Tensor:
    """The network's output."""
    found: torch.Tensor = network(**inputs) if isinstance(inputs, Mapping) else network(inputs)
    return found
