"""The control ``random``: a backbone's architecture with weights that were never trained."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from tlengine.data import Dataset
from tlengine.errors import InputError
from tlengine.features.batch_statistics import estimate_batch_statistics
from tlengine.plugins.containment import contained, reason

if TYPE_CHECKING:
    import torch
    from torch import nn

    from tlengine.features.backbone import Backbone

__all__ = ["random_backbone", "untrained_name"]

_RESETS = ("reset_parameters", "_reset_parameters")
_ONES = re.compile(r"(^|[._])(weight|gamma|scale|running_var)\d*$")
_ZEROS = re.compile(r"bias|(^|[._])(beta|shift|running_mean)\d*$")
_PLACES = re.compile(r"token|pos|embed|query|queries|latent|prompt")
_STATISTICS = ("running_mean", "running_var", "weight", "bias")
_SMALL = 0.02


def random_backbone(
    backbone: Backbone, *, seed: int = 0, contents: Dataset | Sequence[Any] | None = None
) -> Backbone:
    """A copy of ``backbone`` with untrained weights; only the architecture and the preprocessing are borrowed.

    The weights are drawn on the CPU, by rules tried in this order; ``how_drawn`` of the result says which rule
    drew what (``"initialise"``, ``"reset"`` for the first two below, ``"name"`` for the third):

    - the backbone's own ``initialise(module, seed)``, where it has one. What it leaves undrawn goes on to:

    1. every module's own ``reset_parameters()`` (or ``_reset_parameters()``), inner modules before outer ones;
    2. in networks of transformers, ``_init_weights(module)`` of the model, for every module in it;
    3. what no module resets: names of tokens, positions and embeddings (``cls_token``, ``pos_embed``) are
       normal with standard deviation 0.02, cut off at two (Dosovitskiy et al. 2021); other tensors with two or
       more dimensions are drawn like the weights of ``nn.Linear`` (He et al. 2015, a = sqrt 5); vectors named
       weight, gamma or scale are 1, bias, beta or shift 0.

    Buffers stay as they are (tables, constants), but for the statistics of batch normalisation and the weights
    of frozen ones. These statistics are estimated without labels from up to 256 of ``contents``, in evaluation
    mode otherwise (no dropout): always the same ones, whatever their order. Random generators are put back. On one machine, equal seeds and contents give equal fingerprints, in any process.

    Args:
        backbone: is left alone.
        seed: of the weights.
        contents: a dataset or its contents, as ``backbone`` takes them; None leaves means 0 and variances 1, as
            for training from scratch.

    Returns:
        A backbone named ``<name>~random``, for other seeds than 0 ``<name>~random<seed>``, on the device of
        ``backbone`` (on the CPU where that has several), in evaluation mode, without gradients.

    Raises:
        BackboneError, PluginError: parameters that no rule fits, quantised weights, an ``initialise`` or a reset
            that fails, or changes names or shapes, a network that cannot be copied.
        InputError: contents of another modality.
        DecodeError: not two contents can be read, and there is batch normalisation.

    >>> from torch import nn
    >>> import tlengine as tl
    >>> prep = tl.features.ImagePreprocess(resize=4, crop=4)
    >>> bb = tl.Backbone(nn.Sequential(nn.Flatten(), nn.Linear(48, 3)), preprocess=prep, modality="image", name="mine")
    >>> one, again = random_backbone(bb), random_backbone(bb)
    >>> one.name, one.fingerprint == again.fingerprint, one.fingerprint == bb.fingerprint
    ('mine~random', True, False)
    >>> one.how_drawn
    {'reset': ('1.weight', '1.bias')}
    """  # noqa: E501 - one line of the example
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise InputError(f"seed is {seed!r}", hint="use a whole number, 0 or more")
    other = backbone.copy()
    other.name = untrained_name(backbone.name, seed)
    devices = {tensor.device for tensor in (*other.module.parameters(), *other.module.buffers())}
    with _drawing(seed):
        other.how_drawn = _draw(other, seed)
    if contents is not None:
        estimate_batch_statistics(other, contents)
    if len(devices) == 1:
        other.module.to(devices.pop())
    other.module.eval().requires_grad_(False)
    return other


def untrained_name(name: str, seed: int = 0) -> str:
    """What :func:`random_backbone` calls the network of a seed.

    >>> untrained_name("mine"), untrained_name("mine", 2)
    ('mine~random', 'mine~random2')
    """
    return f"{name}~random{seed or ''}"


@contextmanager
def _drawing(seed: int) -> Iterator[None]:
    """The generators that resets draw from, at ``seed``; afterwards where they were. CUDA's stay."""
    import torch

    numpy_state = np.random.get_state()
    try:
        with contained(), torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.default_generator.manual_seed(seed)
            np.random.seed(seed % 2**32)
            random.seed(seed)
            yield
    finally:
        np.random.set_state(numpy_state)


