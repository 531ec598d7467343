"""Batches and tensors without their numbers: what stands in for all that comes before a cut."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import TreeSpec, tree_unflatten

from tlengine.errors import CutRefused, InputError

__all__ = [
    "Axis",
    "Shaped",
    "Stub",
    "call",
    "count_tokens",
    "like",
    "refused",
    "resized",
    "stand_in",
    "token_lengths",
    "widened",
]

_MASK = "attention_mask"


@dataclass(frozen=True)
class Axis:
    """How long an axis is for a batch of so many rows, padded to so many tokens."""

    fixed: int = 0
    per_row: int = 0
    per_token: int = 0

    def size(self, rows: int, tokens: int) -> int:
        """The length."""
        return self.fixed + self.per_row * rows + self.per_token * tokens


@dataclass(frozen=True)
class Shaped:
    """A tensor without its numbers."""

    axes: tuple[Axis, ...]
    dtype: torch.dtype
    device: torch.device

    def tensor(self, rows: int, tokens: int, *, dense: bool = False) -> torch.Tensor:
        """A tensor of that shape, NaN throughout where NaN exists: whoever uses a number of it is found out.

        All of it is one number in memory, unless ``dense``.
        """
        value = float("nan") if self.dtype.is_floating_point or self.dtype.is_complex else 0
        one = torch.full((), value, dtype=self.dtype, device=self.device)
        whole = one.expand([axis.size(rows, tokens) for axis in self.axes])
        return whole.clone(memory_format=torch.contiguous_format) if dense else whole


@dataclass(frozen=True)
class Stub:
    """What stands in for a call of a submodule: its output, without the numbers."""

    name: str
    module: nn.Module
    leaves: tuple[Any, ...]
    tree: TreeSpec

    def output(self, rows: int, tokens: int, *, dense: bool = False) -> Any:
        """As the call would return it for such a batch."""
        leaves = [
            leaf.tensor(rows, tokens, dense=dense) if isinstance(leaf, Shaped) else leaf
            for leaf in self.leaves
        ]
        return tree_unflatten(leaves, self.tree)


def refused(why: str) -> CutRefused:
    """The error for a network that cannot be cut."""
    return CutRefused(why, hint="its frozen part is computed in every step instead")


def call(module: nn.Module, inputs: Any) -> Any:
    """The output of ``module`` for a batch: a tensor, or a mapping of keywords."""
    return module(**inputs) if isinstance(inputs, Mapping) else module(inputs)


def count_tokens(inputs: Any) -> int:
    """Places in each row of a batch of texts; 0 where it is none: without ``attention_mask``."""
    mask = inputs.get(_MASK) if isinstance(inputs, Mapping) else None
    return 0 if mask is None else int(mask.shape[1])


def token_lengths(inputs: Any) -> torch.Tensor | None:
    """(n,) int64: tokens of each row of a batch of texts; None where it is none.

    Raises:
        CutRefused: rows that are padded otherwise than at their ends.
    """
    if not (tokens := count_tokens(inputs)):
        return None
    mask = inputs[_MASK]
    lengths: torch.Tensor = mask.sum(dim=1).long()
    if not torch.equal(mask, _mask(lengths, tokens).to(mask.dtype)):
        raise refused("rows are not padded at their ends")
    return lengths


def _mask(lengths: torch.Tensor, tokens: int) -> torch.Tensor:
    return (torch.arange(tokens, device=lengths.device) < lengths[:, None]).long()


def resized(inputs: Any, rows: int, tokens: int) -> Any:
    """A batch of ``rows`` times the first row, with that many tokens, at most one more than there are."""
    if not isinstance(inputs, Mapping):
        return _resized(inputs, rows, 0, 0)
    width = count_tokens(inputs)
    return {name: _resized(tensor, rows, width, tokens) for name, tensor in inputs.items()}


def _resized(tensor: torch.Tensor, rows: int, width: int, tokens: int) -> torch.Tensor:
    tensor = tensor[:1].repeat(rows, *[1] * (tensor.ndim - 1))
    if not _is_by_tokens(tensor, width):
        return tensor
    return tensor[:, :tokens] if tokens <= width else torch.cat([tensor, tensor[:, -1:]], dim=1)


def widened(inputs: Mapping[str, torch.Tensor], tokens: int, fill: Mapping[str, int]) -> dict[str, Any]:
    """A batch of texts padded further, to ``tokens`` places: with what ``fill`` says, or zeros."""
    width = count_tokens(inputs)
    return {
        name: nn.functional.pad(tensor, (0, tokens - width), value=fill.get(name, 0))
        if _is_by_tokens(tensor, width)
        else tensor
        for name, tensor in inputs.items()
    }


def _is_by_tokens(tensor: torch.Tensor, tokens: int) -> bool:
    return bool(tokens) and tensor.ndim == 2 and tensor.shape[1] == tokens


def like(inputs: Any) -> Shaped | dict[str, Shaped]:
    """The shapes of a batch, as its rows and tokens make them."""
    if not isinstance(inputs, Mapping):
        return _like(inputs, 0)
    return {name: _like(tensor, count_tokens(inputs)) for name, tensor in inputs.items()}


def _like(tensor: torch.Tensor, tokens: int) -> Shaped:
    axes = [Axis(per_row=1), *map(Axis, tensor.shape[1:])]
    if _is_by_tokens(tensor, tokens):
        axes[1] = Axis(per_token=1)
    return Shaped(tuple(axes), tensor.dtype, tensor.device)


def stand_in(
    shapes: Shaped | Mapping[str, Shaped],
    rows: int,
    tokens: int,
    lengths: torch.Tensor | None,
    *,
    dense: bool = False,
) -> Any:
    """A batch that is right in its shapes and its mask alone.

    Raises:
        InputError: rows of tokens without ``lengths``.
    """
    if isinstance(shapes, Shaped):
        return shapes.tensor(rows, 0, dense=dense)
    found = {name: one.tensor(rows, tokens, dense=dense) for name, one in shapes.items()}
    if tokens:
        if lengths is None:
            raise InputError("no lengths for rows of tokens", hint="pass lengths, tokens of each row")
        mask = shapes[_MASK]
        found[_MASK] = _mask(lengths.to(mask.device), tokens).to(mask.dtype)
    return found
