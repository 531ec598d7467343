"""Where each parameter of a network lies, by the blocks that its plugin tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tlengine.features.backbone import Backbone

__all__ = ["block_of"]


def block_of(backbone: Backbone) -> dict[str, int]:
    """The number of the block of every parameter."""
    found = {}
    for name, _ in backbone.module.named_parameters():
        for i, block in enumerate(backbone.blocks):
            if any(name == own or name.startswith(f"{own}.") for own in block):
                found[name] = i
    return found
