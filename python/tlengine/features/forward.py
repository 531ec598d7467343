"""Batches through a network: device, precision, memory, and what may come out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.parameter import is_lazy

from tlengine.errors import BackboneError, InputError, ResourceError, TlengineError
from tlengine.features.images import ImagePreprocess
from tlengine.features.memory import reused_buffers
from tlengine.plugins.containment import reason
from tlengine.settings import num_threads

if TYPE_CHECKING:
    from tlengine.features.backbone import Backbone

__all__ = ["PRECISIONS", "Forward", "available_devices", "batch_of", "choose_device", "is_out_of_memory"]

PRECISIONS = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

_CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


def choose_device(name: str, worker: int | None = None) -> str:
    """``name``, or for ``"auto"`` the best there is: cuda, mps, cpu.

    Args:
        name: as users give it.
        worker: the number of a process among those of this machine. Where there are several GPUs and the name
            leaves open which, each takes its own, in turn.

    Raises:
        BackboneError: no name, or a device that this machine, or this build of torch, does not have.

    >>> choose_device("cpu")
    'cpu'
    """
    present = available_devices()
    if not isinstance(name, str):
        raise BackboneError(f"a {type(name).__name__} names no device", hint=f"devices: {', '.join(present)}")
    if name == "auto":
        name = present[0]
    if name == "cuda" and worker is not None and (count := _count("cuda")) > 1:
        return f"cuda:{worker % count}"
    kind, _, number = name.partition(":")
    if kind not in present or (number and int(number) >= _count(kind) if number.isdecimal() else number):
        raise BackboneError(f"no device {name!r} here", hint=f"devices: auto, {', '.join(present)}")
    return name


def _count(kind: str) -> int:
    """How many devices of a kind there are."""
    return torch.cuda.device_count() if kind == "cuda" else 1


def available_devices() -> list[str]:
    """What torch can compute on here, the fastest first; the last is ``"cpu"``."""
    found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    return [device for device, there in found.items() if there]


class Forward:
    """A backbone made ready for inference; a context manager, which puts everything back at its end.

    Inside: evaluation mode, no gradients, the threads of ``TLENGINE_NUM_THREADS``, no TF32, and
    channels-last memory for convolutions. At its end the module has its own tensors again, on the device and
    in the memory layout that they had, and each submodule its own mode; also after an error.

    Args:
        backbone: what to run.
        device: as :func:`choose_device` returns it.
        precision: ``float32``, ``bf16`` or ``fp16`` (by autocast); rows come out as float32.
    """

    def __init__(self, backbone: Backbone, device: str, precision: str) -> None:
        if not isinstance(precision, str) or precision not in PRECISIONS:
            raise InputError(f"precision {precision!r}", hint=f"use one of {', '.join(PRECISIONS)}")
        self._backbone = backbone
        self._device = torch.device(device)
        self._precision = precision
        self._limit: int | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Forward:
        with self._stack:
            self._prepare(self._backbone.module)
            self._stack = self._stack.pop_all()
        return self

    def _prepare(self, module: nn.Module) -> None:
        """Everything here is undone by the stack, also when the next step fails."""
        self._stack.callback(_restore_modes, [(part, part.training) for part in module.modules()])
        self._refuse_lazy(module)
        held = _held(module)
        self._stack.callback(_restore_tensors, held)
        threads = torch.get_num_threads()
        self._stack.callback(torch.set_num_threads, threads)
        torch.set_num_threads(num_threads())
        self._stack.callback(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
        torch.set_float32_matmul_precision("highest")
        self._move(module)
        self._channels_last = any(isinstance(part, _CONVOLUTIONS) for part in module.modules())
        if self._channels_last:
            module.to(memory_format=torch.channels_last)
        for tensor in held:
            tensor.note_move()
        # Only now: weights that are moved in inference mode could never be trained again.
        self._stack.enter_context(torch.inference_mode())
        if self._device.type == "cpu":
            self._stack.enter_context(reused_buffers())
        if self._device.type == "cuda":
            self._stack.enter_context(torch.backends.cudnn.flags(enabled=True, allow_tf32=False))

    def _refuse_lazy(self, module: nn.Module) -> None:
        tensors = (*module.named_parameters(), *module.named_buffers())
        if lazy := [name for name, tensor in tensors if is_lazy(tensor)]:
            raise self._backbone.fault(
                f"has no shape yet for {', '.join(lazy[:3])}",
                hint="call the network on one batch first: lazy layers take their shape from it",
            )

    def _move(self, module: nn.Module) -> None:
        try:
            module.eval().to(self._device)
        except Exception as error:
            if isinstance(error, TlengineError) or is_out_of_memory(error):
                raise
            raise self._backbone.fault(
                f"cannot be moved to {self._device}: {type(error).__name__}: {error}",
                hint=f"let eval() and to({str(self._device)!r}) work, or choose another device",
            ) from error

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def __call__(self, rows: Sequence[npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
        """The embeddings of preprocessed samples, (n, embedding_dim) float32, checked.

        Raises:
            ResourceError: a single sample does not fit into the device's memory.
            BackboneError, PluginError: an output of another shape, or not finite.
        """
        parts, start = [], 0
        while start < len(rows):
            part = rows[start : start + (self._limit or len(rows))]
            try:
                parts.append(self._checked(self.raw(part), len(part)))
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                self._halve(error, part)
                continue
            start += len(part)
        return np.concatenate(parts)

    def raw(self, rows: Sequence[npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
        """One forward pass of all ``rows``; nothing is checked but that a tensor with rows comes out."""
        out = self.output(rows)
        if not out.is_floating_point():
            raise self._backbone.fault(
                f"returned {str(out.dtype).removeprefix('torch.')}, not real numbers",
                hint="return the features before any argmax or rounding, as float32",
            )
        return out.float().cpu().numpy()

    def output(self, rows: Sequence[npt.NDArray[Any]]) -> torch.Tensor:
        """What the network returns for all ``rows`` in one pass: (rows, columns), of its own dtype."""
        out = self._output(self._inputs(rows))
        if not isinstance(out, torch.Tensor) or out.ndim != 2:
            shape = tuple(out.shape) if isinstance(out, torch.Tensor) else type(out).__name__
            raise self._backbone.fault(
                f"returned {shape}, not a tensor (rows, columns)", hint=_way_to_rows(out)
            )
        return out

    def _output(self, inputs: Any) -> Any:
        """What the network returns; what it raises gets its name, unless memory ended."""
        module = self._backbone.module
        try:
            with self._autocast():
                return module(**inputs) if isinstance(inputs, Mapping) else module(inputs)
        except Exception as error:
            if isinstance(error, TlengineError) or is_out_of_memory(error):
                raise
            text = str(error).strip().partition("\n")[0]
            raise self._backbone.fault(f"failed: {type(error).__name__}: {text}") from error

    def _autocast(self) -> AbstractContextManager[Any]:
        if self._precision == "float32":
            return nullcontext()
        return torch.autocast(self._device.type, dtype=PRECISIONS[self._precision])

    def _inputs(self, rows: Sequence[npt.NDArray[Any]]) -> Any:
        return batch_of(self._backbone, rows, self._device, channels_last=self._channels_last)

    def _checked(self, out: npt.NDArray[np.float32], rows: int) -> npt.NDArray[np.float32]:
        widths = self._backbone.widths
        wide = out.shape[0] == rows
        if not wide or out.shape[1] not in widths:
            raise self._backbone.fault(
                f"returned shape {out.shape}, expected {' or '.join(str((rows, width)) for width in widths)}",
                hint=f"say embedding_dim={out.shape[1]}" if wide else "return one row for each sample",
            )
        if not np.isfinite(out).all():
            bad = int((~np.isfinite(out)).any(axis=1).sum())
            raise self._backbone.fault(f"returned NaN or inf in {bad} of {rows} rows ({self._precision})")
        return out

    def _halve(self, error: RuntimeError, part: Sequence[npt.NDArray[Any]]) -> None:
        """Allow half as many rows from now on, if there is more than one."""
        if len(part) == 1:
            raise ResourceError(
                f"no memory on {self._device} for one sample of shape {part[0].shape}",
                hint="use --device cpu, --precision bf16, or a smaller backbone; rows so far are kept",
                batch=1,
                shape=part[0].shape,
            ) from error
        self._limit = len(part) // 2
        if self._device.type == "cuda":
            torch.cuda.empty_cache()


def batch_of(
    backbone: Backbone, rows: Sequence[npt.NDArray[Any]], device: torch.device, *, channels_last: bool = False
) -> Any:
    """Preprocessed samples as what a network is called with: a tensor, or keywords by name.

    Args:
        backbone: its ``collate`` makes the batch where it has one; else token ids are padded, and the pixels
            of an ``ImagePreprocess`` normalised on the device.
        rows: what ``preprocess`` returned for each sample.
        device: where the batch is wanted.
        channels_last: the memory layout of pictures.

    Raises:
        BackboneError, PluginError: samples of different shapes, a ``collate`` that fails.
    """
    preprocess = backbone.preprocess
    if backbone.collate is not None:
        return _moved(_collated(backbone, rows), device)
    if hasattr(preprocess, "pad_id"):
        return _moved(_padded(rows, preprocess.pad_id), device)
    if len(shapes := {row.shape for row in rows}) > 1:
        raise backbone.fault(
            f"preprocesses samples to different shapes, such as {sorted(shapes)[:2]}",
            hint="token ids of any length need a pad_id: see tlengine.features.Tokenizer"
            if all(len(shape) == 1 for shape in shapes)
            else "resize and crop to one size",
        )
    stacked = torch.from_numpy(np.stack(rows)).to(device)
    if isinstance(preprocess, ImagePreprocess) and stacked.dtype == torch.uint8:
        stacked = preprocess.normalized(stacked)
    stacked = stacked.float()
    if channels_last and stacked.ndim == 4:
        stacked = stacked.contiguous(memory_format=torch.channels_last)
    return stacked


def _collated(backbone: Backbone, rows: Sequence[npt.NDArray[Any]]) -> Any:
    """What the backbone's own ``collate`` makes of the samples as ``preprocess`` itself returns them."""
    assert backbone.collate is not None
    preprocess = backbone.preprocess
    if isinstance(preprocess, ImagePreprocess) and rows[0].dtype == np.uint8:
        rows = [preprocess.normalized(torch.from_numpy(np.stack([row])))[0].numpy() for row in rows]
    try:
        batch = backbone.collate(list(rows))
    except Exception as error:
        raise backbone.fault(f"cannot collate {len(rows)} samples: {reason(error)}") from error
    values = batch.values() if isinstance(batch, Mapping) else [batch]
    if strange := [one for one in values if not isinstance(one, torch.Tensor)]:
        raise backbone.fault(
            f"collates samples to a {type(strange[0]).__name__}, not to tensors",
            hint="let collate return a tensor, or a mapping of keywords to tensors",
        )
    return batch


