"""Backbones: a network, what goes in, and a fingerprint of both."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from PIL import Image

from tlengine.errors import BackboneError, InputError, PluginError, TlengineError
from tlengine.features.descriptions import describe
from tlengine.features.images import DECODING, ImagePreprocess
from tlengine.features.recipes import Fingerprint
from tlengine.plugins import registry
from tlengine.plugins.checks import check_network_parts
from tlengine.plugins.records import MODALITIES, Modality

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Backbone", "takes_size"]


class Backbone:
    """A pretrained network with its preprocessing.

    Args:
        module: takes a batch and returns (n, embedding_dim). A batch is what ``preprocess`` returns for
            n samples, stacked, as float32; where ``preprocess`` has a ``pad_id`` (a tokenizer), the module
            is called with int64 ``input_ids`` and ``attention_mask``, (n, tokens), padded.
        preprocess: turns one sample (an RGB ``PIL.Image``, or a str) into an array or tensor of one shape,
            or into a 1-D array of token ids. It must be describable (see :func:`~.descriptions.describe`).
        modality: ``"image"``, ``"text"`` or ``"any"``.
        name: for people, and part of the cache key.
        embedding_dim: columns of the output, at least 1; None finds out by one forward pass; for modality
            ``"any"``, ``{"image": columns, "text": columns}`` where they differ (see :meth:`for_modality`).
        preprocess_name: describes a ``preprocess``, and a ``collate``, that cannot describe itself; change it
            when it changes.
        revision: describes what neither the weights nor ``repr(module)`` show (see
            :func:`~.recipes.fingerprint`); change it when the code of ``forward`` changes.
        blocks, tokens, lora_targets, initialise: what fine-tuning needs to know of the network; see
            :class:`~tlengine.plugins.BackboneSpec`. They change no row, and enter no key.
        collate: takes a list of preprocessed samples, and returns what the module is called with: a tensor,
            or a mapping of keywords to tensors; None for the usual batches. It is described like
            ``preprocess``, and enters the key.

    Attributes:
        how_drawn: the parameters that :func:`~tlengine.features.random_backbone` drew, by the rule that drew
            them; empty for weights that were loaded.

    Raises:
        InputError: a modality, name or dimension that is not allowed, a module that is none, blocks or
            targets that are no names, ``initialise`` or ``collate`` that cannot be called.
        UnhashableRecipeError: a ``preprocess`` or ``collate`` that cannot be described, and no
            ``preprocess_name``.

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
        embedding_dim: int | Mapping[str, int] | None = None,
        preprocess_name: str | None = None,
        revision: str = "",
        blocks: Sequence[Sequence[str]] = (),
        tokens: str = "",
        lora_targets: Sequence[str] = (),
        initialise: Callable[[nn.Module, int], None] | None = None,
        collate: Callable[[Sequence[Any]], Any] | None = None,
    ) -> None:
        from torch import nn

        if not isinstance(module, nn.Module):
            raise InputError(
                f"backbone {name!r}: a {type(module).__name__} is no torch.nn.Module", hint="pass one"
            )
        if modality not in MODALITIES:
            raise InputError(f"backbone {name!r}: modality {modality!r}", hint=f"use one of {MODALITIES}")
        _check_words(name, embedding_dim, preprocess_name, revision)
        check_network_parts(
            f"backbone {name!r}",
            blocks=blocks,
            tokens=tokens,
            lora_targets=lora_targets,
            initialise=initialise,
            collate=collate,
        )
        self.module = module
        self.preprocess = preprocess
        self.modality: Modality = modality
        self.name = name
        self.revision = revision
        self.blocks = tuple(tuple(names) for names in blocks)
        self.tokens, self.lora_targets = tokens, tuple(lora_targets)
        self.initialise, self.collate = initialise, collate
        self.how_drawn: Mapping[str, tuple[str, ...]] = {}
        self.origin = "your module"
        self._dims = _dims_by_modality(embedding_dim)
        self._preprocess_name = preprocess_name
        self._described()  # refused here rather than in the middle of a run

    def __repr__(self) -> str:
        dim = self.embedding_dim if len(set(self._dims.values())) < 2 else self._dims
        return f"Backbone(name={self.name!r}, modality={self.modality!r}, embedding_dim={dim})"

    @property
    def embedding_dim(self) -> int:
        """Columns of the embeddings.

        Raises:
            InputError: images and texts have rows of different widths; see :meth:`for_modality`.
        """
        widths = self.widths
        if len(widths) > 1:
            raise InputError(
                f"backbone {self.name!r}: embedding_dim is {self._dims}",
                hint="ask for_modality('image') or for_modality('text')",
            )
        return widths[0]

    @property
    def widths(self) -> tuple[int, ...]:
        """The widths that a row may have: one, or one for images and one for texts."""
        if not self._dims:
            self._dims = dict.fromkeys(("image", "text"), self._probe_dim())
        return tuple(dict.fromkeys(self._dims.values()))

    @property
    def fingerprint(self) -> str:
        """Hex digest of weights, structure, preprocessing and revision, as they are now."""
        return self.fingerprints().digest

    def fingerprints(self) -> Fingerprint:
        """The parts of the fingerprint, computed from the network and the preprocessing as they are now.

        Raises:
            UnhashableRecipeError: the network's text is another one each time; see
                :func:`~.structure.structure_text`.
            BackboneError: weights that are not there.
        """
        return Fingerprint.of(self.module, self._described(), self.revision)

    def recipe(self, precision: str = "float32") -> Mapping[str, Any]:
        """What determines a row besides the sample itself: the cache keys its tables by it.

        ``layer`` and ``pooling`` say what is read off the network; ``""``, as in ``get_submodule("")``, is
        the module itself, whose output is taken as it comes. ``decoding`` numbers the way from a file to
        pixels.
        """
        found = self.fingerprints()
        return {
            "backbone": self.name,
            "fingerprint": found.digest,
            **found.as_dict(),
            "layer": "",
            "pooling": "",
            "dim": self.embedding_dim,
            "precision": precision,
            **({} if self.modality == "text" else {"decoding": DECODING}),
        }

    def described_preprocess(self) -> Any:
        """The preprocessing in plain words and numbers, as it enters the fingerprint."""
        return self._described()

    def takes(self, modality: str) -> bool:
        """Whether samples of ``modality`` can be embedded."""
        return modality in ("image", "text") and self.modality in (modality, "any")

    def for_modality(self, modality: str) -> Backbone:
        """This backbone, its width settled: itself, or one with the same network for ``modality`` alone.

        Raises:
            InputError: it does not take this modality.

        >>> from tlengine.features import load_backbone
        >>> load_backbone("stats").for_modality("image").embedding_dim
        517
        """
        if not self.takes(modality):
            raise InputError(f"backbone {self.name!r} takes {self.modality}, not {modality}")
        if len(self.widths) == 1:
            return self
        one = copy.copy(self)
        one.modality = cast(Modality, modality)
        one._dims = {modality: self._dims[modality]}
        return one

    def at_size(self, pixels: int) -> Backbone:
        """This backbone for pictures of ``pixels`` x ``pixels``, with the same network.

        The shorter side is scaled in the proportion that it has to the crop. Networks without a fixed grid
        (most convolutional ones) take any size; fewer pixels are faster and see less.

        Raises:
            InputError: no whole number from 16 to 4096; a preprocessing that is no ``ImagePreprocess`` with a
                crop.

        >>> from tlengine.features import load_backbone
        >>> load_backbone("rcf").at_size(64).preprocess.crop
        64
        """
        if isinstance(pixels, bool) or not isinstance(pixels, int) or not 16 <= pixels <= 4096:
            raise InputError(f"image size {pixels!r:.40}", hint="a whole number of pixels, 16 to 4096")
        other = copy.copy(self)
        other.preprocess = _resized(self, pixels)
        other._dims = dict(self._dims)
        return other

    def through(self, module: nn.Module, embedding_dim: int) -> Backbone:
        """The samples of this backbone through another network: rows of ``embedding_dim`` columns.

        >>> from torch import nn
        >>> from tlengine.features import load_backbone
        >>> load_backbone("raw").through(nn.Flatten(), 12).embedding_dim
        12
        """
        other = copy.copy(self)
        other.module = module
        other._dims = dict.fromkeys(("image", "text"), embedding_dim)
        return other

    def copy(self) -> Backbone:
        """The same backbone with a network of its own: training or moving it changes nobody else's.

        Weights, device, mode and what requires a gradient are as in the original; gradients are not copied.

        Raises:
            BackboneError, PluginError: the network cannot be copied.

        >>> from tlengine.features import load_backbone
        >>> bb = load_backbone("raw")
        >>> other = bb.copy()
        >>> other.module is bb.module, other.fingerprint == bb.fingerprint
        (False, True)
        """
        try:
            module = copy.deepcopy(self.module)
        except Exception as error:
            raise self.fault(
                f"cannot be copied: {type(error).__name__}: {str(error).partition(chr(10))[0]}",
                hint="let copy.deepcopy work on the module: hold no open files, and no tensors that were "
                "computed from parameters",
            ) from error
        for parameter in module.parameters():
            parameter.grad = None
        other = copy.copy(self)
        other.module = module
        other._dims = dict(self._dims)
        return other

    def fault(self, message: str, hint: str | None = None) -> TlengineError:
        """The error for what breaks the contract: of the plugin, or of the user's module."""
        text = f"backbone {self.name!r} ({self.origin}) {message}"
        if self.origin == "your module":
            usual = "see help(tlengine.Backbone) for what a module gets and returns"
            return BackboneError(text, hint=hint or usual)
        check = f"check it with: tlengine plugins check {self.name}"
        return PluginError(text, hint=f"{hint}; {check}" if hint else check)

    def _described(self) -> Any:
        """What becomes of a sample before the network sees it."""
        if self._preprocess_name:
            return {"name": self._preprocess_name}
        described = describe(self.preprocess)
        if self.collate is None:
            return described
        return {"preprocess": described, "collate": describe(self.collate, "collate")}

    def _probe_dim(self) -> int:
        from tlengine.features.forward import Forward

        sample = "a" if self.modality == "text" else Image.new("RGB", (64, 64))
        try:
            row = np.asarray(self.preprocess(sample))
        except Exception as error:
            raise self.fault(
                f"cannot preprocess a first sample: {type(error).__name__}: {error}",
                hint="mend preprocess, or pass embedding_dim= so that no sample is needed",
            ) from error
        with Forward(self, "cpu", "float32") as forward:
            return int(forward.raw([row]).shape[1])


