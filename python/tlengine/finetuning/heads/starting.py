"""A head's first weights: those of a linear probe (Kumar et al. 2022), or the class means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tlengine.errors import InputError, NonFiniteError, PluginError, ShapeMismatchError
from tlengine.finetuning.heads.building import build_head, head_origin
from tlengine.plugins import HeadSpec, heads, registry

if TYPE_CHECKING:
    from torch import nn

__all__ = ["head_from_probe", "start_from_means", "start_from_probe", "start_with"]


def start_from_probe(head: nn.Module, name: str, coef: npt.ArrayLike, intercept: npt.ArrayLike) -> None:
    """Give ``head`` the weights with which its logits are those of a linear probe.

    In evaluation mode a row x then has the logits ``x @ coef.T + intercept``; for a head that reads tokens, x
    is their mean.

    Args:
        head: as :func:`build_head` made it; changed in place.
        name: of the head.
        coef: (K, dim). Of two classes a probe has one row c: they get -c/2 and c/2, whose softmax is the
            probe's logistic function.
        intercept: (K,), or (1,).

    Raises:
        InputError: the head cannot be a probe.
        NonFiniteError, ShapeMismatchError: coefficients that are not finite, or of another head.
        PluginError: the head's plugin names parameters that the module does not have, or fails.

    >>> import torch
    >>> from tlengine.finetuning import build_head
    >>> head = build_head("linear", 2, 3)
    >>> start_from_probe(head, "linear", coef=[[1, 0], [0, 1], [1, 1]], intercept=[0, 0, 0.5])
    >>> head(torch.tensor([[2.0, 3.0]])).tolist()
    [[2.0, 3.0, 5.5]]
    """
    spec = registry.resolve_head(name)
    W, b = _finite(spec, "coef", coef), _finite(spec, "intercept", intercept)
    if W.ndim != 2 or b.shape != (len(W),):
        raise ShapeMismatchError(
            f"head {name!r}: coef has shape {W.shape}, intercept {b.shape}", hint="pass (K, dim) and (K,)"
        )
    if len(W) == 1:
        W, b = np.concatenate([-W / 2, W / 2]), np.concatenate([-b / 2, b / 2])
    if spec.from_probe is None:
        able = ", ".join(one.name for one in heads().values() if one.from_probe is not None)
        raise InputError(f"head {name!r} cannot start from a probe", hint=f"these can: {able}")
    start_with(head, spec, "from_probe", W, b)


def head_from_probe(
    name: str, coef: npt.NDArray[np.float64], intercept: npt.NDArray[np.float64], **settings: Any
) -> nn.Module:
    """The head ``name`` for the classes and columns of a linear probe, started from it.

    Args:
        name: of the head.
        coef: (K, dim); see :func:`start_from_probe`.
        intercept: (K,).
        settings: of the head.

    Raises:
        see :func:`build_head` and :func:`start_from_probe`.

    >>> head_from_probe("linear", np.eye(3, 5), np.zeros(3)).weight.shape
    torch.Size([3, 5])
    """
    W = np.asarray(coef)
    if W.ndim != 2:
        raise ShapeMismatchError(f"head {name!r}: coef has shape {W.shape}", hint="pass (K, dim)")
    dim = W.shape[1]
    tokens = registry.resolve_head(name).input == "tokens"
    head = build_head(name, (None, dim) if tokens else dim, max(2, len(W)), **settings)
    start_from_probe(head, name, coef, intercept)
    return head


def start_from_means(head: nn.Module, name: str, means: npt.ArrayLike) -> None:
    """Give ``head`` the mean row of each class to start from.

    Args:
        head: as :func:`build_head` made it; changed in place.
        name: of the head.
        means: (K, dim).

    Raises:
        InputError: the head does not start from means.
        NonFiniteError, ShapeMismatchError, PluginError: as :func:`start_from_probe`.

    >>> import torch
    >>> from tlengine.finetuning import build_head
    >>> head = build_head("cosine", 2, 2, scale=5)
    >>> start_from_means(head, "cosine", [[3, 0], [0, 0.1]])
    >>> head(torch.tensor([[0.0, 7.0]])).round().tolist()
    [[0.0, 5.0]]
    """
    spec = registry.resolve_head(name)
    found = _finite(spec, "means", means)
    if found.ndim != 2:
        raise ShapeMismatchError(f"head {name!r}: means have shape {found.shape}", hint="pass (K, dim)")
    if spec.from_means is None:
        able = ", ".join(one.name for one in heads().values() if one.from_means is not None)
        raise InputError(f"head {name!r} cannot start from class means", hint=f"these can: {able}")
    start_with(head, spec, "from_means", found)


def _finite(spec: HeadSpec, what: str, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise NonFiniteError(
            f"head {spec.name!r}: {what} holds NaN or infinity", hint="fit it on finite features"
        )
    return array


def start_with(head: nn.Module, spec: HeadSpec, word: str, *arrays: npt.NDArray[np.float64]) -> None:
    """Give ``head`` what the function ``word`` of its record makes of checked arrays."""
    _put(head, spec, _asked(spec, word, *arrays))


def _asked(spec: HeadSpec, word: str, *arrays: npt.NDArray[np.float64]) -> Mapping[str, Any]:
    """What the plugin's function makes of the arrays."""
    try:
        found = getattr(spec, word)(*arrays)
    except Exception as error:
        raise _fault(spec, f"{word} raised {type(error).__name__}: {error}") from error
    if not isinstance(found, Mapping):
        raise _fault(spec, f"{word} returned a {type(found).__name__}, not parameters by name")
    return found


def _put(head: nn.Module, spec: HeadSpec, state: Mapping[str, Any]) -> None:
    """Copy ``state`` into the head; nothing is copied where a part of it does not fit."""
    import torch

    own = {**dict(head.named_parameters()), **dict(head.named_buffers())}
    if unknown := [name for name in state if name not in own]:
        raise _fault(spec, f"has no parameter {unknown[0]!r}; it has {', '.join(own)}")
    values = {name: torch.as_tensor(np.asarray(value)) for name, value in state.items()}
    for name, value in values.items():
        if value.shape != own[name].shape:
            raise ShapeMismatchError(
                f"head {spec.name!r}: {name} has shape {tuple(own[name].shape)}, it would start from "
                f"{tuple(value.shape)}",
                hint="build the head with the same classes and columns",
            )
    with torch.no_grad():
        for name, value in values.items():
            own[name].copy_(value)


def _fault(spec: HeadSpec, message: str) -> PluginError:
    return PluginError(
        f"head {spec.name!r} ({head_origin(spec.name)}): {message}", hint="see docs/plugins.md for a head"
    )
