"""A small network that counts what it is asked to do, and the backbone made of it."""

import pytest
import torch

from tlengine.features import Backbone, ImagePreprocess

__all__ = ["PREPROCESS", "TinyNet", "backbone", "net"]


class TinyNet(torch.nn.Module):
    """A convolution, dropout and a pool: (n, 3, 16, 16) to (n, 8). ``rows`` counts its samples."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = torch.nn.Conv2d(3, 8, 3)
        self.dropout = torch.nn.Dropout(0.5)
        self.rows: list[int] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.rows.append(len(images))
        features: torch.Tensor = self.dropout(self.conv(images)).mean(dim=(2, 3))
        return features


PREPROCESS = ImagePreprocess(resize=16, crop=16)


@pytest.fixture
def net() -> TinyNet:
    return TinyNet()


@pytest.fixture
def backbone(net: TinyNet) -> Backbone:
    return Backbone(net, preprocess=PREPROCESS, modality="image", name="tiny")
