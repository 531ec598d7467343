"""A kept network put together again: its backbone, its head, their weights; what does not fit is refused."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch
from torch import nn

from tlengine.errors import BackboneError, HeadFormatError, InputError, UnknownNameError
from tlengine.features import Backbone, ImagePreprocess, load_backbone
from tlengine.features.checking import other_backbone
from tlengine.features.recipes import Fingerprint
from tlengine.finetuning.heads import build_head, tokens_of
from tlengine.finetuning.network import Network
from tlengine.plugins import registry
from tlengine.plugins.containment import reason

__all__ = ["add_kept_adapters", "fill", "is_retold", "network_of", "origin_of", "parts_of", "pretrained"]


def origin_of(backbone: Backbone) -> dict[str, Any]:
    """What a model keeps of its pretrained backbone: enough to load it again, and to know it again."""
    told = {"name": backbone.name, "modality": backbone.modality, **parts_of(backbone.fingerprints())}
    return {**told, "image_size": _image_size(backbone)}


def parts_of(found: Fingerprint) -> dict[str, str]:
    """A fingerprint and what it is made of."""
    return {"fingerprint": found.digest, **found.as_dict()}


def _image_size(backbone: Backbone) -> int | None:
    """The side of its square pictures, by which it is loaded again."""
    preprocess = backbone.preprocess
    crop = preprocess.crop if isinstance(preprocess, ImagePreprocess) else None
    return crop if isinstance(crop, int) else None


def pretrained(origin: Mapping[str, Any], given: Backbone | None) -> Backbone:
    """The backbone that a model was trained from, the caller's own.

    Args:
        origin: as :func:`origin_of` told it.
        given: a copy of it is taken; None loads it by its name.

    Raises:
        InputError: ``given`` is no backbone.
        UnknownNameError, MissingPackageError: no plugin here brings it.
    """
    if given is not None:
        if not isinstance(given, Backbone):
            raise InputError(f"a {type(given).__name__} is no backbone", hint="pass tl.Backbone(module, ...)")
        found = given.copy()
        found.module.to("cpu")
    else:
        try:
            found = load_backbone(str(origin.get("name")))
        except UnknownNameError as error:
            raise UnknownNameError(
                error.message,
                hint=f"{error.hint}; for a module of your own: tl.from_pretrained(path, backbone=backbone)",
            ) from None
        size = origin.get("image_size")
        if size is not None and size != _image_size(found):
            found = found.at_size(size)
    if origin.get("modality") in ("image", "text"):
        found = found.for_modality(origin["modality"])
    return found


def is_retold(origin: Mapping[str, Any], now: Fingerprint, name: str) -> bool:
    """Whether only the text of the structure is another one.

    Raises:
        BackboneError: weights or preprocessing are.
    """
    changed = [part for part, digest in now.as_dict().items() if origin.get(part) != digest]
    if changed in ([], ["structure"]):
        return bool(changed)
    raise other_backbone(
        now.digest, name, str(origin.get("fingerprint")), f"what changed: {', '.join(changed)}"
    )


def add_kept_adapters(backbone: Backbone, adapters: Any, model: Path) -> None:
    """Adapters of the kept shape, untrained.

    Raises:
        HeadFormatError: no shape of adapters.
        MissingPackageError: peft is not installed.
    """
    from tlengine.finetuning.adapters import add_adapters
    from tlengine.finetuning.settings import TrainSettings

    try:
        names = {f"lora_{name}": adapters[name] for name in ("rank", "alpha", "dropout")}
        settings = TrainSettings(train="adapters", **names)
    except (KeyError, TypeError, InputError) as error:
        raise HeadFormatError(f"{model}: adapters that do not fit: {error}") from None
    add_adapters(backbone, settings, 0)


def network_of(
    backbone: Backbone, head: Mapping[str, Any], classes: npt.NDArray[Any], model: Path
) -> Network:
    """The backbone with the head that the model says it has, which is not trained yet.

    Args:
        backbone: with adapters, where there are any.
        head: ``name dim classes settings tokens``.
        classes: (K,) the labels of the model.
        model: its file, for messages.

    Raises:
        HeadFormatError: the head is for other classes, or for rows of another width.
        BackboneError: it reads tokens, and the backbone names others, or none.
        UnknownNameError: no plugin here brings the head.
    """
    if head.get("classes") != len(classes):
        raise HeadFormatError(
            f"{model} holds a head for {head.get('classes')} classes, its labels are {len(classes)}"
        )
    try:
        name, dim = str(head["name"]), head["dim"]
        reads_tokens = registry.resolve_head(name).input == "tokens"
        if reads_tokens:
            _refuse_other_tokens(backbone, head, model)
        elif dim != backbone.embedding_dim:
            raise HeadFormatError(
                f"{model} holds a head for {dim} columns, backbone {backbone.name!r} has "
                f"{backbone.embedding_dim}"
            )
        shape = tuple(dim) if isinstance(dim, list) else dim
        built = build_head(name, shape, len(classes), **head["settings"])
    except (KeyError, TypeError, InputError) as error:
        if isinstance(error, UnknownNameError):
            raise
        raise HeadFormatError(f"{model}: a head that does not fit: {reason(error)}") from None
    return Network(backbone.module, built, partial(tokens_of, backbone) if reads_tokens else None)


def _refuse_other_tokens(backbone: Backbone, head: Mapping[str, Any], model: Path) -> None:
    """Where tokens are read is in no fingerprint."""
    told = head.get("tokens")
    if not told or told != backbone.tokens:
        raise BackboneError(
            f"{model} holds a head for the tokens at {told!r}, backbone {backbone.name!r} names "
            f"{backbone.tokens!r}",
            hint="take the backbone that it was trained on, with the same tokens=",
        )


def fill(
    module: nn.Module, tensors: Mapping[str, torch.Tensor], prefix: str, model: Path, *, whole: bool
) -> None:
    """The kept values into the module, in place.

    Raises:
        HeadFormatError: a name, a shape or a type that the module does not have; with ``whole``, one that is
            missing.
    """
    state = module.state_dict()
    missing = [prefix + name for name in state if prefix + name not in tensors] if whole else []
    if missing:
        raise HeadFormatError(f"{model} lacks {', '.join(missing[:3])}")
    for full, tensor in sorted(tensors.items()):
        name = full.removeprefix(prefix)
        if not full.startswith(prefix) or name not in state:
            raise HeadFormatError(f"{model} holds {full!r}, which this network does not have")
        if (tensor.shape, tensor.dtype) != (state[name].shape, state[name].dtype):
            raise HeadFormatError(
                f"{model}: {full} is {tensor.dtype} {tuple(tensor.shape)}, the network has "
                f"{state[name].dtype} {tuple(state[name].shape)}"
            )
    with torch.no_grad():
        for full, tensor in tensors.items():
            state[full.removeprefix(prefix)].copy_(tensor)
