"""Frozen statistics folded into the convolution before them, while a network is trained.

Batch normalisation whose mean and variance stand still is an affine map of each channel. It can as well be
done to the weights of the convolution, of which there are far fewer than activations: the network computes
the same, its gradients are the same, and no pass over the activations is made for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from tlengine.finetuning.network import Network, is_batch_norm

__all__ = ["folded"]

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@contextmanager
def folded(network: Network, inputs: Any, *, without: Iterable[str] = ()) -> Iterator[int]:
    """While it lasts, batch normalisation right behind a convolution is part of it.

    The normalisation is in evaluation mode meanwhile. Parameters stay where they are and get their gradients.

    Args:
        network: its backbone is changed in place, and put back.
        inputs: a small batch, to see what follows what.
        without: names of submodules of the backbone that are left as they are.

    Yields:
        How many normalisations were folded.
    """
    parts = dict(network.backbone.named_modules())
    spared = {part for name in without if name in parts for part in parts[name].modules()}
    pairs = [pair for pair in _pairs(network, inputs) if not spared.intersection(pair)]
    handles: list[Any] = []
    try:
        for convolution, norm in pairs:
            handles.append(convolution.register_forward_pre_hook(_Fold(norm)))
            handles.append(convolution.register_forward_hook(_unfold, always_call=True))
            norm.forward = _same
        yield len(pairs)
    finally:
        for handle in handles:
            handle.remove()
        for _, norm in pairs:
            del norm.forward


def _same(rows: torch.Tensor) -> torch.Tensor:
    return rows


class _Fold:
    """Gives a convolution the weights that do the normalisation as well, for one call."""

    def __init__(self, norm: nn.Module) -> None:
        self._norm = norm

    def __call__(self, convolution: nn.Module, _: Any) -> None:
        norm: Any = self._norm
        weight, bias = convolution._parameters["weight"], convolution._parameters["bias"]
        assert weight is not None
        scale = torch.rsqrt(norm.running_var + norm.eps)
        if norm.weight is not None:
            scale = scale * norm.weight
        shift = (norm.running_mean if bias is None else norm.running_mean - bias) * -scale
        if norm.bias is not None:
            shift = shift + norm.bias
        # Plain attributes hide the parameters, which stay registered.
        shape = (-1, *(1,) * (weight.ndim - 1))
        convolution.__dict__.update(weight=weight * scale.view(shape), bias=shift)


def _unfold(convolution: nn.Module, _: Any, __: Any) -> None:
    convolution.__dict__.pop("weight", None)
    convolution.__dict__.pop("bias", None)


def _pairs(network: Network, inputs: Any) -> list[tuple[nn.Module, nn.Module]]:
    """Convolutions whose output goes into one batch normalisation, and nowhere else."""
    norms = [part for part in network.modules() if is_batch_norm(part) and _stands_still(part)]
    if not norms:
        return []
    made: dict[int, tuple[nn.Module, torch.Tensor]] = {}
    taken: list[tuple[nn.Module, nn.Module, torch.Tensor]] = []
    calls: Counter[nn.Module] = Counter()

    def out(part: nn.Module, _: Any, result: Any) -> None:
        calls[part] += 1
        if isinstance(result, torch.Tensor):
            made[id(result)] = part, result

    def into(part: nn.Module, args: Any) -> None:
        calls[part] += 1
        convolution, tensor = made.get(id(args[0]) if args else 0, (None, None))
        if convolution is not None and tensor is not None:
            taken.append((convolution, part, tensor))

    parts = [part for part in network.modules() if isinstance(part, _CONVOLUTIONS) and _is_plain(part)]
    handles = [part.register_forward_hook(out) for part in parts]
    handles += [part.register_forward_pre_hook(into) for part in norms]
    modes = [(part, part.training) for part in network.modules()]
    try:
        network.eval()
        uses = _uses(network.features(_asking(inputs)))
    finally:
        for handle in handles:
            handle.remove()
        for part, training in modes:
            part.training = training
    return [
        (convolution, norm)
        for convolution, norm, tensor in taken
        if calls[convolution] == calls[norm] == 1 and uses.get(id(tensor.grad_fn), 0) == 1
    ]


def _is_plain(part: nn.Module) -> bool:
    """Whether its weight is a parameter, not computed from others as by spectral normalisation."""
    return part._parameters.get("weight") is not None


def _stands_still(part: nn.Module) -> bool:
    return getattr(part, "running_mean", None) is not None and getattr(part, "running_var", None) is not None


def _asking(inputs: Any) -> Any:
    """The batch with a gradient, so that every operation leaves a trace."""
    if isinstance(inputs, torch.Tensor):
        return inputs.detach().requires_grad_(inputs.is_floating_point())
    return {name: _asking(value) for name, value in inputs.items()}


def _uses(output: torch.Tensor) -> dict[int, int]:
    """How often the result of each operation is used, by the identity of the operation."""
    counts: Counter[int] = Counter()
    seen: set[int] = set()
    todo = [output.grad_fn]
    held = []  # an identity holds while its object does
    while todo:
        node = todo.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        held.append(node)
        for other, _ in node.next_functions:
            counts[id(other)] += 1
            todo.append(other)
    return dict(counts)
