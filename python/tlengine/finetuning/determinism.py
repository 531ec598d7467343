"""torch made repeatable for the time of a fit: its threads, its generators, its memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from tlengine.features.memory import reused_buffers
from tlengine.settings import num_threads

__all__ = ["deterministic"]


@contextmanager
def deterministic() -> Iterator[None]:
    """The threads of ``TLENGINE_NUM_THREADS``, no TF32; generators and settings are put back."""
    threads, matmul = torch.get_num_threads(), torch.get_float32_matmul_precision()
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices), reused_buffers():
        torch.set_num_threads(num_threads())
        torch.set_float32_matmul_precision("highest")
        try:
            with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
                yield
        finally:
            torch.set_num_threads(threads)
            torch.set_float32_matmul_precision(matmul)
