"""Heads in files: the state dict as safetensors, what it was built of as JSON; never a pickle.

``head.safetensors`` is complete by itself: its header carries the configuration and a BLAKE2b digest over
configuration and tensors, so a flipped bit is found, and replacing that one file replaces the whole head.
``head.json`` is the same configuration for people.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlengine.documents import replace_file, replace_text
from tlengine.errors import (
    HeadFormatError,
    InputError,
    MissingPackageError,
    UnknownNameError,
    UnsafeArtifactError,
)
from tlengine.finetuning.heads.building import HeadConfig, head_origin
from tlengine.plugins import HeadSpec, registry

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["load_as", "load_head", "save_as", "save_head"]

_FORMAT, _VERSION = "tlengine-head", 1
_MODEL, _CONFIG = "head.safetensors", "head.json"
_MAX_HEADER = 1 << 20
_HINT = "use a folder that save_head wrote"


def save_head(head: nn.Module, config: HeadConfig, folder: str | os.PathLike[str]) -> Path:
    """Write ``head.safetensors`` and ``head.json`` into ``folder``, which is made if missing; return it.

    A head that is there is replaced in one step: a crash leaves the old one or the new one.

    Args:
        head: the module, on any device.
        config: what it was built of.
        folder: where to.

    Raises:
        UnknownNameError: no head of that name.
        InputError: the head keeps more than tensors, or is not what ``config`` builds.

    >>> import tempfile
    >>> config = HeadConfig(name="linear", dim=8, classes=3)
    >>> head, again = load_head(save_head(config.build(), config, tempfile.mkdtemp()))
    >>> head.weight.shape, again == config
    (torch.Size([3, 8]), True)
    """
    return save_as(registry.resolve_head(config.name), head, config, folder)


def save_as(spec: HeadSpec, head: nn.Module, config: HeadConfig, folder: str | os.PathLike[str]) -> Path:
    """As :func:`save_head`, for a record that no plugin registers."""
    from safetensors.torch import save

    tensors = _kept(head, config)
    if differs := _difference(tensors, config.build_with(spec).state_dict()):
        raise InputError(f"head {config.name!r} is not what its configuration builds: {differs}")
    text = json.dumps(_document(config), allow_nan=False, sort_keys=True)
    data = save(tensors, metadata={"tlengine": text, "digest": _digest(text, tensors)})
    where = Path(folder)
    where.mkdir(parents=True, exist_ok=True)
    replace_file(where / _MODEL, lambda file: file.write(data))
    replace_text(where / _CONFIG, json.dumps(json.loads(text), indent=2) + "\n")
    return where


def load_head(folder: str | os.PathLike[str], *, classes: int | None = None) -> tuple[nn.Module, HeadConfig]:
    """The head that :func:`save_head` wrote, in evaluation mode on the CPU, and what it was built of.

    Args:
        folder: the folder, or the ``head.safetensors`` in it.
        classes: how many it must have; None takes any number.

    Raises:
        FileNotFoundError: nothing is there.
        UnsafeArtifactError: a pickle or an archive; it is not opened further.
        HeadFormatError: anything else that is not a whole, undamaged head, or one for other ``classes``.
        MissingPackageError: no plugin here brings the head.
        PluginError: the head cannot be built.
    """
    model, text, tensors = _read(folder)
    config = _config(model, text)
    if classes is not None and config.classes != classes:
        raise HeadFormatError(
            f"{model} holds a head for {config.classes} classes, {classes} are asked for",
            hint="use the head that was trained on these classes",
        )
    try:
        spec = registry.resolve_head(config.name)
    except UnknownNameError:
        raise MissingPackageError(
            f"{model} needs the head {config.name!r}, which no plugin here brings",
            hint=f"install {json.loads(text).get('plugin')}",
        ) from None
    return _filled(spec, config, model, tensors), config


def load_as(spec: HeadSpec, folder: str | os.PathLike[str]) -> tuple[nn.Module, HeadConfig]:
    """As :func:`load_head`, for a record that no plugin registers."""
    model, text, tensors = _read(folder)
    config = _config(model, text)
    if config.name != spec.name:
        raise HeadFormatError(f"{model} holds the head {config.name!r}, not {spec.name!r}", hint=_HINT)
    return _filled(spec, config, model, tensors), config


def _filled(spec: HeadSpec, config: HeadConfig, model: Path, tensors: dict[str, torch.Tensor]) -> nn.Module:
    """The module with the weights of the file."""
    try:
        head = config.build_with(spec)
    except InputError as error:
        raise HeadFormatError(
            f"{model}: configuration that does not fit: {error.message}", hint=error.hint
        ) from error
    if differs := _difference(tensors, head.state_dict()):
        raise HeadFormatError(f"{model} does not fit the head {config.name!r}: {differs}", hint=_HINT)
    head.load_state_dict(tensors)
    return head.eval()


def _kept(head: nn.Module, config: HeadConfig) -> dict[str, torch.Tensor]:
    import torch

    state = head.state_dict()
    if odd := [name for name, value in state.items() if not isinstance(value, torch.Tensor)]:
        raise InputError(
            f"head {config.name!r} keeps {odd[0]!r}, which is no tensor, and cannot be saved",
            hint="keep it as a parameter, a buffer or a setting",
        )
    # Copies: safetensors refuses tensors that share their memory, as tied parameters do.
    return {name: value.detach().cpu().clone().contiguous() for name, value in state.items()}


def _document(config: HeadConfig) -> dict[str, Any]:
    dim = list(config.dim) if isinstance(config.dim, tuple) else config.dim
    return {
        "format": _FORMAT,
        "version": _VERSION,
        "head": config.name,
        "plugin": head_origin(config.name),
        "dim": dim,
        "classes": config.classes,
        "settings": dict(config.settings),
    }


def _difference(tensors: Mapping[str, torch.Tensor], wanted: Mapping[str, Any]) -> str:
    """What sets two state dicts apart, "" for nothing."""
    shapes, others = ({n: tuple(t.shape) for n, t in one.items()} for one in (tensors, wanted))
    for name in dict.fromkeys([*others, *shapes]):
        if shapes.get(name) != others.get(name):
            return f"{name} is {shapes.get(name, 'missing')}, not {others.get(name, 'there')}"
    return ""


def _digest(text: str, tensors: Mapping[str, torch.Tensor]) -> str:
    import torch

    state = hashlib.blake2b(text.encode(), digest_size=32)
    for name in sorted(tensors):
        tensor = tensors[name]
        state.update(f"\0{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        state.update(tensor.reshape(-1).contiguous().view(torch.uint8).numpy().data)
    return state.hexdigest()


def _read(folder: str | os.PathLike[str]) -> tuple[Path, str, dict[str, torch.Tensor]]:
    """The file, its configuration and tensors, after size, structure and digest were checked."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    place = Path(folder)
    model = place / _MODEL if place.is_dir() else place
    if not model.exists():
        raise FileNotFoundError(f"no saved head at {folder}")
    raw = model.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    if raw[:2] == b"PK" or (raw[:1] == b"\x80" and raw[8:9] != b"{"):
        raise UnsafeArtifactError(f"{model} is a pickle or an archive that may hold one; it was not loaded")
    if len(raw) < 8 or not 2 <= length <= min(_MAX_HEADER, len(raw) - 8):
        raise HeadFormatError(f"{model} is no saved head, or a damaged one", hint=_HINT)
    try:
        header = json.loads(raw[8 : 8 + length])["__metadata__"]
        text, digest = str(header["tlengine"]), header["digest"]
        tensors = load(raw)
    except (SafetensorError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise HeadFormatError(f"{model} is no saved head, or a damaged one: {error}", hint=_HINT) from None
    if _digest(text, tensors) != digest:
        raise HeadFormatError(f"{model} is damaged: its digest does not match", hint="save the head again")
    return model, text, tensors


def _config(model: Path, text: str) -> HeadConfig:
    try:
        found = json.loads(text)
        if (found["format"], found["version"]) != (_FORMAT, _VERSION):
            raise ValueError(
                f"format {found['format']!r}, version {found['version']!r}; this tlengine reads {_FORMAT!r}, "
                f"version {_VERSION}"
            )
        dim = tuple(found["dim"]) if isinstance(found["dim"], list) else found["dim"]
        return HeadConfig(
            name=str(found["head"]), dim=dim, classes=found["classes"], settings=dict(found["settings"])
        )
    except (LookupError, TypeError, ValueError) as error:
        raise HeadFormatError(f"{model}: configuration that does not fit: {error}", hint=_HINT) from None
