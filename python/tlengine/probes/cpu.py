"""What the kernels of the core see of this machine."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

from tlengine import _core
from tlengine.settings import num_threads

__all__ = ["cpu_info"]


def cpu_info() -> dict[str, Any]:
    """The processor, and the instruction set that the kernels use on it.

    Returns:
        ``model``: the name of the chip; ``isa``: the instruction set in use (``$TLENGINE_ISA`` forces
        one); ``available``: those that can be forced, the portable one first; ``int8`` and
        ``bfloat16``: whether such products are faster than float32 ones here, and so come first when
        nearest neighbours are sought (the second is timed once, in less than a millisecond);
        ``threads``: the default number; ``build``: ``"release"`` or ``"debug"``.

    Raises:
        InputError: ``$TLENGINE_ISA`` names an instruction set that is not available.

    >>> sorted(cpu_info())
    ['available', 'bfloat16', 'build', 'int8', 'isa', 'model', 'threads']
    """
    isa, available = _core.instruction_sets()
    faster = _core.faster_than_float32()
    return {
        "model": _model(),
        "isa": isa,
        "available": available,
        "int8": "int8" in faster,
        "bfloat16": "bfloat16" in faster,
        "threads": num_threads(),
        "build": _core.build_profile,
    }


def _model() -> str:
    """The chip's name as the kernel of the system gives it, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
