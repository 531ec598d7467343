"""A fine-tuned network in files: ``model.safetensors`` to load, ``config.json`` to read; never pickle.

``model.safetensors`` is complete by itself: its header carries the configuration and a BLAKE2b digest over
configuration and tensors, so that a flipped bit is found, and replacing that one file replaces the model as a
whole. The names of the files are those of a saved probe; the format in the header tells them apart.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from tlengine.documents import replace_file, replace_text
from tlengine.errors import HeadFormatError
from tlengine.probes.container import configuration, locate, read_header

__all__ = ["read_network", "write_network"]

FORMAT, VERSION = "tlengine-network", 1
_PARTS = ("backbone", "head", "calibration", "metadata")


def write_network(
    directory: str | os.PathLike[str], facts: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]
) -> Path:
    """Write both files into ``directory``, which is made if missing; returns it.

    A model that is there is replaced in one step: a crash leaves the old one or the new one.

    Raises:
        InputError: facts that JSON cannot hold, or too many of them.
        OSError: the disk is full.
    """
    from safetensors.torch import save

    text = configuration(format=FORMAT, version=VERSION, **facts)
    # Copies: safetensors refuses tensors that share their memory, as tied parameters do.
    kept = {name: one.detach().cpu().clone().contiguous() for name, one in tensors.items()}
    data = save(kept, metadata={"tlengine": text, "digest": _digest(text, kept)})
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / "model.safetensors", lambda file: file.write(data))
    replace_text(folder / "config.json", json.dumps(json.loads(text), indent=2) + "\n")
    return folder


def read_network(path: str | os.PathLike[str]) -> tuple[Path, dict[str, Any], dict[str, torch.Tensor]]:
    """The model file, what its header says, and its tensors, all of it checked; nothing is executed.

    Raises:
        FileNotFoundError: nothing is there.
        UnsafeArtifactError: a pickle or an archive; it is not opened further.
        HeadFormatError: anything else that is not a whole, undamaged network of this version.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    model = locate(Path(path))
    raw = model.read_bytes()
    text, digest = read_header(model, raw)
    facts = _facts(model, text)
    try:
        tensors = load(raw)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise HeadFormatError(f"{model} is damaged: {error}") from None
    if _digest(text, tensors) != digest:
        raise HeadFormatError(f"{model} is damaged: its digest does not match", hint="save the model again")
    return model, facts, tensors


def _facts(model: Path, text: str) -> dict[str, Any]:
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise HeadFormatError(f"{model} is no saved network: {error}") from None
    known = (facts.get("format"), facts.get("version")) if isinstance(facts, dict) else None
    if known != (FORMAT, VERSION):
        raise HeadFormatError(
            f"{model} is no fine-tuned network of this version: {known}",
            hint=f"this tlengine reads {FORMAT!r}, version {VERSION}",
        )
    if not all(isinstance(facts.get(part), dict) for part in _PARTS):
        raise HeadFormatError(f"{model}: incomplete configuration")
    found: dict[str, Any] = facts
    return found


def _digest(text: str, tensors: Mapping[str, torch.Tensor]) -> str:
    state = hashlib.blake2b(text.encode(), digest_size=32)
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        state.update(f"\0{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        state.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return state.hexdigest()