def takes_size(backbone: Backbone | str) -> bool:
    """Whether :meth:`Backbone.at_size` can be used; of a name, without loading the network.

    Raises:
        UnknownNameError: no backbone of that name.

    >>> takes_size("rcf"), takes_size("raw")
    (True, False)
    """
    spec = registry.resolve_backbone(backbone) if isinstance(backbone, str) else backbone
    return isinstance(spec.preprocess, ImagePreprocess) and spec.preprocess.crop is not None


def _resized(backbone: Backbone, pixels: int) -> ImagePreprocess:
    """Its preprocessing with another crop, the resize in proportion."""
    before = backbone.preprocess
    if not isinstance(before, ImagePreprocess) or before.crop is None:
        raise InputError(
            f"the size of pictures for backbone {backbone.name!r} cannot be set",
            hint="its preprocess is no ImagePreprocess with a crop; leave the size out",
        )
    sides = before.crop if isinstance(before.crop, tuple) else (before.crop, before.crop)
    factor = pixels / min(sides)
    if before.resize is None or isinstance(before.resize, int):
        resize: Any = before.resize and round(before.resize * factor)
    else:
        resize = tuple(round(side * factor) for side in before.resize)
    return replace(before, resize=resize, crop=pixels)


def _dims_by_modality(dim: int | Mapping[str, int] | None) -> dict[str, int]:
    """By modality; empty where it is to be found out."""
    if dim is None:
        return {}
    dims = dim if isinstance(dim, Mapping) else dict.fromkeys(("image", "text"), dim)
    return {modality: int(columns) for modality, columns in dims.items()}


def _check_words(name: str, dim: Any, preprocess_name: str | None, revision: str) -> None:
    if not isinstance(name, str) or not name.strip():
        raise InputError(f"backbone name {name!r}", hint="give it a name, a str; tables and reports show it")
    numbers = list(dim.values()) if isinstance(dim, Mapping) and set(dim) == {"image", "text"} else [dim]
    allowed = all(isinstance(one, int | np.integer) and not isinstance(one, bool) for one in numbers)
    if dim is not None and not (allowed and min(numbers) >= 1):
        raise InputError(
            f"backbone {name!r}: embedding_dim is {dim!r}",
            hint="the number of columns of the output, 1 or more; None finds it out",
        )
    for option, word in (("preprocess_name", preprocess_name), ("revision", revision)):
        if word is not None and not isinstance(word, str):
            raise InputError(f"backbone {name!r}: {option} is {word!r}", hint="pass a str")