def _moved(
    batch: torch.Tensor | Mapping[str, torch.Tensor], device: torch.device
) -> torch.Tensor | dict[str, torch.Tensor]:
    if isinstance(batch, Mapping):
        return {name: value.to(device) for name, value in batch.items()}
    return batch.to(device)


def _restore_modes(modes: list[tuple[nn.Module, bool]]) -> None:
    for part, training in modes:
        part.training = training


@dataclass
class _Held:
    """A parameter or buffer as it was: where it hangs, itself, its memory, and its gradient.

    The memory is held, not copied: a module that is moved gets new memory on the device, and the old one is
    what it gets back, with the views and ties between tensors that a copy would lose.
    """

    registry: Any
    name: str
    tensor: torch.Tensor
    data: torch.Tensor
    grad: torch.Tensor | None
    grad_data: torch.Tensor | None
    moved: tuple[int, int] | None = None

    def note_move(self) -> None:
        """What is there now was put there by :class:`Forward`."""
        self.moved = _state(self.registry[self.name])

    def restore(self) -> None:
        """Put the tensor back; what the network itself wrote meanwhile stays."""
        now = dict(self.registry.items()).get(self.name)  # a scripted module's registry has no get
        if now is None:
            return  # the network took it away
        written = self.moved is not None and _state(now) != self.moved
        if written and now.shape == self.data.shape and not now.is_meta:
            self.data.copy_(now.detach())
        _give_back(self.tensor, self.data)
        if self.grad is not None and self.grad_data is not None:
            _give_back(self.grad, self.grad_data)
        if self.tensor.is_leaf and self.tensor.grad is not self.grad:
            self.tensor.grad = self.grad
        if self.registry[self.name] is not self.tensor:
            self.registry[self.name] = self.tensor


