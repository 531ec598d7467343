"""Small networks with all that real ones have: batch normalisation, dropout, residuals, tokens, positions."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

__all__ = ["CNN", "CNN_BLOCKS", "VIT_BLOCKS", "Encoder", "Residual", "ViT", "randomised", "text_batch"]


class Residual(nn.Module):
    """Convolution and batch normalisation beside its input; ``calls`` counts forward passes."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.dropout = nn.Dropout(0.2)
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return x + self.dropout(F.relu(self.norm(self.conv(x))))


class CNN(nn.Module):
    """(n, 3, 16, 16) to (n, 8)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.act = nn.ReLU(inplace=True)
        self.blocks = nn.ModuleList(Residual(8) for _ in range(3))
        self.last = nn.Conv2d(8, 8, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.act(self.norm(self.stem(images)))
        for block in self.blocks:
            x = block(x)
        return self.act(self.last(x)).mean(dim=(2, 3))


CNN_BLOCKS = (("stem", "norm"), ("blocks.0",), ("blocks.1",), ("blocks.2", "last"))


class Block(nn.Module):
    """A block of a transformer, normalised first, called with keywords."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.fc1, self.fc2 = nn.Linear(dim, 2 * dim), nn.Linear(2 * dim, dim)
        self.dropout = nn.Dropout(0.1)

    def forward(self, mask: torch.Tensor | None = None, *, x: torch.Tensor) -> torch.Tensor:
        n, tokens, dim = x.shape
        q, k, v = self.qkv(self.norm1(x)).reshape(n, tokens, 3, 2, dim // 2).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2)
        x = x + self.dropout(self.proj(mixed.reshape(n, tokens, dim)))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class ViT(nn.Module):
    """(n, 3, 16, 16) to (n, 16), as timm's: patches, a class token, positions, blocks, a norm."""

    def __init__(self, depth: int = 4, dim: int = 16) -> None:
        super().__init__()
        self.patch_embed = nn.Conv2d(3, dim, 4, stride=4)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, 17, dim))
        self.pos_drop = nn.Dropout(0.1)
        self.blocks = nn.ModuleList(Block(dim) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.patch_embed(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1)
        x = self.pos_drop(x + self.pos_embed)
        for block in self.blocks:
            x = block(x=x)
        return self.norm(x)[:, 0]


VIT_BLOCKS = (
    ("patch_embed", "cls_token", "pos_embed"),
    *((f"blocks.{i}",) for i in range(3)),
    ("blocks.3", "norm"),
)


class Encoder(nn.Module):
    """``input_ids`` and ``attention_mask`` (n, tokens) to (n, 16): blocks get the mask first."""

    def __init__(self, depth: int = 3, dim: int = 16) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(50, dim, padding_idx=0), nn.Embedding(64, dim)
        self.layers = nn.ModuleList(Block(dim) for _ in range(depth))

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        x = self.embed(input_ids) + self.place(torch.arange(input_ids.shape[1]))
        mask = torch.zeros(attention_mask.shape).masked_fill(attention_mask == 0, -1e9)[:, None, None]
        for layer in self.layers:
            x = layer(mask, x=x)
        weight = attention_mask[..., None].float()
        return (x * weight).sum(1) / weight.sum(1)


def randomised(network: nn.Module, seed: int = 0) -> nn.Module:
    """Weights, biases and statistics away from 0 and 1, so that nothing cancels."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                scale = 0.1 if tensor.ndim < 2 else tensor[0].numel() ** -0.5
                around = 1.0 if name.endswith("running_var") or ("norm" in name and "weight" in name) else 0.0
                tensor.copy_(around + scale * torch.randn(tensor.shape, generator=generator).clamp(-3, 3))
    return network.eval()


def text_batch(lengths: list[int], seed: int = 0) -> dict[str, Any]:
    """Token ids padded at their ends."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, 50, (len(lengths), max(lengths)), generator=generator)
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    return {"input_ids": ids * mask, "attention_mask": mask}