def _draw(backbone: Backbone, seed: int) -> dict[str, tuple[str, ...]]:
    """Draw all weights; NaN marks those that no rule has reached. Returns their names by rule."""
    module = _on_cpu(backbone)
    _refuse_unknown(backbone, module)
    for parameter in module.parameters():
        parameter.fill_(float("nan"))
    drawn = {}
    if backbone.initialise is not None:
        drawn["initialise"] = _initialised(backbone, backbone.initialise, module, seed)
    if _undrawn(module):
        drawn["reset"] = _reset(backbone, module, drawn.get("initialise", ()))
    drawn["name"] = tuple(untouched := _undrawn(module))
    if unknown := [
        name for name, one in untouched.items() if not _drawn_by_name(name.rpartition(".")[2], one)
    ]:
        raise backbone.fault(
            f"has no rule for untrained values of {_listed(unknown)}",
            hint="give the backbone initialise=, or the module that holds them a reset_parameters() method",
        )
    _reset_statistics(module)
    return {rule: names for rule, names in drawn.items() if names}


def _undrawn(module: nn.Module) -> dict[str, nn.Parameter]:
    return {name: one for name, one in module.named_parameters() if one.isnan().any()}


def _initialised(
    backbone: Backbone, initialise: Callable[[nn.Module, int], None], module: nn.Module, seed: int
) -> tuple[str, ...]:
    """The parameters that the backbone's own rule has drawn."""
    shapes = {name: one.shape for name, one in module.named_parameters()}
    try:
        initialise(module, seed)
    except Exception as error:
        raise backbone.fault(f"cannot be initialised: {reason(error)}") from error
    now = {name: one.shape for name, one in module.named_parameters()}
    if changed := [name for name in {**shapes, **now} if shapes.get(name) != now.get(name)]:
        raise backbone.fault(
            f"is another network after initialise: {_listed(changed)} changed",
            hint="let initialise fill the parameters that there are, in place",
        )
    left = _undrawn(module)
    return tuple(name for name in shapes if name not in left)


def _reset(backbone: Backbone, module: nn.Module, keep: Sequence[str]) -> tuple[str, ...]:
    """Reset every module by its own method; what ``keep`` names has its values already, and keeps them."""
    before = {*_undrawn(module)}
    parameters = dict(module.named_parameters())
    values = {name: parameters[name].clone() for name in keep}
    _reset_modules(backbone, module)
    _reset_by_transformers(backbone, module)
    for name, value in values.items():
        parameters[name].copy_(value)
    left = _undrawn(module)
    return tuple(name for name in parameters if name in before and name not in left)


def _on_cpu(backbone: Backbone) -> nn.Module:
    try:
        return backbone.module.cpu()
    except Exception as error:
        raise backbone.fault(f"cannot be moved to the CPU: {reason(error)}") from error


def _refuse_unknown(backbone: Backbone, module: nn.Module) -> None:
    """What is no floating-point parameter and yet was learned: packed and quantised weights."""
    import torch

    whole = [
        name for name, one in module.named_parameters() if not (one.is_floating_point() or one.is_complex())
    ]
    packed = [
        name
        for name, one in module.state_dict().items()
        if not isinstance(one, torch.Tensor) or one.is_quantized
    ]
    if found := [*dict.fromkeys([*whole, *packed])]:
        raise backbone.fault(
            f"has weights that are no real numbers: {_listed(found)}",
            hint="use the network before quantisation",
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _reset_modules(backbone: Backbone, module: nn.Module) -> None:
    """Inner modules first: what an outer one does to them on purpose stays."""
    for name, part in reversed([*module.named_modules()]):
        for method in _RESETS:
            if callable(reset := getattr(part, method, None)):
                try:
                    reset()
                except Exception as error:
                    place = f"{name or type(part).__name__}.{method}()"
                    raise backbone.fault(f"cannot be reset: {place} raised {reason(error)}") from error


def _reset_by_transformers(backbone: Backbone, module: nn.Module) -> None:
    for name, model in module.named_modules():
        if not any(base.__module__.startswith("transformers.") for base in type(model).__mro__):
            continue
        if not callable(init := getattr(model, "_init_weights", None)):
            continue
        for inner, part in model.named_modules():
            try:
                init(part)
            except Exception as error:
                place = ".".join(filter(None, (name, inner))) or type(part).__name__
                raise backbone.fault(
                    f"cannot be reset: _init_weights({place}) raised {reason(error)}"
                ) from error


def _drawn_by_name(name: str, parameter: torch.Tensor) -> bool:
    """Whether a parameter that no module resets got its values, by its own name and shape."""
    from torch import nn

    is_vector = parameter.numel() == max(parameter.shape, default=1)
    if _PLACES.search(name):
        nn.init.trunc_normal_(parameter, std=_SMALL, a=-2 * _SMALL, b=2 * _SMALL)
    elif _ZEROS.search(name):
        parameter.zero_()
    elif is_vector and _ONES.search(name):
        parameter.fill_(1.0)
    elif not is_vector:
        nn.init.kaiming_uniform_(parameter, a=5**0.5)
    else:
        return False
    return True


def _reset_statistics(module: nn.Module) -> None:
    """Frozen batch normalisation keeps all it has learned in buffers."""
    for part in module.modules():
        buffers = dict(part.named_buffers(recurse=False))
        if "running_var" in buffers:
            for name in buffers.keys() & set(_STATISTICS):
                if buffers[name] is not None:
                    buffers[name].fill_(1.0 if _ONES.search(name) else 0.0)
