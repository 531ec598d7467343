"""The records of what is made of torch: backbones, namespaces of them, and heads; none of it is loaded."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from tlengine.errors import InputError
from tlengine.plugins.checks import check_callable, check_name, check_network_parts

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import nn

__all__ = ["MODALITIES", "BackboneSource", "BackboneSpec", "HeadDim", "HeadSpec", "Modality"]

Modality = Literal["image", "text", "any"]
MODALITIES = ("image", "text", "any")

HeadDim = int | tuple[int | None, int]
"""What a head reads: the columns of a row, or (tokens, columns), tokens None where their number varies."""


@dataclass(frozen=True, kw_only=True)
class BackboneSpec:
    """A pretrained network that can be loaded by name.

    Attributes:
        name: ``arch`` or ``source/arch.tag``; lower case, except what follows a source's prefix.
        modality: ``"image"``, ``"text"``, or ``"any"`` for a network that takes both.
        embedding_dim: columns of the embeddings, at least 1; for modality ``"any"``, where rows of images and
            of texts differ in width, ``{"image": columns, "text": columns}``.
        load: takes a device name such as ``"cpu"`` and returns the ``torch.nn.Module``. It is called with
            a float32 batch (n, 3, h, w) of images, or for a ``preprocess`` with a ``pad_id`` with int64
            ``input_ids`` and ``attention_mask`` (n, tokens); it returns (n, embedding_dim).
        preprocess: a picklable callable that turns one sample (a ``PIL.Image`` in RGB, or a str) into an
            array of fixed shape, or into token ids where it has a ``pad_id``; a frozen dataclass such
            as ``tlengine.features.ImagePreprocess``, so that it can be described in the cache key.
        revision: enters the fingerprint; change it when the code behind equal weights changes.
        default: whether this backbone is taken for its modality when the user names none.
        blocks: the network in order from its input to its output, for fine-tuning: each block a group of
            names of submodules or parameters, as ``named_modules()`` tells them. Every parameter belongs to
            exactly one of them. () where only its features are of use.
        tokens: the submodule whose output are tokens (n, tokens, d) or a feature map (n, d, h, w), for heads
            that pool for themselves; "" for none.
        lora_targets: the linear layers and convolutions that adapters go beside: names, or ends of names.
        initialise: takes the network and a seed, and gives it untrained weights in place; None for the
            general rules of :func:`tlengine.features.random_backbone`.
        collate: takes a list of preprocessed samples, and returns what the network is called with: a tensor,
            or a mapping of keywords to tensors; None for the usual batches. It is described like
            ``preprocess``, as it enters the cache key.
        licence, paper, description: for people.

    Raises:
        InputError: a name, modality or dimension that is not allowed, blocks or targets that are no names, a
            function that cannot be called.

    >>> spec = BackboneSpec(name="tiny", modality="image", embedding_dim=8, load=print, preprocess=str)
    >>> spec.name, spec.default
    ('tiny', False)
    """

    name: str
    modality: Modality
    embedding_dim: int | Mapping[str, int]
    load: Callable[[str], nn.Module] = field(repr=False)
    preprocess: Callable[[Any], Any] = field(repr=False)
    revision: str = ""
    default: bool = False
    blocks: Sequence[Sequence[str]] = ()
    tokens: str = ""
    lora_targets: Sequence[str] = ()
    initialise: Callable[[nn.Module, int], None] | None = field(default=None, repr=False)
    collate: Callable[[Sequence[Any]], Any] | None = field(default=None, repr=False)
    licence: str = ""
    paper: str = ""
    description: str = ""

    def __post_init__(self) -> None:
        check_name("backbone", self.name)
        if self.modality not in MODALITIES:
            raise InputError(f"backbone {self.name!r}: modality {self.modality!r} is not one of {MODALITIES}")
        check_callable(
            f"backbone {self.name!r}",
            "load",
            self.load,
            "pass a function that takes a device and loads the network",
        )
        check_callable(
            f"backbone {self.name!r}",
            "preprocess",
            self.preprocess,
            "pass a function or tlengine.features.ImagePreprocess",
        )
        self._check_dim()
        check_network_parts(
            f"backbone {self.name!r}",
            blocks=self.blocks,
            tokens=self.tokens,
            lora_targets=self.lora_targets,
            initialise=self.initialise,
            collate=self.collate,
        )

    def _check_dim(self) -> None:
        dims = self.embedding_dim
        if isinstance(dims, Mapping) and (self.modality != "any" or set(dims) != {"image", "text"}):
            raise InputError(
                f"backbone {self.name!r}: embedding_dim is {dict(dims)}, the modality {self.modality!r}",
                hint='for modality "any" give {"image": columns, "text": columns}, else one number',
            )
        if min(dims.values() if isinstance(dims, Mapping) else [dims]) < 1:
            raise InputError(f"backbone {self.name!r}: embedding_dim is {dims}, at least 1")


@dataclass(frozen=True, kw_only=True)
class BackboneSource:
    """An open namespace of backbones: every name that starts with ``prefix/``.

    Attributes:
        prefix: one lower-case word; ``timm`` answers to ``timm/<anything>``.
        resolve: takes what follows ``prefix/``, case kept, and returns its :class:`BackboneSpec`;
            raises ``LookupError`` for a name it does not know.
        list: returns the names it can list (without the prefix), as many as it knows offline.

    >>> BackboneSource(prefix="hf", resolve=print, list=tuple).prefix
    'hf'
    """

    prefix: str
    resolve: Callable[[str], BackboneSpec] = field(repr=False)
    list: Callable[[], Iterable[str]] = field(repr=False)

    def __post_init__(self) -> None:
        check_name("source", self.prefix)
        if "/" in self.prefix:
            raise InputError(f"source prefix {self.prefix!r} contains '/'", hint="use one word")

    @property
    def name(self) -> str:
        """The prefix, under which it is registered."""
        return self.prefix


State = Mapping[str, Any]
"""Values of a head's parameters by name, arrays or tensors; what it does not name stays as it was built."""


