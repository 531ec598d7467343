"""A small backbone of pictures."""

from typing import Any

import torch
from torch import nn

import tlengine as tl
from tlengine.features import ImagePreprocess


class Pooled(nn.Module):
    """A few pixels, and one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, batch: Any) -> Any:
        return self.scale * nn.functional.adaptive_avg_pool2d(batch, 4).flatten(1)


def tiny(name: str = "tiny") -> tl.Backbone:
    """A small backbone."""
    return tl.Backbone(Pooled(), preprocess=ImagePreprocess(resize=32, crop=32), modality="image", name=name)
