"""Small photographs and a small network that counts what it is asked to do."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tlengine.features import Backbone, EmbeddingCache, ImagePreprocess


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


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Ten images of several sizes in two classes."""
    rng = np.random.default_rng(0)
    for i in range(10):
        path = tmp_path / "photos" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (16 + i, 30 - i, 3), dtype=np.uint8)).save(path)
    return tmp_path / "photos"


@pytest.fixture
def cache(tmp_path: Path) -> EmbeddingCache:
    return EmbeddingCache(tmp_path / "cache")
