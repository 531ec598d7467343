"""What a backbone says of its parts, looked up in its network: blocks, and the places of adapters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tlengine.errors import BackboneError

if TYPE_CHECKING:
    from tlengine.features.backbone import Backbone

__all__ = ["block_of", "lora_modules"]


def block_of(backbone: Backbone) -> dict[str, int]:
    """The number of the block that each parameter belongs to, from 0 at the input.

    Returns:
        By name, all of ``backbone.module.named_parameters()``, in that order.

    Raises:
        BackboneError: the backbone names no blocks.
        BackboneError, PluginError: a block names what is not in the network, or a parameter is in no block or
            in two (also by another name of the same tensor).

    >>> from torch import nn
    >>> from tlengine.features import Backbone, ImagePreprocess
    >>> net = nn.Sequential(nn.Conv2d(3, 8, 2), nn.Flatten(), nn.Linear(72, 5, bias=False))
    >>> prep = ImagePreprocess(resize=4, crop=4)
    >>> bb = Backbone(net, preprocess=prep, modality="image", name="net", blocks=[["0"], ["2"]])
    >>> block_of(bb)
    {'0.weight': 0, '0.bias': 0, '2.weight': 1}
    """
    if not backbone.blocks:
        raise BackboneError(
            f"backbone {backbone.name!r} names no blocks, so that no part of it can be trained by itself",
            hint="give it blocks=, groups of names of its submodules from input to output",
        )
    places = {name: number for number, names in enumerate(backbone.blocks) for name in names}
    parameters = dict(backbone.module.named_parameters(remove_duplicate=False))
    known = {name for name, _ in backbone.module.named_modules(remove_duplicate=False)} | parameters.keys()
    if strange := [name for name in places if name not in known]:
        raise backbone.fault(
            f"names {strange[0]!r} in block {places[strange[0]]}, which is not in the network",
            hint="blocks= takes names of named_modules() and named_parameters()",
        )
    blocks = {name: _block(backbone, name, places) for name in parameters}
    first: dict[int, str] = {}
    for name, tensor in parameters.items():
        same = first.setdefault(id(tensor), name)
        if blocks[same] != blocks[name]:
            raise backbone.fault(
                f"has one tensor in block {blocks[same]} ({same}) and in block {blocks[name]} ({name})",
                hint="put the modules that share a tensor into one block",
            )
    return {name: blocks[name] for name in first.values()}


def _block(backbone: Backbone, parameter: str, places: dict[str, int]) -> int:
    """The one block of a parameter, by its own name or that of a module around it."""
    words = parameter.split(".")
    around = [".".join(words[:end]) for end in range(1, len(words) + 1)]
    named = [name for name in around if name in places]
    if len(found := {places[name] for name in named}) == 1:
        return found.pop()
    if found:
        raise backbone.fault(
            f"has {parameter} in blocks {' and '.join(map(str, sorted(found)))} ({', '.join(named)})",
            hint="each parameter belongs to one block: name its parts in place of the whole",
        )
    raise backbone.fault(f"has {parameter} in no block", hint="each parameter belongs to one block")


def lora_modules(backbone: Backbone) -> tuple[str, ...]:
    """The names of the submodules that adapters go beside, in the order of the network.

    A target is a submodule's name, or its end from a dot on, as PEFT's ``target_modules`` reads it.

    Raises:
        BackboneError: the backbone names none.
        BackboneError, PluginError: a target that names nothing, or something else than linear layers and
            convolutions.

    >>> from torch import nn
    >>> from tlengine.features import Backbone, ImagePreprocess
    >>> net = nn.Sequential(nn.Flatten(), nn.Sequential(nn.Linear(48, 5), nn.Linear(5, 5)))
    >>> prep = ImagePreprocess(resize=4, crop=4)
    >>> lora_modules(Backbone(net, preprocess=prep, modality="image", name="net", lora_targets=["1.0"]))
    ('1.0',)
    """
    from torch import nn

    if not backbone.lora_targets:
        raise BackboneError(
            f"backbone {backbone.name!r} names no lora_targets, the layers that adapters go beside",
            hint="give it lora_targets=, names of its linear layers, or their ends, such as 'query'",
        )
    modules = dict(backbone.module.named_modules())
    found: dict[str, str] = {}
    for target in backbone.lora_targets:
        names = [name for name in modules if name == target or name.endswith(f".{target}")]
        if not names:
            raise backbone.fault(
                f"has no submodule for the lora target {target!r}", hint="see named_modules() for their names"
            )
        found.update((name, target) for name in names)
    layers = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    for name, target in found.items():
        if not isinstance(modules[name], layers) and type(modules[name]).__name__ != "Conv1D":
            raise backbone.fault(
                f"has a {type(modules[name]).__name__} at {name}, which the lora target {target!r} names",
                hint="adapters go beside linear layers and convolutions",
            )
    return tuple(name for name in modules if name in found)