@dataclass(frozen=True, kw_only=True)
class HeadSpec:
    """The trainable part on top of a backbone: a module that turns rows, or tokens, into logits.

    A head that reads rows is called with (n, dim) float32; one that reads tokens with (n, tokens, dim) and a
    mask (n, tokens) bool, True where there is a token, or None where all are. Either returns logits (n, K). A
    head is saved as its state dict and its settings, so that ``build`` must make the same module of the same
    settings.

    Attributes:
        name: what users write.
        build: takes what a head reads (``dim``, or for tokens ``(tokens, dim)``, tokens None where their
            number varies) and the number of classes K, and returns the ``torch.nn.Module``. Its further
            arguments are the settings that a user may give: keywords with defaults, plain JSON.
        from_probe: takes the coefficients (K, dim) and intercepts (K,) of a linear probe, and returns the
            parameters, by name, with which the logits of a row x are ``x @ coef.T + intercept`` (of tokens:
            of their mean), dropout aside; parameters that it leaves out stay as they were built. None for a
            head that cannot be a probe.
        from_means: takes the class means (K, dim) of rows, and returns parameters in the same way; None for a
            head that does not start from them.
        input: ``"row"`` or ``"tokens"``.
        description: one line for people.

    Raises:
        InputError: a name or an input that is not allowed, a function that cannot be called, a ``build``
            without two arguments for shape and classes, or with a setting that has no default.

    >>> def build(dim, classes, *, bias=True):
    ...     from torch import nn
    ...
    ...     return nn.Linear(dim, classes, bias=bias)
    >>> spec = HeadSpec(name="plain", build=build)
    >>> spec.settings, spec.input
    ({'bias': True}, 'row')
    """

    name: str
    build: Callable[..., nn.Module] = field(repr=False)
    from_probe: Callable[[npt.NDArray[np.float64], npt.NDArray[np.float64]], State] | None = field(
        default=None, repr=False
    )
    from_means: Callable[[npt.NDArray[np.float64]], State] | None = field(default=None, repr=False)
    input: Literal["row", "tokens"] = "row"
    description: str = ""

    def __post_init__(self) -> None:
        check_name("head", self.name)
        owner = f"head {self.name!r}"
        fix = (
            "pass a function of a shape, the number of classes and settings, which returns a torch.nn.Module"
        )
        check_callable(owner, "build", self.build, fix)
        for word, function in (("from_probe", self.from_probe), ("from_means", self.from_means)):
            if function is not None:
                check_callable(owner, word, function, "pass a function of arrays, or None")
        if self.input not in ("row", "tokens"):
            raise InputError(f"{owner}: input {self.input!r}", hint="'row' or 'tokens'")
        self._check_build(owner)

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that ``build`` takes, with their defaults."""
        _, _, *others = inspect.signature(self.build).parameters.values()
        return {one.name: one.default for one in others}

    def _check_build(self, owner: str) -> None:
        """Two arguments by place; what follows has a name and a default."""
        fix = "write it like: def build(dim, classes, *, dropout=0.0)"
        try:
            arguments = [*inspect.signature(self.build).parameters.values()]
        except (TypeError, ValueError) as error:
            raise InputError(f"{owner}: the settings of build cannot be seen: {error}", hint=fix) from None
        by_place = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        if len(arguments) < 2 or any(one.kind not in by_place for one in arguments[:2]):
            raise InputError(f"{owner}: build takes no shape and number of classes", hint=fix)
        named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        for one in arguments[2:]:
            if one.kind not in named or one.default is inspect.Parameter.empty:
                raise InputError(f"{owner}: the setting {one.name!r} of build has no default", hint=fix)
