"""What a training needs to go on where it was cut off: one safetensors file, whole or not there."""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tlengine.documents import replace_file
from tlengine.errors import TlengineWarning

__all__ = ["Checkpoints", "Saved", "put_back", "state_of", "weights_of"]

NAME = "checkpoint.safetensors"
_FORMAT = "tlengine-checkpoint-1"


@dataclass(frozen=True, kw_only=True)
class Saved:
    """A training as it was after ``step`` steps.

    Attributes:
        step: steps that were made.
        tensors: trained parameters and buffers by name, the moments of the optimiser, and the last weights
            that are known to be good.
        facts: plain JSON.
    """

    step: int
    tensors: Mapping[str, torch.Tensor]
    facts: Mapping[str, Any]


class Checkpoints:
    """The last state of one training, in a folder.

    Args:
        folder: made when the first state is kept; None keeps nothing.
        identity: a digest of all that determines the training; a file of another one is left alone.
        seconds: between two states.
        name: of the file.
    """

    def __init__(self, folder: Path | None, identity: str, seconds: float, name: str = NAME) -> None:
        self._path = None if folder is None else folder / name
        self._identity, self._seconds = identity, seconds
        self._last = time.monotonic()

    @property
    def keeps(self) -> bool:
        """Whether there is a folder."""
        return self._path is not None

    def due(self) -> bool:
        """Whether it is time for another one."""
        return self.keeps and time.monotonic() - self._last >= self._seconds

    def save(self, saved: Saved) -> bool:
        """Keep a state; where the disk is full the training goes on, with a warning, and this is False."""
        from safetensors.torch import save

        if self._path is None:
            return False
        self._last = time.monotonic()
        tensors = _apart(saved.tensors)
        facts = {
            "format": _FORMAT, "identity": self._identity, "step": saved.step, "facts": saved.facts,
            "digest": _digest(tensors),
        }  # fmt: skip
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            data = save(tensors, metadata={"tlengine": json.dumps(facts)})
            replace_file(self._path, lambda file: file.write(data), durable=False)
        except OSError as error:
            note = (
                f"a checkpoint cannot be kept ({error.strerror or error}): {self._path}; the training goes on"
            )
            warnings.warn(note, TlengineWarning, stacklevel=2)
            return False
        return True

    def load(self) -> Saved | None:
        """The last state of the same training; None where there is none, or it is damaged."""
        from safetensors import SafetensorError, safe_open

        if self._path is None or not self._path.is_file():
            return None
        self._sweep()
        try:
            with safe_open(self._path, framework="pt") as file:
                facts = json.loads((file.metadata() or {}).get("tlengine", "{}"))
                if (facts.get("format"), facts.get("identity")) != (_FORMAT, self._identity):
                    return None
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if facts["digest"] != _digest(tensors):
                return None
            return Saved(step=int(facts["step"]), tensors=tensors, facts=facts["facts"])
        except (OSError, SafetensorError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def forget(self) -> None:
        """The training is over."""
        if self._path is not None:
            with suppress(OSError):  # a file that stays is of no harm
                self._path.unlink(missing_ok=True)
            self._sweep()

    def _sweep(self) -> None:
        """Remove what a process that was killed in :meth:`save` left behind."""
        assert self._path is not None
        with suppress(OSError):
            for draft in self._path.parent.glob(".tlengine-*.tmp"):
                draft.unlink(missing_ok=True)


def _apart(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """On the CPU, plainly laid out, each with memory of its own: safetensors takes nothing else."""
    found: dict[str, torch.Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        one = tensor.detach().cpu().contiguous()
        memory = one.untyped_storage().data_ptr()
        found[name] = one.clone() if memory in seen else one
        seen.add(memory)
    return found


def _digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """Of all bytes: safetensors would take up a file whose numbers are damaged."""
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def weights_of(network: nn.Module, trained: Iterable[nn.Parameter]) -> dict[str, torch.Tensor]:
    """Trained parameters, and all buffers, by name; not copied."""
    names = {id(one): name for name, one in network.named_parameters()}
    found = {f"weight:{names[id(one)]}": one.detach() for one in trained}
    return found | {f"buffer:{name}": one for name, one in network.named_buffers()}


def state_of(network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Trained parameters, buffers, and the moments of the optimiser, by name; not copied."""
    names = {id(one): name for name, one in network.named_parameters()}
    found = weights_of(network, (one for group in optimizer.param_groups for one in group["params"]))
    for parameter, moments in optimizer.state.items():
        for kind, tensor in moments.items():
            found[f"{kind}:{names[id(parameter)]}"] = tensor
    return found


def put_back(
    network: nn.Module, tensors: Mapping[str, torch.Tensor], optimizer: torch.optim.Optimizer | None = None
) -> None:
    """The reverse of :func:`state_of`, or without an optimiser of :func:`weights_of`, in place.

    Moments get the memory layout of their parameter: a fused optimiser reads both as they lie.
    """
    parameters, buffers = dict(network.named_parameters()), dict(network.named_buffers())
    with torch.no_grad():
        for full, tensor in tensors.items():
            kind, _, name = full.partition(":")
            if kind == "weight":
                parameters[name].copy_(tensor)
            elif kind == "buffer":
                buffers[name].copy_(tensor)
            elif optimizer is not None:
                _put_moment(optimizer, kind, parameters[name], tensor)


def _put_moment(
    optimizer: torch.optim.Optimizer, kind: str, parameter: nn.Parameter, tensor: torch.Tensor
) -> None:
    fused = bool(optimizer.defaults.get("fused"))
    kept = tensor.to(parameter.device if fused else "cpu", copy=True)
    if kind != "step":
        kept = torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor)
    optimizer.state[parameter][kind] = kept
