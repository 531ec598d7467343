"""The records of the heads that are shipped; torch is loaded when one is built."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tlengine.errors import InputError
from tlengine.plugins import HeadSpec

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import nn

__all__ = ["HEADS"]


def build_linear(dim: int, classes: int, *, dropout: float = 0.0) -> nn.Module:
    """One weight for each column and class."""
    from tlengine.finetuning.heads.modules import LinearHead

    return LinearHead(dim, classes, _share("linear", dropout))


def build_mlp(dim: int, classes: int, *, hidden: int = 512, dropout: float = 0.1) -> nn.Module:
    """One hidden layer."""
    from tlengine.finetuning.heads.modules import MlpHead

    if not isinstance(hidden, int) or isinstance(hidden, bool) or hidden < 1:
        raise InputError(f"head 'mlp': hidden is {hidden!r}", hint="use a whole number, 1 or more")
    return MlpHead(dim, classes, hidden, _share("mlp", dropout))


def build_cosine(dim: int, classes: int, *, scale: float = 10.0) -> nn.Module:
    """Cosines to the class weights, times a scale that is learnt from ``scale`` on."""
    from tlengine.finetuning.heads.modules import CosineHead

    if not isinstance(scale, int | float) or isinstance(scale, bool) or not 0 < scale < float("inf"):
        raise InputError(f"head 'cosine': scale is {scale!r}", hint="use a number above 0, such as 10")
    return CosineHead(dim, classes, scale)


def build_attention_pool(dim: tuple[int | None, int], classes: int, *, dropout: float = 0.0) -> nn.Module:
    """Tokens weighed by one learned query, then a linear layer."""
    from tlengine.finetuning.heads.modules import AttentionPoolHead

    return AttentionPoolHead(dim[1], classes, _share("attention-pool", dropout))


def _share(head: str, dropout: float) -> float:
    if not isinstance(dropout, int | float) or isinstance(dropout, bool) or not 0 <= dropout < 1:
        raise InputError(f"head {head!r}: dropout is {dropout!r}", hint="use a share from 0 to below 1")
    return float(dropout)


def linear_from_probe(coef: npt.NDArray[np.float64], intercept: npt.NDArray[np.float64]) -> Mapping[str, Any]:
    """The probe itself."""
    return {"weight": coef, "bias": intercept}


def attention_pool_from_probe(
    coef: npt.NDArray[np.float64], intercept: npt.NDArray[np.float64]
) -> Mapping[str, Any]:
    """The probe on the mean of the tokens: with a query of 0 all weigh the same."""
    return {"query": 0 * coef[0], "output.weight": coef, "output.bias": intercept}


def cosine_from_means(means: npt.NDArray[np.float64]) -> Mapping[str, Any]:
    """Prototypes: each class is the direction of its mean."""
    return {"weight": means}


HEADS: tuple[HeadSpec, ...] = (
    HeadSpec(
        name="linear",
        build=build_linear,
        from_probe=linear_from_probe,
        description="One linear layer on the row.",
    ),
    HeadSpec(name="mlp", build=build_mlp, description="One hidden layer with GELU on the row."),
    HeadSpec(
        name="cosine",
        build=build_cosine,
        from_means=cosine_from_means,
        description="Cosines to a prototype of each class, times a learnt scale.",
    ),
    HeadSpec(
        name="attention-pool",
        build=build_attention_pool,
        from_probe=attention_pool_from_probe,
        input="tokens",
        description="Tokens weighed by one learned query, then one linear layer.",
    ),
)
"""What tlengine itself offers by the hook ``tlengine_heads``."""
