"""Low-rank adapters beside the layers that a backbone names, by ``peft``."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from torch import nn

from tlengine.errors import InputError, MissingPackageError
from tlengine.features import Backbone
from tlengine.finetuning.determinism import seed_generators
from tlengine.finetuning.memory import is_short
from tlengine.finetuning.settings import TrainSettings
from tlengine.plugins.containment import reason

__all__ = ["add_adapters", "merge_adapters", "require_peft"]

NAME = "tlengine"
_LAYERS = (nn.Linear, nn.Conv2d)
_RANKS = {"convolutions": 8, "linear": 16}


def add_adapters(backbone: Backbone, settings: TrainSettings, seed: int) -> None:
    """Put adapters into the network, in place; they change nothing until they are trained.

    Rank 8 beside convolutions of 1 x 1, else 16, unless ``settings`` say otherwise.

    Raises:
        MissingPackageError: peft is not installed.
        InputError: there is no such layer, or peft cannot go beside it.
    """
    require_peft()
    from peft import LoraConfig, inject_adapter_in_model

    ends = tuple(f".{target}" for target in backbone.lora_targets)  # as peft takes them
    named = backbone.module.named_modules()
    targets = [part for name, part in named if f".{name}".endswith(ends)]
    convolutions = any(isinstance(part, nn.Conv2d) for part in targets)
    rank = settings.lora_rank or _RANKS["convolutions" if convolutions else "linear"]
    config = LoraConfig(
        r=rank, lora_alpha=settings.lora_alpha, lora_dropout=settings.lora_dropout,
        target_modules=list(backbone.lora_targets),
    )  # fmt: skip
    seed_generators(seed, "cpu")
    try:
        with warnings.catch_warnings(), _plain(targets):
            warnings.simplefilter("ignore")
            inject_adapter_in_model(config, backbone.module, adapter_name=NAME)
    except Exception as error:  # whatever peft, or the class of a layer, makes of it
        if is_short(error):
            raise
        raise InputError(
            f"backbone {backbone.name!r} ({backbone.origin}) takes no adapters beside "
            f"{', '.join(backbone.lora_targets)}: {reason(error)}",
            hint="lora_targets name linear layers and convolutions, by the ends of their names",
        ) from error


@contextmanager
def _plain(parts: Iterable[nn.Module]) -> Iterator[None]:
    """Meanwhile layers of classes of their own are taken for torch's.

    peft makes both parts of an adapter by the class of the layer, which may ask for more than torch's does.
    """
    own = [(part, type(part)) for part in parts if isinstance(part, _LAYERS) and type(part) not in _LAYERS]
    for part, kind in own:
        part.__class__ = next(layer for layer in _LAYERS if issubclass(kind, layer))
    try:
        yield
    finally:
        for part, kind in own:
            part.__class__ = kind


def require_peft() -> None:
    """Whether adapters can be had.

    Raises:
        MissingPackageError: peft is not installed.
    """
    if find_spec("peft") is None:
        raise MissingPackageError("adapters need the package peft", hint="pip install 'peft>=0.17'")


def merge_adapters(module: nn.Module) -> None:
    """The adapters become part of the weights beside which they lie, in place.

    The layers are plain ones again, so that the network has the structure that it had before.
    """
    for name, part in list(module.named_modules()):
        if hasattr(part, "base_layer") and hasattr(part, "merge"):
            part.merge()
            parent = module.get_submodule(name.rpartition(".")[0])
            setattr(parent, name.rpartition(".")[2], part.get_base_layer())
