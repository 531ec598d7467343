"""torch made repeatable for the time of a fit: its threads, generators, memory, modes and defaults."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch

from tlengine.features.memory import reused_buffers

__all__ = ["deterministic", "seed_generators"]


@contextmanager
def deterministic(threads: int) -> Iterator[None]:
    """So many threads, no TF32, gradients, float32 and the CPU as defaults.

    All is put back, the generators of torch, NumPy and Python too.
    """
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=devices))
        stack.callback(np.random.set_state, np.random.get_state())
        stack.callback(random.setstate, random.getstate())
        stack.callback(torch.set_num_threads, torch.get_num_threads())
        stack.callback(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
        stack.callback(torch.set_default_dtype, torch.get_default_dtype())
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision("highest")
        torch.set_default_dtype(torch.float32)
        if torch.get_default_device().type != "cpu":  # as a mode it slows every call down
            stack.enter_context(torch.device("cpu"))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False))
        stack.enter_context(reused_buffers())
        yield


def seed_generators(seed: int, device: torch.device | str) -> None:
    """Start the generators that dropout of any network on ``device`` may draw from.

    Not ``torch.manual_seed``: while CUDA is not used it puts each call, with a traceback, on a growing list.
    """
    kind = torch.device(device).type
    torch.default_generator.manual_seed(seed)
    if kind == "cuda":
        torch.cuda.manual_seed_all(seed)
    elif kind == "mps":
        torch.mps.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)
