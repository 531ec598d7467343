"""What the import of a plugin loads, seen from a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import cache, partial
from typing import Any

__all__ = ["heavy_imports"]

_HEAVY = {"torch", "transformers", "timm", "torchvision"}


def heavy_imports(function: Callable[..., Any]) -> str:
    """What is wrong with the import of the module of ``function``; "" for nothing, and for tlengine's own."""
    while isinstance(function, partial):
        function = function.func
    module = function.__module__
    if getattr(sys.modules.get(module), "__file__", None) is None or module.startswith("tlengine."):
        return ""
    loads, fault = _loaded_by(module)
    if fault:
        return f"{module} cannot be imported by itself: {fault}"
    heavy = sorted(_HEAVY & loads)
    return f"importing {module} loads {', '.join(heavy)}; import them inside functions" if heavy else ""


@cache
def _loaded_by(module: str) -> tuple[frozenset[str], str]:
    """What a process of its own has loaded once it imported ``module``, or why it could not."""
    code = f"import sys; sys.path[:0] = {sys.path!r}; import {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return frozenset(done.stdout.split()), done.stderr.strip()[-200:] if done.returncode else ""
