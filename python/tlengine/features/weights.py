"""The tensors of a network as bytes: parameters, buffers and packed weights, of any dtype and layout."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from tlengine.errors import BackboneError, TlengineError, UnhashableRecipeError
from tlengine.features.cache import Hasher, blake3_hex
from tlengine.features.cache.keys import canonical_json
from tlengine.features.descriptions import describe

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["tensor_digest", "weights_digest"]


def weights_digest(module: nn.Module) -> str:
    """Hex digest of the names, dtypes, shapes and bytes of all that ``module`` has learned.

    Enter: parameters and buffers (also those that ``state_dict`` leaves out), and what else the state
    holds: packed weights of quantised layers, extra state. Device and memory layout do not.

    Raises:
        BackboneError: weights that are not there: on the meta device, or not initialised yet.
        UnhashableRecipeError: extra state that cannot be described.
    """
    hasher = Hasher()
    for name, tensor in _tensors(module):
        _refuse_missing(name, tensor)
        _absorb(hasher, name, tensor)
    return str(hasher.digest().hex())


def tensor_digest(tensor: Tensor) -> str:
    """Hex digest of one tensor: dtype, shape and numbers."""
    hasher = Hasher()
    _absorb(hasher, "", tensor)
    return str(hasher.digest().hex())


def _absorb(hasher: Hasher, name: str, tensor: Tensor) -> None:
    for about, data in _parts(tensor):
        hasher.update_framed(canonical_json([name, *about]))
        hasher.update_framed(data)


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    named = dict(module.named_parameters(remove_duplicate=False)) | dict(
        module.named_buffers(remove_duplicate=False)
    )
    for name, value in module.state_dict().items():
        if name not in named:
            named |= dict(_packed(name, value))
    yield from sorted(named.items())


def _packed(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The tensors in an entry of the state that is no parameter and no buffer; settings become some, too."""
    import torch

    if isinstance(value, torch.Tensor):
        yield name, value
    elif isinstance(value, list | tuple):
        for place, item in enumerate(value):
            yield from _packed(f"{name}[{place}]", item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _packed(f"{name}.{key}", item)
    else:
        value = value.getvalue() if hasattr(value, "getvalue") else value
        try:
            told = json.dumps(describe(value, name), sort_keys=True).encode()
        except TlengineError as error:
            raise UnhashableRecipeError(
                f"the state {name!r} is a {type(value).__name__}, which does not say what it holds",
                hint="keep numbers, strings or tensors in get_extra_state",
            ) from error
        yield name, torch.frombuffer(bytearray(told), dtype=torch.uint8)


def _refuse_missing(name: str, tensor: Tensor) -> None:
    from torch.nn.parameter import is_lazy

    if is_lazy(tensor):
        raise BackboneError(f"the weight {name!r} is not initialised", hint="run one forward pass first")
    if tensor.is_meta:
        raise BackboneError(
            f"the weight {name!r} is on the meta device, where there are no numbers",
            hint="load the weights: module.to_empty(device='cpu'), then load_state_dict",
        )


def _parts(tensor: Tensor) -> Iterator[tuple[list[Any], np.ndarray[Any, Any]]]:
    """The tensor as arrays of bytes, each with what it is: two tensors with equal parts compute the same."""
    import torch

    tensor = tensor.detach()
    about: list[Any] = [str(tensor.dtype), list(tensor.shape)]
    if hasattr(tensor, "__tensor_flatten__") and type(tensor) is not torch.Tensor:
        names, context = tensor.__tensor_flatten__()
        for name in names:
            for inner, data in _parts(getattr(tensor, name)):
                yield [*about, type(tensor).__qualname__, str(context), name, *inner], data
    elif tensor.is_quantized:
        yield [*about, *_scheme(tensor)], _bytes(tensor.int_repr())
    elif tensor.layout == torch.sparse_coo:
        whole = tensor.coalesce()
        for role, part in (("indices", whole.indices()), ("values", whole.values())):
            yield [*about, "sparse", role, str(part.dtype), list(part.shape)], _bytes(part)
    elif tensor.layout == torch.strided:
        yield about, _bytes(tensor)
    else:
        yield [*about, str(tensor.layout)], _bytes(tensor.to_dense())


def _scheme(tensor: Tensor) -> list[Any]:
    import torch

    if tensor.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric):
        return [str(tensor.qscheme()), float(tensor.q_scale()), int(tensor.q_zero_point())]
    per_channel = (tensor.q_per_channel_scales(), tensor.q_per_channel_zero_points())
    return [
        str(tensor.qscheme()),
        tensor.q_per_channel_axis(),
        *(blake3_hex([_bytes(t)]) for t in per_channel),
    ]


def _bytes(tensor: Tensor) -> np.ndarray[Any, Any]:
    import torch

    plain = tensor.cpu().resolve_conj().resolve_neg()
    flat = (torch.view_as_real(plain) if plain.is_complex() else plain).contiguous().reshape(-1)
    if not flat.numel():
        return np.empty(0, np.uint8)
    one_by_one = flat if flat.stride(0) == 1 else flat.clone(memory_format=torch.contiguous_format)
    return one_by_one.view(torch.uint8).numpy()