def _give_back(tensor: torch.Tensor, data: torch.Tensor) -> None:
    if tensor.data_ptr() != data.data_ptr() or tensor.stride() != data.stride():
        tensor.data = data


def _state(tensor: torch.Tensor) -> tuple[int, int]:
    """Another one where a tensor was replaced or written to."""
    return tensor.data_ptr(), -1 if tensor.is_inference() else tensor._version


def _held(module: nn.Module) -> list[_Held]:
    held = []
    for part in module.modules():
        for registry in (part._parameters, part._buffers):
            for name, tensor in registry.items():
                if tensor is not None:
                    grad = tensor.grad if tensor.is_leaf else None
                    memory = None if grad is None else grad.data
                    held.append(_Held(registry, name, tensor, tensor.data, grad, memory))
    return held


def _restore_tensors(held: list[_Held]) -> None:
    for one in held:
        one.restore()


def is_out_of_memory(error: Exception) -> bool:
    """On CUDA there is a class for it; the CPU and MPS only say so."""
    text = str(error).lower()
    told = isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)
    return told or isinstance(error, torch.OutOfMemoryError)


def _way_to_rows(out: Any) -> str:
    """How to get one row for each sample out of what the network returned."""
    if isinstance(out, torch.Tensor):
        axes = {1: "unsqueeze(1)", 3: "mean(dim=1)", 4: "mean(dim=(2, 3))"}.get(out.ndim, "flatten(1)")
        return f"end forward with: return out.{axes}"
    if isinstance(out, Mapping):  # transformers' ModelOutput is one
        return "return one of its tensors: out.pooler_output, or out.last_hidden_state.mean(dim=1)"
    if isinstance(out, list | tuple):
        return "return one of its tensors, such as out[0]"
    return "return torch.from_numpy(out)" if isinstance(out, np.ndarray) else "return a tensor"


def _padded(rows: Sequence[npt.NDArray[Any]], pad_id: int) -> dict[str, torch.Tensor]:
    longest = max(len(row) for row in rows)
    ids = np.full((len(rows), longest), pad_id, dtype=np.int64)
    mask = np.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = row
        mask[i, : len(row)] = 1
    return {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
