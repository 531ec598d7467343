"""Means and variances of batch normalisation for untrained weights, from contents without labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tlengine.data import Dataset
from tlengine.errors import DecodeError, InputError
from tlengine.features.images import MAX_PIXELS

if TYPE_CHECKING:
    from torch import nn

    from tlengine.features.backbone import Backbone
    from tlengine.features.batching import Batch

__all__ = ["estimate_batch_statistics"]

_CONTENTS, _BATCH = 256, 64


def estimate_batch_statistics(backbone: Backbone, contents: Dataset | Sequence[Any]) -> None:
    """Set running means and variances of the batch normalisation in ``backbone`` to averages over batches.

    One pass over up to 256 distinct contents, the first in the order of their keys, in batches of up to
    64; only batch normalisation is in training mode. It runs on the CPU with one thread, so that threads and
    devices change no bit. A network without such layers is left alone, and no content is read.

    Raises:
        InputError: contents of another modality.
        DecodeError: fewer than two contents can be read.
        BackboneError, PluginError: the network fails, or a statistic is not finite.
    """
    modality, items = _checked(backbone, contents)
    layers = _layers(backbone.module)
    if not layers:
        return
    import torch

    from tlengine.features.forward import Forward

    used = 0
    with Forward(backbone, "cpu", "float32") as forward, _averaging(layers):
        torch.set_num_threads(1)  # put back by Forward
        for batch in _batches(backbone, modality, items):
            if len(batch.rows) > 1:  # one row alone may have no variance
                forward.output(batch.arrays)
                used += len(batch.rows)
    if not used:
        raise DecodeError(
            f"backbone {backbone.name!r} has batch normalisation, and fewer than two contents can be read",
            hint="pass contents=None to leave means 0 and variances 1",
        )
    if not all(bool(torch.isfinite(one).all()) for part in layers for one in part.buffers(recurse=False)):
        raise backbone.fault("gives numbers that are not finite on untrained weights")


def _checked(backbone: Backbone, contents: Dataset | Sequence[Any]) -> tuple[str, Sequence[Any]]:
    items = contents.contents if isinstance(contents, Dataset) else contents
    if items is None:
        raise InputError("features have no contents", hint="pass the images or texts that they come from")
    if isinstance(contents, Dataset):
        modality = contents.modality
    elif backbone.modality == "any":
        modality = "text" if len(items) and isinstance(items[0], str) else "image"
    else:
        modality = backbone.modality
    if not backbone.takes(modality):
        raise InputError(f"backbone {backbone.name!r} takes {backbone.modality}, the contents are {modality}")
    return modality, items


def _layers(module: nn.Module) -> list[Any]:
    """Batch normalisation that keeps statistics."""
    from torch.nn.modules.batchnorm import _BatchNorm

    norms = [part for part in module.modules() if isinstance(part, _BatchNorm)]
    return [part for part in norms if part.running_mean is not None]


@contextmanager
def _averaging(layers: Sequence[Any]) -> Iterator[None]:
    """The layers in training mode, each batch with the same weight; then their momentum is put back."""
    momenta = [part.momentum for part in layers]
    try:
        for part in layers:
            part.reset_running_stats()
            part.train()
            part.momentum = None
        yield
    finally:
        for part, momentum in zip(layers, momenta, strict=True):
            part.momentum = momentum


def _batches(backbone: Backbone, modality: str, items: Sequence[Any]) -> Iterator[Batch]:
    from tlengine.features.batching import image_batches, text_batches
    from tlengine.features.contents import Hashed
    from tlengine.features.store import DistinctContents

    samples = DistinctContents.of(items)
    rows = sorted(samples.first, key=lambda row: samples.keys[row].tobytes())[:_CONTENTS]
    size = -(-len(rows) // max(1, -(-len(rows) // _BATCH)))  # batches of like size: none of a single row
    hashed = Hashed(items, samples.keys)
    if modality == "image":
        return image_batches(
            hashed, rows, backbone.preprocess, batch_size=max(1, size), workers=None, max_pixels=MAX_PIXELS
        )
    return text_batches(hashed, rows, backbone.preprocess, batch_size=max(1, size))
