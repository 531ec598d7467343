"""The structure of a network as text: what its ``repr`` shows, and what a ``repr`` hides."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tlengine.errors import UnhashableRecipeError
from tlengine.features.constructed import settings_of
from tlengine.features.descriptions import describe
from tlengine.features.programs import program_of

if TYPE_CHECKING:
    from torch import nn

__all__ = ["structure_text"]

_ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]+|\b0x[0-9a-fA-F]{6,}")
_PLACE = re.compile(
    r"""\s*\(GPU \d+\)|,?\s*\bdevice=(device\(type=['"][a-z]+['"](, index=\d+)?\)|['"]?[a-z]+(:\d+)?['"]?)"""
)
"""A device, as ``nn.ParameterList`` and printed tensors show it: the same numbers live there."""

_HOOKS = ("_forward_pre_hooks", "_forward_hooks")


def structure_text(module: nn.Module, revision: str = "") -> bytes:
    """All that is known of ``module`` besides its weights, the same in every process.

    Enter: the text of ``repr(module)``; of every submodule its name, class, ``extra_repr()``, and the plain
    attributes that bear the name of an argument of its constructor (``num_heads``, ``ceil_mode``, which
    torch shows in no ``repr``); the code of ``torch.fx`` graphs and of scripted modules; forward hooks, and
    a ``forward`` that was put in place of the class's.

    What ``forward`` does with other attributes or with globals is not seen: ``revision`` stands for that.

    Raises:
        UnhashableRecipeError: a ``repr`` that fails, or shows an address in memory or another text each time,
            or a hook that does not describe itself, where no ``revision`` answers for it.
    """
    first, again = _texts(module, revision), _texts(module, revision)
    if first != again and not revision:
        raise _unstable(module, "shows another text each time", _difference(first, again))
    text = json.dumps(first, sort_keys=True)
    if revision:
        return _ADDRESS.sub("", text).encode()
    if found := _identity(module, text):
        raise _unstable(module, "shows an address in memory, which is another one in every process", found)
    return text.encode()


def _texts(module: nn.Module, revision: str) -> list[Any]:
    parts: list[Any] = []
    for name, part in module.named_modules(remove_duplicate=False):
        extra = _PLACE.sub("", _repr(part, "extra_repr"))
        parts.append([name, type(part).__qualname__, extra, settings_of(part)])
        parts += [[name, "code", one] for one in program_of(part)]
        parts += [[name, *one] for one in _hooks(part, name, revision)]
    parts += [["", *one] for one in _global_hooks(revision)]
    return [_PLACE.sub("", _repr(module)), *parts]  # last: a fault inside has been named by now


def _repr(part: nn.Module, method: str = "__repr__") -> str:
    try:
        return str(getattr(part, method)())
    except Exception as error:
        raise UnhashableRecipeError(
            f"{method} of {type(part).__qualname__} failed: {type(error).__name__}: {error}",
            hint=f"mend {type(part).__qualname__}.{method}: its text is a part of the cache key",
        ) from error


def _hooks(part: nn.Module, name: str, revision: str) -> Iterator[tuple[str, Any]]:
    for kind in _HOOKS:
        for hook in getattr(part, kind, {}).values():
            yield kind, _described(hook, f"{kind[1:-1]} of {name or 'the network'}", revision)
    forward = None if program_of(part) else vars(part).get("forward")
    if forward is not None:
        yield "forward", _described(forward, f"the replaced forward of {name or 'the network'}", revision)


def _global_hooks(revision: str) -> Iterator[tuple[str, Any]]:
    from torch.nn.modules import module

    for kind in _HOOKS:
        for hook in getattr(module, f"_global{kind}", {}).values():
            yield kind, _described(hook, f"{kind[1:-1]} of every module", revision)


def _described(hook: Any, place: str, revision: str) -> Any:
    kind = type(hook)
    if kind.__module__.startswith("torch.nn.utils."):  # weight_norm, spectral_norm, prune
        return [kind.__qualname__, settings_of(hook)]
    try:
        return describe(hook, place)
    except UnhashableRecipeError as error:
        if revision:
            return getattr(hook, "__qualname__", kind.__qualname__)
        raise UnhashableRecipeError(
            error.message,
            hint="remove the hook, make it a module-level function, or give the backbone a revision= that "
            "you change when the hook changes",
        ) from error


def _identity(module: nn.Module, text: str) -> str | None:
    """A piece of ``text`` that names a place in memory."""
    if found := _ADDRESS.search(text):
        return text[max(0, found.start() - 40) : found.end()]
    places = {str(number(part)) for part in module.modules() for number in (id, object.__hash__)}
    return next((number for number in re.findall(r"\d{8,}", text) if number in places), None)


def _difference(first: list[Any], again: list[Any]) -> str:
    texts = [str(one) for one, other in zip(first, again, strict=False) if one != other]
    return texts[-1][:80] if texts else "their number"


def _unstable(module: nn.Module, why: str, found: str) -> UnhashableRecipeError:
    return UnhashableRecipeError(
        f"repr of {type(module).__qualname__} {why}, so no row would be found again: "
        f"{' '.join(found.split())!r}",
        hint="let extra_repr show names and numbers, or give the backbone a revision= that you change when "
        "its code changes",
    )
