"""The code that a network carries with it: ``torch.fx`` graphs and TorchScript, which no ``repr`` shows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tlengine.features.constructed import plain_setting

if TYPE_CHECKING:
    from torch import nn
    from torch.jit import ScriptModule

__all__ = ["program_of"]

_MANGLED = re.compile(r"\.___torch_mangle_\d+")
"""TorchScript numbers its classes by the order in which the process met them."""


def program_of(part: nn.Module) -> list[Any]:
    """Code, constants and attributes of a traced or scripted module; empty for any other.

    >>> import torch
    >>> program_of(torch.nn.ReLU()), len(program_of(torch.fx.symbolic_trace(torch.nn.ReLU())))
    ([], 1)
    """
    import torch

    if isinstance(part, torch.fx.GraphModule):
        return [str(part.code)]
    if isinstance(part, torch.jit.ScriptModule) and hasattr(part, "_c"):
        return [_method(part, name) for name in sorted(part._c._method_names())]
    return []


def _method(part: ScriptModule, name: str) -> list[Any]:
    method = part._c._get_method(name)
    code, constants = method.code_with_constants
    return [name, _MANGLED.sub("", code), _values(constants), _values(_attributes(part, code))]


def _attributes(part: ScriptModule, code: str) -> dict[str, Any]:
    """What the code reads from the module; parameters, buffers and submodules are elsewhere in the key."""
    known = {**part._parameters, **part._buffers, **part._modules}
    asked = set(re.findall(r"\b\w+\.(\w+)\b", code)) - known.keys()
    return {name: getattr(part, name) for name in asked if part._c.hasattr(name)}


def _values(named: dict[str, Any]) -> dict[str, Any]:
    return {name: plain_setting(value) for name, value in sorted(named.items())}
