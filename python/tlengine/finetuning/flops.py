"""Floating-point operations of one batch, counted by torch; who knows how many there are multiplies.

Counted are matrix products, convolutions and attention, at two for a multiply-add; norms, activations and
pooling count nothing. What torch's own counter gets wrong is mended here: the weight gradient of a grouped
convolution (it counts one as large as without groups), attention on a CPU (0 in some versions,
pytorch#195460) and the fast path of ``nn.MultiheadAttention`` and ``nn.TransformerEncoderLayer`` (0 in all).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tlengine.features import Backbone

__all__ = ["count_flops", "row_flops"]

Shape = Sequence[int]


def count_flops(run: Callable[[], Any]) -> float | None:
    """Operations of what ``run`` does, forward and backward: one batch, once for each stage and shape.

    It is run once, and computes what it computes otherwise. Never count a loop: every operation is dispatched
    through Python meanwhile.

    Args:
        run: one batch; what it returns is left alone.

    Returns:
        The number of operations; None where nothing was met that is counted.

    >>> import torch
    >>> layer, rows = torch.nn.Linear(8, 4), torch.ones(16, 8)
    >>> count_flops(lambda: layer(rows)) == 2 * 16 * 8 * 4
    True
    >>> count_flops(lambda: layer(rows).sum().backward()) == 2 * (2 * 16 * 8 * 4)  # no gradient of the rows
    True
    >>> count_flops(lambda: rows + 1) is None
    True
    """
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False, custom_mapping=_mended()) as counter:
        run()
    return float(counter.get_total_flops()) or None


def row_flops(backbone: Backbone, samples: Sequence[Any]) -> float | None:
    """Operations that the embedding of a row takes: the mean over a few, each by itself, without padding.

    Args:
        backbone: made for the modality of the samples.
        samples: images or texts as a data set holds them. One image says it all; of texts, whose tokens
            decide, a few that stand for the others.

    Returns:
        Operations a row; None where nothing is counted, or the network cannot be run while it is counted.
    """
    from tlengine.features.forward import Forward
    from tlengine.features.images import decode_image

    total = 0.0
    try:
        with Forward(backbone, "cpu", "float32") as forward:
            for sample in samples:
                shown = sample if isinstance(sample, str) else decode_image(sample)
                total += count_flops(partial(forward.output, [np.asarray(backbone.preprocess(shown))])) or 0.0
    except Exception:  # a figure of a table: a network that cannot be watched costs the figure alone
        return None
    return total / len(samples) if total else None


def _mended() -> dict[Any, Callable[..., int]]:
    """Formulas by operation, of what this torch has and counts wrong or not at all."""
    import torch
    from torch.utils.flop_counter import flop_registry

    aten = torch.ops.aten
    found: dict[Any, Callable[..., int]] = {aten.convolution_backward: _convolution_backward}
    for name, formula in _UNCOUNTED.items():
        operation = getattr(aten, name, None)
        if operation is not None and operation not in flop_registry:
            found[operation] = formula
    return found


def _convolution_backward(
    grad: Shape, x: Shape, weight: Shape, _bias: Any, _stride: Any, _padding: Any, _dilation: Any,
    transposed: bool, _output_padding: Any, _groups: int, mask: Sequence[bool], *_: Any, **__: Any,
) -> int:  # fmt: skip
    """Each of the gradients of input and weight takes what the forward pass took, groups or none."""
    places = x if transposed else grad
    return 2 * grad[0] * prod(places[2:]) * prod(weight) * sum(mask[:2])


def _attention(query: Shape, key: Shape, value: Shape, *_: Any, **__: Any) -> int:
    """(n, heads, tokens, dim): scores, and the values they weigh."""
    n, heads, tokens, dim = query
    return 2 * n * heads * tokens * key[2] * (dim + value[3])


def _attention_backward(_grad: Shape, query: Shape, key: Shape, value: Shape, *_: Any, **__: Any) -> int:
    """Scores once more; the gradients of scores, values, queries and keys."""
    n, heads, tokens, dim = query
    return 2 * n * heads * tokens * key[2] * (3 * dim + 2 * value[3])


def _native_attention(
    query: Shape, key: Shape, _value: Shape, dim: int, _heads: int, *_: Any, **__: Any
) -> int:
    """(n, tokens, dim): four projections, and attention."""
    n, tokens = query[0], query[1]
    return 2 * n * dim * (2 * tokens * dim + 2 * key[1] * dim + 2 * tokens * key[1])


def _encoder_layer(x: Shape, dim: int, heads: int, *weights: Any, **__: Any) -> int:
    """Attention, and the two layers after it: the first has its weight at place 11."""
    return _native_attention(x, x, x, dim, heads) + 2 * 2 * x[0] * x[1] * dim * int(weights[11][0])


_UNCOUNTED: dict[str, Callable[..., int]] = {
    "_scaled_dot_product_flash_attention_for_cpu": _attention,
    "_scaled_dot_product_flash_attention_for_cpu_backward": _attention_backward,
    "_scaled_dot_product_fused_attention_overrideable": _attention,
    "_scaled_dot_product_fused_attention_overrideable_backward": _attention_backward,
    "_scaled_dot_product_attention_math_for_mps": _attention,
    "_native_multi_head_attention": _native_attention,
    "_transformer_encoder_layer_fwd": _encoder_layer,
}
"""Looked up in torch's own table first: a version that counts one keeps its count."""
