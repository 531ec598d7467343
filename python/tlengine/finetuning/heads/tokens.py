"""What a backbone has before it pools: tokens with their mask, read during a forward pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch

from tlengine.errors import BackboneError
from tlengine.features import Backbone

__all__ = ["Tokens", "tokens_of"]


class Tokens(NamedTuple):
    """What a head that reads tokens is called with.

    Attributes:
        values: (n, tokens, dim).
        mask: (n, tokens) bool, True where there is a token; None where all are.
    """

    values: torch.Tensor
    mask: torch.Tensor | None


def tokens_of(backbone: Backbone, inputs: Any, *, run: Callable[[Any], Any] | None = None) -> Tokens:
    """The output of the submodule that ``backbone.tokens`` names, in one forward pass.

    A feature map (n, dim, h, w) becomes (n, h * w, dim), row by row. Where a submodule is called several
    times, its last output counts. Gradients flow through it, as the caller's mode says.

    Args:
        backbone: names its ``tokens``.
        inputs: what its module is called with: a tensor, or keywords; where they hold an ``attention_mask``
            (n, tokens), this is the mask.
        run: takes ``inputs`` and runs the network, or the part of it that ends with the tokens; None calls
            ``backbone.module``.

    Raises:
        BackboneError: the backbone names no tokens.
        BackboneError, PluginError: there is no such submodule, it was not called, or what it returned is
            neither tokens nor a feature map, of another batch, or of another length than the mask.

    >>> from torch import nn
    >>> from tlengine.features import ImagePreprocess
    >>> net = nn.Sequential(nn.Conv2d(3, 8, 2, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    >>> prep = ImagePreprocess(resize=4, crop=4)
    >>> bb = Backbone(net, preprocess=prep, modality="image", name="net", tokens="0")
    >>> tokens_of(bb, torch.zeros(5, 3, 4, 4)).values.shape
    torch.Size([5, 4, 8])
    """
    if not backbone.tokens:
        raise BackboneError(
            f"backbone {backbone.name!r} names no tokens",
            hint="give it tokens='name of a submodule', or use a head that reads rows, such as linear",
        )
    try:
        part = backbone.module.get_submodule(backbone.tokens)
    except AttributeError:
        raise backbone.fault(
            f"has no submodule {backbone.tokens!r}, where its tokens are said to be",
            hint="tokens= takes a name of named_modules()",
        ) from None
    found: dict[str, Any] = {}
    handle = part.register_forward_hook(lambda _module, _inputs, output: found.update(last=output))
    try:
        _run(backbone, inputs) if run is None else run(inputs)
    finally:
        handle.remove()
    if not found:
        raise backbone.fault(f"does not call {backbone.tokens!r} as a module: nothing can be read there")
    return _tokens(backbone, found["last"], inputs)


def _run(backbone: Backbone, inputs: Any) -> None:
    if isinstance(inputs, Mapping):
        backbone.module(**inputs)
    else:
        backbone.module(inputs)


def _tokens(backbone: Backbone, output: Any, inputs: Any) -> Tokens:
    values = output[0] if isinstance(output, tuple | list) and output else output
    if not isinstance(values, torch.Tensor) or values.ndim not in (3, 4):
        shape = tuple(values.shape) if isinstance(values, torch.Tensor) else type(values).__name__
        raise backbone.fault(
            f"has {shape} at {backbone.tokens!r}",
            hint="tokens= names a submodule that returns (n, tokens, d), or a feature map (n, d, h, w)",
        )
    if values.ndim == 4:
        values = values.flatten(2).transpose(1, 2)
    mask = inputs.get("attention_mask") if isinstance(inputs, Mapping) else None
    rows = next((one.shape[0] for one in _tensors(inputs) if one.ndim), values.shape[0])
    if values.shape[0] != rows or (mask is not None and mask.shape != values.shape[:2]):
        told = f"{rows} rows" if mask is None else f"a mask {tuple(mask.shape)}"
        raise backbone.fault(
            f"has tokens {tuple(values.shape)} at {backbone.tokens!r} for {told}",
            hint="name a submodule that has a token for each of the mask, and a row for each sample",
        )
    return Tokens(values, None if mask is None else mask.bool())


def _tensors(inputs: Any) -> list[torch.Tensor]:
    values = inputs.values() if isinstance(inputs, Mapping) else [inputs]
    return [one for one in values if isinstance(one, torch.Tensor)]
