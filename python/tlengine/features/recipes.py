"""Everything that determines an embedding, in bytes: preprocessing in words, weights as they are."""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import re
import types
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from tlengine.errors import UnhashableRecipeError
from tlengine.features.cache import Hasher

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["describe", "fingerprint"]


def fingerprint(module: nn.Module, preprocess: Mapping[str, Any], revision: str = "") -> str:
    """Hex digest (64 characters) of a backbone: equal exactly when its embeddings must be equal.

    Enters: names, dtypes, shapes and bytes of all parameters and buffers, the class names of the
    submodules, the description of the preprocessing, and the declared revision. Device, memory layout
    and library versions do not.

    >>> from torch import nn
    >>> one = fingerprint(nn.Flatten(), {"kind": "image"})
    >>> len(one), one == fingerprint(nn.Flatten(), {"kind": "text"})
    (64, False)
    """
    tensors = dict(_tensors(module))
    head = {
        "tensors": [(name, str(t.dtype), list(t.shape)) for name, t in tensors.items()],
        "modules": [(name, type(part).__qualname__) for name, part in module.named_modules()],
        "preprocess": preprocess,
        "revision": revision,
    }
    text = json.dumps(head, sort_keys=True, ensure_ascii=True, allow_nan=True).encode()
    hasher = Hasher()
    hasher.update(len(text).to_bytes(8, "little"))
    hasher.update(text)
    for tensor in tensors.values():  # their lengths follow from the head
        hasher.update(_bytes(tensor))
    return str(hasher.digest().hex())


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    named = dict(module.named_parameters(remove_duplicate=False)) | dict(
        module.named_buffers(remove_duplicate=False)
    )
    yield from sorted(named.items())


def _bytes(tensor: Tensor) -> np.ndarray[Any, Any]:
    import torch

    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy() if flat.numel() else np.empty(0, np.uint8)


def describe(what: Any, where: str = "preprocess") -> Any:
    """``what`` as JSON, if it says everything that matters about it.

    Described are: objects with a ``describe()`` method, frozen dataclasses, numbers, strings, lists,
    mappings, arrays (by digest), functions of a module (by name and source), ``functools.partial`` of
    these, and transforms of torchvision.

    Raises:
        UnhashableRecipeError: anything else: a lambda, a closure, a random transform, an unknown object.

    >>> describe({"size": (2, 3)})
    {'size': [2, 3]}
    >>> describe(lambda image: image)
    Traceback (most recent call last):
    tlengine.errors.UnhashableRecipeError: preprocess: a lambda cannot be told apart from another one
    hint: give it a name that changes when it does: Backbone(..., preprocess_name="resize-64-v1")
    """
    if what is None or isinstance(what, bool | int | float | str):
        return what
    if isinstance(what, Mapping):
        return {str(key): describe(value, f"{where}.{key}") for key, value in what.items()}
    if isinstance(what, list | tuple):
        return [describe(value, f"{where}[{i}]") for i, value in enumerate(what)]
    if isinstance(what, np.ndarray):
        digest = hashlib.sha256(np.ascontiguousarray(what).tobytes()).hexdigest()
        return {"array": digest, "dtype": str(what.dtype), "shape": list(what.shape)}
    if isinstance(what, PurePath):
        return str(what)
    if isinstance(what, functools.partial):
        return {
            "partial": describe(what.func, where),
            "args": describe(what.args, where),
            "keywords": describe(what.keywords, where),
        }
    return _described_object(what, where)


def _described_object(what: Any, where: str) -> Any:
    if callable(getattr(what, "describe", None)):
        return describe(what.describe(), where)
    if isinstance(what, types.FunctionType):
        return _function(what, where)
    if is_dataclass(what) and not isinstance(what, type) and what.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        values = {field.name: getattr(what, field.name) for field in fields(what)}
        return {"type": _qualified(type(what)), **{n: describe(v, f"{where}.{n}") for n, v in values.items()}}
    if type(what).__module__.partition(".")[0] == "torchvision":
        return _transform(what, where)
    raise _unhashable(f"{where}: a {_qualified(type(what))} does not describe itself")


def _function(function: types.FunctionType, where: str) -> Any:
    if function.__name__ == "<lambda>":
        raise _unhashable(f"{where}: a lambda cannot be told apart from another one")
    if function.__closure__:
        raise _unhashable(f"{where}: {function.__qualname__} is a closure, which hides what it depends on")
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):
        raise _unhashable(f"{where}: {function.__qualname__} has no source to describe it") from None
    return {
        "function": f"{function.__module__}.{function.__qualname__}",
        "source": hashlib.sha256(source.encode()).hexdigest(),
    }


def _transform(what: Any, where: str) -> str:
    """A torchvision transform by its repr, which lists its settings."""
    text = repr(what)
    if " at 0x" in text or "Lambda" in text:
        raise _unhashable(f"{where}: {_first_line(text)} contains a function")
    if re.search(r"\bRandom|AutoAugment|RandAugment|AugMix|ColorJitter", text):
        raise _unhashable(f"{where}: {_first_line(text)} is random; embeddings are computed once")
    return text


def _first_line(text: str) -> str:
    return " ".join(text.split())[:80]


def _qualified(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _unhashable(message: str) -> UnhashableRecipeError:
    return UnhashableRecipeError(
        message,
        hint='give it a name that changes when it does: Backbone(..., preprocess_name="resize-64-v1")',
    )
