"""A small network of each kind as a backbone, and data that tells its classes apart by brightness."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from tlengine.evaluation import FineTuneResult, finetune
from tlengine.features import Backbone, ImagePreprocess

__all__ = ["LABELS", "PICTURES", "cnn", "trained", "transformer"]

PREPROCESS = ImagePreprocess(resize=18, crop=16)


def _pictures() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [
        Image.fromarray((rng.random((20, 20, 3)) * (120 + 100 * (i % 2))).astype("uint8")) for i in range(12)
    ]


PICTURES, LABELS = _pictures(), ["dark", "light"] * 6


class Cnn(nn.Module):
    """Two convolutions with batch normalisation whose statistics are not those of a new layer."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.norm1 = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.two, self.norm2 = nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8)
        for norm in (self.norm1, self.norm2):
            nn.init.normal_(norm.running_mean, std=0.1)
            nn.init.uniform_(norm.running_var, 0.5, 1.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm1(self.one(x)))
        return torch.relu(self.norm2(self.two(x))).mean(dim=(2, 3))


class Layer(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(self.norm1(x)).chunk(3, -1)
        found = nn.functional.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])[:, 0]
        x = x + self.proj(found)
        return x + self.fc2(nn.functional.gelu(self.fc1(self.norm2(x))))


class Transformer(nn.Module):
    """Patches of 4 pixels, a class token, two layers."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, width, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, width))
        self.place = nn.Parameter(torch.randn(1, 17, width))
        self.layers = nn.ModuleList([Layer(width), Layer(width)])
        self.norm = nn.LayerNorm(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.place
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)[:, 0]


def cnn(seed: int = 0, **options: Any) -> Backbone:
    """The convolutional one."""
    torch.manual_seed(seed)
    given = {"preprocess": PREPROCESS, "modality": "image", "name": "small-cnn", **options}
    return Backbone(Cnn(), blocks=[["one", "norm1"], ["two", "norm2"]], lora_targets=["two"], **given)


def transformer(seed: int = 0, **options: Any) -> Backbone:
    """The transformer."""
    torch.manual_seed(seed)
    return Backbone(
        Transformer(), preprocess=PREPROCESS, modality="image", name="small-vit", **options,
        blocks=[["patch", "token", "place", "layers.0"], ["layers.1", "norm"]], lora_targets=["qkv", "proj"],
    )  # fmt: skip


def trained(backbone: Backbone, strategy: str = "lp-ft", **options: Any) -> FineTuneResult:
    """Three steps of a strategy."""
    settings = {"steps": 3, "augment": "none", **options.pop("settings", {})}
    return finetune(
        (PICTURES, LABELS), backbone, strategy=strategy, settings=settings, cache=False, progress=False,
        **options,
    )  # fmt: skip
