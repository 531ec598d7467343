"""From a name and settings to a module, checked on the way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from tlengine.errors import InputError, PluginError, TlengineError, UnknownOptionError
from tlengine.plugins import HeadSpec, registry
from tlengine.plugins.containment import contained, reason
from tlengine.plugins.network_records import HeadDim

if TYPE_CHECKING:
    from torch import nn

__all__ = ["HeadConfig", "build_head", "head_origin", "refuse_settings"]


@dataclass(frozen=True, kw_only=True)
class HeadConfig:
    """What a head is built of: all that must be kept beside its state dict.

    Attributes:
        name: of the head.
        dim: columns of a row; for a head that reads tokens (tokens, columns), tokens None where their number
            varies.
        classes: K, the columns of its logits.
        settings: keywords of its ``build``, plain JSON; those left out have their defaults.

    >>> HeadConfig(name="mlp", dim=8, classes=3, settings={"hidden": 4}).build()
    MlpHead(
      (hidden): Linear(in_features=8, out_features=4, bias=True)
      (dropout): Dropout(p=0.1, inplace=False)
      (output): Linear(in_features=4, out_features=3, bias=True)
    )
    """

    name: str
    dim: HeadDim
    classes: int
    settings: Mapping[str, Any] = field(default_factory=dict)

    def build(self) -> nn.Module:
        """A module with untrained weights, by torch's generator; errors as :func:`build_head`."""
        return self.build_with(registry.resolve_head(self.name))

    def build_with(self, spec: HeadSpec) -> nn.Module:
        """As :meth:`build`, for a record that no plugin registers."""
        _check_shape(spec, self.dim, self.classes)
        refuse_settings(spec, self.settings)
        return _built(spec, self)


def build_head(name: str, dim: HeadDim, classes: int, **settings: Any) -> nn.Module:
    """The head registered as ``name``, with untrained weights.

    Args:
        name: such as ``linear mlp cosine attention-pool``.
        dim: columns of a row; for a head that reads tokens (tokens, columns), tokens None where their number
            varies.
        classes: K, at least 2.
        settings: of the head, plain JSON; ``tlengine plugins show NAME`` lists them.

    Returns:
        A module in training mode, on the CPU, that takes float32 (n, dim), or (n, tokens, dim) and a mask
        (n, tokens) bool or None, and returns logits (n, K).

    Raises:
        UnknownNameError: no head of that name.
        UnknownOptionError: a setting that the head does not have.
        InputError: a shape that the head does not read, fewer than two classes, a setting outside its limits.
        PluginError: the head cannot be built, or is no module.

    >>> build_head("linear", 8, 3)
    LinearHead(
      in_features=8, out_features=3, bias=True
      (dropout): Dropout(p=0.0, inplace=False)
    )
    """
    return HeadConfig(name=name, dim=dim, classes=classes, settings=settings).build()


def head_origin(name: str) -> str:
    """The plugin that brings a head, with its distribution and version, for messages."""
    try:
        return registry.origin(name, "head")
    except KeyError:
        return "of no plugin"


def _check_shape(spec: HeadSpec, dim: Any, classes: Any) -> None:
    owner = f"head {spec.name!r}"
    if spec.input == "row":
        if not _is_count(dim):
            raise InputError(f"{owner} reads rows, dim is {dim!r}", hint="pass the columns of a row")
    elif not (isinstance(dim, tuple) and len(dim) == 2 and _is_count(dim[1])):
        raise InputError(f"{owner} reads tokens, dim is {dim!r}", hint="pass (tokens, columns)")
    elif not (dim[0] is None or _is_count(dim[0])):
        raise InputError(f"{owner}: {dim[0]!r} tokens", hint="pass their number, or None where it varies")
    if not _is_count(classes) or classes < 2:
        raise InputError(f"{owner}: classes is {classes!r}", hint="use a whole number, 2 or more")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def refuse_settings(spec: HeadSpec, settings: Mapping[str, Any]) -> None:
    """Refuse settings that a head does not have, or that could not be saved with it.

    Raises:
        UnknownOptionError: a setting of no such name; the hint has the nearest one.
        InputError: a value that JSON cannot hold.
    """
    if unknown := [name for name in settings if name not in spec.settings]:
        raise UnknownOptionError(
            f"head {spec.name!r} has no setting {unknown[0]!r}", hint=_nearest(unknown[0], spec)
        )
    try:
        json.dumps(dict(settings), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"head {spec.name!r}: settings that JSON cannot hold: {error}",
            hint="use numbers, text, lists, True, False and None",
        ) from None


def _nearest(name: str, spec: HeadSpec) -> str:
    """The setting that is spelled most like ``name``, and all that there are."""
    near = get_close_matches(name, spec.settings, n=1)
    meant = f"did you mean {near[0]}? " if near else ""
    return f"{meant}its settings: {', '.join(spec.settings) or 'none'}"


def _built(spec: HeadSpec, config: HeadConfig) -> nn.Module:
    from torch import nn

    try:
        with contained():
            head = spec.build(config.dim, config.classes, **config.settings)
    except TlengineError:
        raise
    except Exception as error:
        raise PluginError(
            f"head {spec.name!r} ({head_origin(spec.name)}) cannot be built: {reason(error)}",
            hint=f"its settings: {', '.join(spec.settings) or 'none'}",
        ) from error
    if not isinstance(head, nn.Module):
        raise PluginError(
            f"head {spec.name!r} ({head_origin(spec.name)}): build returned a {type(head).__name__}, not a "
            "torch.nn.Module",
            hint="return the module",
        )
    return head
