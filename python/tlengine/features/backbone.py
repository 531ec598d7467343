"""Backbones: a network, what goes in, and a fingerprint of both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from tlengine.errors import BackboneError, InputError, PluginError, TlengineError
from tlengine.features.recipes import describe, fingerprint
from tlengine.plugins import registry
from tlengine.plugins.records import MODALITIES, BackboneSpec, Modality

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Backbone", "default_backbone", "load_backbone"]


class Backbone:
    """A pretrained network with its preprocessing.

    Args:
        module: takes a batch and returns (n, embedding_dim). A batch is what ``preprocess`` returns for
            n samples, stacked, as float32; where ``preprocess`` has a ``pad_id`` (a tokenizer), the module
            is called with int64 ``input_ids`` and ``attention_mask``, (n, tokens), padded.
        preprocess: turns one sample (an RGB ``PIL.Image``, or a str) into an array or tensor of one shape,
            or into a 1-D array of token ids. It must be describable (see :func:`~.recipes.describe`).
        modality: ``"image"``, ``"text"`` or ``"any"``.
        name: for people, and part of the cache key.
        embedding_dim: columns of the output; None finds out by one forward pass.
        preprocess_name: describes a ``preprocess`` that cannot describe itself; change it when it changes.
        revision: describes what the weights do not show; change it when the module's code changes.

    Raises:
        InputError: a modality that is not allowed, a module that is none.
        UnhashableRecipeError: a ``preprocess`` that cannot be described, and no ``preprocess_name``.

    >>> from torch import nn
    >>> from tlengine.features import ImagePreprocess
    >>> prep = ImagePreprocess(resize=4, crop=4)
    >>> bb = Backbone(nn.Flatten(), preprocess=prep, modality="image", name="flat")
    >>> bb.embedding_dim, bb
    (48, Backbone(name='flat', modality='image', embedding_dim=48))
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        preprocess: Callable[[Any], Any],
        modality: Modality,
        name: str,
        embedding_dim: int | None = None,
        preprocess_name: str | None = None,
        revision: str = "",
    ) -> None:
        from torch import nn

        if not isinstance(module, nn.Module):
            raise InputError(
                f"backbone {name!r}: a {type(module).__name__} is no torch.nn.Module", hint="pass one"
            )
        if modality not in MODALITIES:
            raise InputError(f"backbone {name!r}: modality {modality!r}", hint=f"use one of {MODALITIES}")
        self.module = module
        self.preprocess = preprocess
        self.modality: Modality = modality
        self.name = name
        self.revision = revision
        self.origin = "your module"
        self._dim = embedding_dim
        self._described = {"name": preprocess_name} if preprocess_name else describe(preprocess)

    def __repr__(self) -> str:
        return f"Backbone(name={self.name!r}, modality={self.modality!r}, embedding_dim={self.embedding_dim})"

    @property
    def embedding_dim(self) -> int:
        """Columns of the embeddings."""
        if self._dim is None:
            self._dim = self._probe_dim()
        return self._dim

    @property
    def fingerprint(self) -> str:
        """Hex digest of weights, preprocessing and revision, computed from the weights as they are now."""
        return fingerprint(self.module, self._described, self.revision)

    def recipe(self, precision: str = "float32") -> Mapping[str, Any]:
        """What determines a row besides the sample itself: the cache keys its tables by it."""
        return {"backbone": self.name, "fingerprint": self.fingerprint, "precision": precision}

    def takes(self, modality: str) -> bool:
        """Whether samples of ``modality`` can be embedded."""
        return modality in ("image", "text") and self.modality in (modality, "any")

    def fault(self, message: str) -> TlengineError:
        """The error for an output that breaks the contract: of the plugin, or of the user's module."""
        text = f"backbone {self.name!r} ({self.origin}) {message}"
        if self.origin == "your module":
            return BackboneError(text, hint="see help(tlengine.Backbone) for what a module gets and returns")
        return PluginError(text, hint=f"check it with: tlengine plugins check {self.name}")

    def _probe_dim(self) -> int:
        from tlengine.features.forward import Forward

        sample = "a" if self.modality == "text" else Image.new("RGB", (64, 64))
        row = np.asarray(self.preprocess(sample))
        with Forward(self, "cpu", "float32") as forward:
            return int(forward.raw([row]).shape[1])


def load_backbone(name: str, device: str | None = None) -> Backbone:
    """The backbone registered as ``name``, with its weights on ``device`` (default: the CPU).

    Raises:
        UnknownNameError: nothing of that name; the hint shows the nearest three.
        MissingPackageError: its plugin, or a package the plugin needs, is not installed.
        BackboneError: the weights cannot be loaded.

    >>> load_backbone("raw").embedding_dim
    3072
    """
    spec = registry.resolve_backbone(name)
    module = _load_module(spec, device or "cpu")
    backbone = Backbone(
        module.eval().requires_grad_(False),
        preprocess=spec.preprocess,
        modality=spec.modality,
        name=spec.name,
        embedding_dim=spec.embedding_dim,
        revision=spec.revision,
    )
    backbone.origin = registry.origin(spec.name)
    return backbone


def _load_module(spec: BackboneSpec, device: str) -> nn.Module:
    from torch import nn

    try:
        module = spec.load(device)
    except TlengineError:
        raise
    except Exception as error:
        raise BackboneError(
            f"backbone {spec.name!r} cannot be loaded: {type(error).__name__}: {error}",
            hint="check it with: tlengine plugins check",
        ) from error
    if not isinstance(module, nn.Module):
        raise PluginError(
            f"backbone {spec.name!r}: load returned a {type(module).__name__}, not a torch.nn.Module"
        )
    return module


def default_backbone(modality: str) -> str:
    """The name of the installed backbone that is taken for ``modality`` when the user names none.

    Raises:
        BackboneError: none is installed; the hint says how to.
    """
    names = [
        name for name, spec in registry.backbones().items() if spec.default and spec.modality == modality
    ]
    if names:
        return names[0]
    plugin = {"image": "tlengine-efficientnet-lite", "text": "tlengine-minilm"}.get(modality)
    raise BackboneError(
        f"no backbone for {modality} data is installed",
        hint=f"pip install ./plugins/{plugin}" if plugin else "use image or text data",
    )
