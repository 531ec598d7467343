"""Which parameters a preset trains, and how: groups for the optimiser."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch

from tlengine.errors import InputError
from tlengine.features import Backbone
from tlengine.finetuning.loop import Group
from tlengine.finetuning.network import Network, norm_parameters
from tlengine.finetuning.settings import Recipe, TrainSettings

__all__ = ["Choice", "choose_parameters", "groups_of", "refuse_unable"]

_GRADUAL = 0.5
"""The share of the steps after which all blocks are trained."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What is trained.

    Attributes:
        names: parameters of the backbone, in the order of the network.
        first: the first block that has any of them; what lies before it is frozen.
        depth: blocks by name of a parameter.
        blocks: how many there are.
    """

    names: tuple[str, ...]
    first: int
    depth: Mapping[str, int]
    blocks: int


def refuse_unable(settings: TrainSettings, backbone: Backbone) -> None:
    """Refuse what a backbone cannot do.

    Raises:
        InputError: it does not tell its blocks, or no layers for adapters.
    """
    needed = settings.train in ("last-block", "surgical") or settings.schedule == "gradual"
    if needed and len(backbone.blocks) < 2:
        raise InputError(
            f"backbone {backbone.name!r} ({backbone.origin}) does not tell its blocks",
            hint="its plugin is to give BackboneSpec(blocks=...); finetune, lp-ft, bitfit need none",
        )
    if settings.train == "adapters" and not backbone.lora_targets:
        raise InputError(
            f"backbone {backbone.name!r} ({backbone.origin}) does not tell which layers adapters go beside",
            hint="its plugin is to give BackboneSpec(lora_targets=...)",
        )


def choose_parameters(settings: TrainSettings, backbone: Backbone, *, surgical: int | None = None) -> Choice:
    """The parameters that ``settings.train`` names.

    Args:
        settings: of the training.
        backbone: with its blocks; without any, all is one block.
        surgical: the block that was found for ``"surgical"``.
    """
    depth, blocks = _depths(backbone)
    everything = [name for name, one in backbone.module.named_parameters() if one.is_floating_point()]
    if settings.train == "all":
        names = everything
    elif settings.train == "norms":
        wanted = norm_parameters(backbone.module)
        names = [name for name in everything if name in wanted]
    elif settings.train == "adapters":
        names = [name for name in everything if "lora_" in name]
    else:
        block = blocks - 1 if surgical is None else surgical
        names = [name for name in everything if depth[name] == block]
    first = min((depth[name] for name in names), default=blocks)
    return Choice(names=tuple(names), first=first, depth=depth, blocks=blocks)


def _depths(backbone: Backbone) -> tuple[dict[str, int], int]:
    if not backbone.blocks:
        return dict.fromkeys((name for name, _ in backbone.module.named_parameters()), 0), 1
    from tlengine.features.blocks import block_of

    return block_of(backbone), len(backbone.blocks)


def groups_of(network: Network, choice: Choice, settings: TrainSettings, recipe: Recipe) -> list[Group]:
    """Groups by block, vectors without weight decay; the head is the last."""
    parameters = dict(network.backbone.named_parameters())
    chosen = set(choice.names)
    for name, parameter in parameters.items():
        parameter.requires_grad_(name in chosen)
    anchored = settings.anchor == "l2-sp"
    found: list[Group] = []
    for block in range(choice.blocks):
        own = [parameters[name] for name in choice.names if choice.depth[name] == block]
        for matrices in (True, False):
            part = [one for one in own if (one.ndim > 1) == matrices]
            if part:
                found.append(
                    Group(
                        parameters=part,
                        scale=recipe.layer_decay ** (choice.blocks - block),
                        weight_decay=recipe.weight_decay if matrices else 0.0,
                        from_step=_from_step(settings, recipe, block, choice.blocks),
                        anchor=settings.anchor_strength if anchored else 0.0,
                    )
                )
    head = [one for one in network.head.parameters() if one.requires_grad]
    found.append(
        Group(
            parameters=head,
            scale=recipe.head_rate / recipe.rate,
            weight_decay=recipe.weight_decay,
            anchor=settings.head_strength if anchored else 0.0,
            to_zero=True,
        )
    )
    return found


def _from_step(settings: TrainSettings, recipe: Recipe, block: int, blocks: int) -> int:
    """0, or for gradual unfreezing the later the nearer to the input."""
    if settings.schedule == "once":
        return 0
    return round(_GRADUAL * recipe.steps * (blocks - block) / blocks)


def relative_gradients(network: Network, depth: Mapping[str, int], blocks: int) -> list[float]:
    """The mean of ||gradient|| / ||weights|| over the parameters of each block (Lee et al. 2023).

    Gradients are there; parameters without one, or of norm 0, do not count.
    """
    ratios: list[list[float]] = [[] for _ in range(blocks)]
    for name, parameter in network.backbone.named_parameters():
        norm = float(torch.linalg.vector_norm(parameter.detach()))
        if parameter.grad is not None and norm > 0:
            ratios[depth[name]].append(float(torch.linalg.vector_norm(parameter.grad)) / norm)
    return [sum(found) / len(found) if found else 0.0 for found in ratios]


def frozen_parts(backbone: Backbone, choice: Choice, *, waiting: Collection[int] = ()) -> list[str]:
    """Submodules of the blocks of which nothing is trained, or nothing yet.

    Args:
        backbone: with its blocks.
        choice: what is trained.
        waiting: blocks that are trained later.
    """
    trained = {choice.depth[name] for name in choice.names} - set(waiting)
    return [name for i, block in enumerate(backbone.blocks) if i not in trained for name in block]


def waiting_blocks(settings: TrainSettings, recipe: Recipe, choice: Choice, step: int) -> list[int]:
    """The blocks that are trained from a later step on."""
    blocks = range(choice.blocks)
    return [block for block in blocks if _from_step(settings, recipe, block, choice.blocks) > step]
