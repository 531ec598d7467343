"""Backbones by name: the plugin's record found, its network loaded, what it returns checked."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from tlengine.errors import (
    BackboneError,
    MissingPackageError,
    PluginError,
    PluginWarning,
    TlengineError,
    UnhashableRecipeError,
)
from tlengine.features.backbone import Backbone
from tlengine.plugins import registry
from tlengine.plugins.containment import reason, stdout_to_stderr
from tlengine.plugins.records import BackboneSpec

if TYPE_CHECKING:
    from torch import nn

__all__ = ["backbone_of", "default_backbone", "load_backbone"]


def load_backbone(name: str, device: str | None = None, *, image_size: int | None = None) -> Backbone:
    """The backbone registered as ``name``, with its weights on ``device`` (default: the CPU).

    Args:
        name: ``tlengine plugins list`` shows them.
        device: of the weights.
        image_size: side of the pictures in pixels, in place of the backbone's own; see
            :meth:`Backbone.at_size`.

    Raises:
        InputError: a size that is not allowed, or of a backbone that takes none.
        UnknownNameError: nothing of that name; the hint shows the nearest three.
        MissingPackageError: its plugin, or a package the plugin needs, is not installed.
        BackboneError: the weights cannot be loaded.
        PluginError: load returns no module.
        UnhashableRecipeError: the plugin's preprocessing cannot be described.

    >>> load_backbone("raw").embedding_dim
    3072
    """
    spec = registry.resolve_backbone(name)
    origin = registry.origin(spec.name)
    found = backbone_of(spec, _load_module(spec, device or "cpu", origin), origin)
    return found if image_size is None else found.at_size(image_size)


def backbone_of(spec: BackboneSpec, module: nn.Module, origin: str) -> Backbone:
    """The backbone of a plugin's record and of what its ``load`` returned.

    Raises:
        UnhashableRecipeError: the preprocessing cannot be described; the error names the plugin.
    """
    try:
        module = module.eval().requires_grad_(False)
    except Exception as error:
        raise PluginError(
            f"backbone {spec.name!r} ({origin}) cannot be put into evaluation mode: {reason(error)}",
            hint="let eval() and requires_grad_() of its module work",
        ) from error
    try:
        backbone = Backbone(
            module,
            preprocess=spec.preprocess,
            modality=spec.modality,
            name=spec.name,
            embedding_dim=spec.embedding_dim,
            revision=spec.revision,
            blocks=spec.blocks,
            tokens=spec.tokens,
            lora_targets=spec.lora_targets,
            initialise=spec.initialise,
            collate=spec.collate,
        )
    except UnhashableRecipeError as error:
        raise UnhashableRecipeError(
            f"backbone {spec.name!r} ({origin}): {error.message}",
            hint="in a plugin, preprocess (or collate) is a module-level function, a frozen dataclass or an "
            "object with describe(): see docs/plugins.md",
        ) from error
    backbone.origin = origin
    return backbone


def _load_module(spec: BackboneSpec, device: str, origin: str) -> nn.Module:
    from torch import nn

    try:
        with stdout_to_stderr():
            module = spec.load(device)
    except (TlengineError, KeyboardInterrupt):
        raise
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"backbone {spec.name!r} ({origin}) cannot be loaded: {error}",
            hint=f"install the package that provides {error.name!r}",
        ) from error
    except BaseException as error:  # a plugin may even exit
        raise BackboneError(
            f"backbone {spec.name!r} cannot be loaded: {reason(error)} ({origin})",
            hint=f"check it with: tlengine plugins check {spec.name}",
        ) from error
    if not isinstance(module, nn.Module):
        raise PluginError(
            f"backbone {spec.name!r} ({origin}): load returned a {type(module).__name__}, "
            "not a torch.nn.Module",
            hint="end load with: return network.eval().to(device)",
        )
    return module


def default_backbone(modality: str) -> str:
    """The name of the installed backbone that is taken for ``modality`` when the user names none.

    Where several plugins call theirs the default, one that is shipped with tlengine is taken, else the first
    by name, and a ``PluginWarning`` names the others.

    Raises:
        BackboneError: none is installed; the hint says how to.
    """
    names = [
        name for name, spec in registry.backbones().items() if spec.default and spec.modality == modality
    ]
    if names:
        chosen, *others = sorted(names, key=lambda name: (name not in registry.SHIPPED, name))
        if others:
            warnings.warn(
                f"several plugins bring a default backbone for {modality} data; {chosen} is taken, not "
                f"{', '.join(others)}: name the one that you want",
                PluginWarning,
                stacklevel=2,
            )
        return chosen
    plugin = registry.default_plugin(modality)
    raise BackboneError(
        f"no backbone for {modality} data is installed",
        hint="; ".join([*registry.trouble(), registry.install_hint(plugin)])
        if plugin
        else "use image or text data",
    )
