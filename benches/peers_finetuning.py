"""What one writes by hand: a frozen network with its last block trained, all of it computed in every step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

BATCH, CLASSES = 32, 8
TOKENS = 128


@dataclass
class Made:
    """A network in evaluation mode, its blocks, samples of a batch, and what makes a batch of samples."""

    module: nn.Module
    blocks: tuple[tuple[str, ...], ...]
    modality: str
    dim: int
    samples: list[Any]
    collate: Callable[[list[Any]], Any]


class Block(nn.Module):
    """A block of ViT-S/16 (Dosovitskiy et al. 2021)."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.fc1, self.fc2 = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, tokens, dim = x.shape
        shape = (n, tokens, 3, self.heads, dim // self.heads)
        q, k, v = self.qkv(self.norm1(x)).reshape(shape).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, tokens, dim)
        x = x + self.proj(mixed)
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class ViT(nn.Module):
    """ViT-S/16 at 224 pixels with random weights: (n, 3, 224, 224) to (n, 384)."""

    def __init__(self, depth: int = 12, dim: int = 384, heads: int = 6) -> None:
        super().__init__()
        self.patch_embed = nn.Conv2d(3, dim, 16, stride=16)
        self.cls_token = nn.Parameter(0.02 * torch.randn(1, 1, dim))
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, 197, dim))
        self.blocks = nn.ModuleList(Block(dim, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.patch_embed(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.norm(x)[:, 0]


def made(name: str) -> Made:
    """The network of that name, the same in every process."""
    torch.manual_seed(0)
    if name == "minilm":
        return _minilm()
    images = list(torch.randn(BATCH, 3, 224, 224))
    if name == "vit":
        blocks = (
            ("patch_embed", "cls_token", "pos_embed"),
            *((f"blocks.{i}",) for i in range(11)),
            ("blocks.11", "norm"),
        )
        return Made(ViT().eval(), blocks, "image", 384, images, torch.stack)
    from tlengine.features import load_backbone

    backbone = load_backbone(name)
    backbone.module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def collate(samples: list[Any]) -> torch.Tensor:
        return torch.stack(samples).contiguous(memory_format=torch.channels_last)

    return Made(backbone.module, backbone.blocks, "image", 1280, images, collate)


def _minilm() -> Made:
    from tlengine.features import load_backbone

    backbone = load_backbone("minilm")
    lengths = torch.randint(TOKENS // 2, TOKENS + 1, (BATCH,)).tolist()
    texts = [torch.randint(1000, 20_000, (length,)) for length in (TOKENS, *lengths[1:])]

    def collate(samples: list[Any]) -> Mapping[str, torch.Tensor]:
        ids = nn.utils.rnn.pad_sequence(samples, batch_first=True)
        lengths = torch.tensor([len(sample) for sample in samples])
        return {"input_ids": ids, "attention_mask": (torch.arange(ids.shape[1]) < lengths[:, None]).long()}

    return Made(backbone.module, backbone.blocks, "text", 384, texts, collate)


def step_of(made: Made, forward: Callable[[], torch.Tensor]) -> Callable[[], float]:
    """A step of AdamW on the last block and a head; returns the loss before it."""
    made.module.requires_grad_(False).eval()
    torch.manual_seed(1)
    head = nn.Linear(made.dim, CLASSES)
    parameters = list(head.parameters())
    for name in made.blocks[-1]:
        part = made.module.get_submodule(name).requires_grad_(True).train()
        parameters += part.parameters()
        for inner in part.modules():
            if isinstance(inner, nn.BatchNorm2d):
                inner.eval()
    solver = torch.optim.AdamW(parameters, lr=1e-4)
    labels = torch.arange(BATCH) % CLASSES

    def step() -> float:
        torch.manual_seed(2)  # dropout
        solver.zero_grad()
        loss = F.cross_entropy(head(forward()), labels)
        loss.backward()
        solver.step()
        return loss.item()

    return step


def torch_loop(name: str) -> Callable[[], float]:
    """The step with all of the network in it, and gradients for the last block alone."""
    network = made(name)
    inputs = network.collate(network.samples)
    module = network.module
    return step_of(network, lambda: module(**inputs) if isinstance(inputs, Mapping) else module(inputs))


PICTURES, SIZE, ROWS = 64, 128, 16


def pictures() -> list[Any]:
    """Noise of 160 x 140 pixels, the same in every process."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (140, 160, 3), dtype=np.uint8)) for _ in range(PICTURES)]


def whole_loop(name: str) -> Callable[[], float]:
    """A step of fine-tuning as people write it: torchvision's augmentation, AdamW, frozen statistics."""
    from torchvision import transforms as T  # noqa: N812

    from tlengine.features import load_backbone

    module = load_backbone(name).module.requires_grad_(True).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    view = T.Compose(
        [
            T.RandomResizedCrop(SIZE, scale=(0.7, 1.0), interpolation=T.InterpolationMode.BICUBIC),
            T.ToTensor(),
            T.Normalize((127 / 255,) * 3, (128 / 255,) * 3),
        ]
    )
    images, head = pictures(), nn.Linear(1280, CLASSES)
    model = nn.Sequential(module, head)
    solver = torch.optim.AdamW(model.parameters(), lr=1e-4)
    labels = torch.arange(PICTURES) % CLASSES

    def step() -> float:
        model.train()
        for part in model.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.eval()
        rows = torch.randperm(PICTURES)[:ROWS]
        batch = torch.stack([view(images[row]) for row in rows.tolist()])
        solver.zero_grad()
        loss = F.cross_entropy(model(batch.contiguous(memory_format=torch.channels_last)), labels[rows])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        solver.step()
        return loss.item()

    return step
