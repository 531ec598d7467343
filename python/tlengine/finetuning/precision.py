"""In which numbers a network is computed while it is trained."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from tlengine.features.forward import PRECISIONS

__all__ = ["computing", "precision_on"]


def precision_on(wanted: str, device: torch.device | str) -> str:
    """A name of ``PRECISIONS`` for the setting ``precision``: ``"auto"`` is bf16 on a GPU that has it.

    >>> precision_on("auto", "cpu"), precision_on("fp16", "cpu")
    ('float32', 'fp16')
    """
    if wanted != "auto":
        return wanted
    on_gpu = torch.device(device).type == "cuda"
    able = on_gpu and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bf16" if able else "float32"


def computing(
    precision: str, device: torch.device | str, *, cached: bool = True
) -> AbstractContextManager[Any]:
    """The mode in which a forward pass is made: by autocast, or as the network is for float32.

    Args:
        precision: a name of ``PRECISIONS``.
        device: of the network.
        cached: whether weights that were cast are kept for further calls in the mode. Those that were cast
            without gradients have none later: pass False where passes with and without follow each other.

    >>> with computing("bf16", "cpu"):
    ...     torch.nn.Linear(2, 2)(torch.ones(1, 2)).dtype
    torch.bfloat16
    """
    if precision == "float32":
        return nullcontext()
    kind = torch.device(device).type
    return torch.autocast(kind, dtype=PRECISIONS[precision], cache_enabled=cached)
