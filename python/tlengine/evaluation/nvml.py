"""The energy counters of NVIDIA's GPUs, by the library that comes with their driver (NVML), by ctypes."""

from __future__ import annotations

import ctypes
import os
from typing import Any

__all__ = ["Nvml"]

LIBRARY = "libnvidia-ml.so.1"


class Nvml:
    """The GPUs that this process may use, by their handles.

    Which ones: those of ``CUDA_VISIBLE_DEVICES`` (numbers or ``GPU-…``), all without it.
    """

    def __init__(self, library: Any, handles: list[ctypes.c_void_p]) -> None:
        self._library, self._handles = library, handles

    @classmethod
    def open(cls, name: str = LIBRARY) -> Nvml | None:
        """None where there is no driver, no GPU, or one that does not count (before Volta)."""
        try:
            library = ctypes.CDLL(name)
            if library.nvmlInit_v2() != 0:
                return None
            found = cls(library, _handles(library))
        except (OSError, AttributeError):
            return None
        return found if found._handles and found.joules() is not None else None

    def joules(self) -> float | None:
        """Of all of them, since the driver was loaded; None where one cannot say."""
        total, count = 0, ctypes.c_ulonglong()
        for handle in self._handles:
            if self._library.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(count)) != 0:
                return None
            total += count.value
        return total / 1e3


def _handles(library: Any) -> list[ctypes.c_void_p]:
    """One for each GPU; none where one of them cannot be had, for a sum without it would be wrong."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        count = ctypes.c_uint()
        if library.nvmlDeviceGetCount_v2(ctypes.byref(count)) != 0:
            return []
        names = [str(number) for number in range(count.value)]
    else:
        names = [name.strip() for name in visible.split(",") if name.strip()]
    found = [_handle(library, name) for name in names]
    return [handle for handle in found if handle is not None] if None not in found else []


def _handle(library: Any, name: str) -> ctypes.c_void_p | None:
    handle = ctypes.c_void_p()
    if name.isdigit():
        status = library.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(int(name)), ctypes.byref(handle))
    else:
        status = library.nvmlDeviceGetHandleByUUID(name.encode(), ctypes.byref(handle))
    return handle if status == 0 else None
