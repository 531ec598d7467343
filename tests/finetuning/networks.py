"""Small networks of each family as backbones, small data, and views of a run made by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from tlengine.evaluation.views import Ground, RunView, Site, TaskView
from tlengine.features import Backbone, ImagePreprocess
from tlengine.features.forward import Forward
from tlengine.finetuning import FineTuning
from tlengine.finetuning.fitting import Fit, Trained
from tlengine.plugins.contracts import Roles

SIZE = 16
WIDTH = 8
CHEAP = {"steps": 4, "batch": 6, "augment": "none"}
"""Settings of a fit that costs milliseconds."""


class DropPath(nn.Module):
    """Leaves a branch out for some rows, in training mode alone, as EfficientNet's drop-connect does."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training or not self.p:
            return x
        kept = torch.rand(len(x), *[1] * (x.ndim - 1), device=x.device) >= self.p
        return x * kept / (1 - self.p)


class Residual(nn.Module):
    """Convolution, batch normalisation and drop-connect beside the identity."""

    def __init__(self, drop: float) -> None:
        super().__init__()
        self.conv = nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(WIDTH)
        self.drop = DropPath(drop)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.drop(torch.relu(self.norm(self.conv(x))))


class Cnn(nn.Module):
    """Stem, two residual blocks, and a 1 x 1 convolution before the mean."""

    def __init__(self, drop: float = 0.3) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTH, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(WIDTH)
        self.one, self.two = Residual(drop), Residual(drop)
        self.last = nn.Conv2d(WIDTH, WIDTH, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.stem(x)))
        return self.last(self.two(self.one(x))).mean(dim=(2, 3))


class Layer(nn.Module):
    """A block of a vision transformer."""

    def __init__(self, drop: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.fc = nn.Linear(WIDTH, WIDTH)
        self.drop = nn.Dropout(drop)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(self.norm1(x)).chunk(3, dim=-1)
        x = x + self.drop(self.proj(nn.functional.scaled_dot_product_attention(q, k, v)))
        return x + self.drop(self.fc(torch.nn.functional.gelu(self.norm2(x))))


class Vit(nn.Module):
    """Patches, a class token, positions, two layers, a norm."""

    def __init__(self, drop: float = 0.1) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, WIDTH, 8, stride=8)
        self.cls_token = nn.Parameter(0.02 * torch.randn(1, 1, WIDTH))
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, 5, WIDTH))
        self.layers = nn.ModuleList([Layer(drop), Layer(drop)])
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1) + self.pos_embed
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)[:, 0]


class Bert(nn.Module):
    """transformers' BERT, two layers with random weights, averaged over the tokens."""

    def __init__(self, drop: float = 0.1) -> None:
        super().__init__()
        from transformers import BertConfig, BertModel

        config = BertConfig(
            vocab_size=64, hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=2,
            intermediate_size=16, max_position_embeddings=16, hidden_dropout_prob=drop,
            attention_probs_dropout_prob=drop,
        )  # fmt: skip
        self.encoder = BertModel(config, add_pooling_layer=False)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        tokens = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        weight = attention_mask.unsqueeze(-1).to(tokens.dtype)
        return (tokens * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1.0)


@dataclass(frozen=True)
class Words:
    """A text as token ids: a number for each word, and nothing around them."""

    pad_id: int = 0

    def __call__(self, text: str) -> np.ndarray:
        found = [2 + int(hashlib.md5(word.encode()).hexdigest(), 16) % 62 for word in text.split()][:16]
        return np.array(found, dtype=np.int64)

    def describe(self) -> Mapping[str, Any]:
        return {"kind": "words", "pad_id": self.pad_id}


@dataclass(frozen=True)
class Kind:
    """A family of networks: how to make one, and what its plugin would tell."""

    module: type[nn.Module]
    blocks: tuple[tuple[str, ...], ...]
    lora: tuple[str, ...]
    modality: str = "image"


KINDS = {
    "cnn": Kind(Cnn, (("stem", "norm"), ("one",), ("two", "last")), ("conv", "last")),
    "vit": Kind(
        Vit, (("patch", "cls_token", "pos_embed"), ("layers.0",), ("layers.1", "norm")), ("qkv", "proj")
    ),
    "bert": Kind(
        Bert,
        (("encoder.embeddings",), ("encoder.encoder.layer.0",), ("encoder.encoder.layer.1",)),
        ("query", "value"),
        "text",
    ),
}


def backbone(kind: str, *, drop: float | None = None, seed: int = 0, **facts: Any) -> Backbone:
    """A network of a family with weights of its own, in evaluation mode."""
    told = KINDS[kind]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = told.module() if drop is None else told.module(drop)  # type: ignore[call-arg]
        for part in module.modules():  # running statistics that nobody would mistake for the initial ones
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.normal_(std=0.1)
                part.running_var.uniform_(0.5, 1.5)
    given = {"blocks": told.blocks, "lora_targets": told.lora, **facts}
    preprocess = Words() if told.modality == "text" else ImagePreprocess(resize=SIZE, crop=SIZE)
    return Backbone(
        module.eval().requires_grad_(False), preprocess=given.pop("preprocess", preprocess),
        modality=told.modality, name=kind, embedding_dim=WIDTH, **given,
    )  # type: ignore[arg-type]  # fmt: skip


def pictures(codes: np.ndarray, size: int = 20, seed: int = 0) -> list[np.ndarray]:
    """Noise whose colour tells the class, not quite."""
    rng = np.random.default_rng(seed)
    tints = rng.integers(60, 196, (codes.max() + 1, 3))
    noise = rng.normal(0, 40, (len(codes), size, size, 3))
    return list((tints[codes][:, None, None] + noise).clip(0, 255).astype(np.uint8))


def texts(codes: np.ndarray, seed: int = 0) -> list[str]:
    """Words of which every third tells the class."""
    rng = np.random.default_rng(seed)
    return [" ".join(f"w{rng.integers(9) if i % 3 else 20 + code}" for i in range(7)) for code in codes]


def view_of(
    bb: Backbone,
    roles: Roles,
    codes: np.ndarray,
    contents: Sequence[Any] | None = None,
    cache: Path | None = None,
) -> TaskView:
    """What a fit of a run on ``bb`` may see."""
    if contents is None:
        contents = texts(codes) if bb.modality == "text" else pictures(codes)
    decoded = [one if isinstance(one, str) else Image.fromarray(one) for one in contents]
    with Forward(bb, "cpu", "float32") as forward:
        X = forward([np.asarray(bb.preprocess(one)) for one in decoded])
    digests = [
        hashlib.sha256(one.encode() if isinstance(one, str) else one.tobytes()).digest() for one in contents
    ]
    ground = Ground(
        codes=codes, classes=np.unique(codes).astype(str), units=np.arange(len(codes)),
        digests=np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32), contents=list(contents),
        rows=np.arange(len(codes)),
    )  # fmt: skip
    view = RunView(name=bb.name, X=X, backbone=bb.name, loaded=bb)
    return TaskView(view, ground, roles, Site(cache=cache))


def roles_of(train: int, n: int, folds: int = 3) -> Roles:
    """The first rows train, every ``folds``-th of them held out in turn; the others are tested."""
    rows = np.arange(train)
    inner = tuple((np.delete(rows, np.s_[i::folds]), rows[i::folds]) for i in range(folds)) if folds else ()
    return Roles(train=rows, test=np.arange(train, n), inner=inner)


@dataclass
class Case:
    """A backbone and small data: 24 rows, 18 of them to train on."""

    backbone: Backbone
    view: TaskView
    roles: Roles

    @classmethod
    def of(
        cls, kind: str, *, classes: int = 3, train: int = 18, n: int = 24, folds: int = 3, **facts: Any
    ) -> Case:
        """Classes in turn; inner folds that have all of them."""
        bb = backbone(kind, **facts)
        codes = np.arange(n) % classes
        roles = roles_of(train, n, 0)
        if folds:
            rows, fold = np.arange(train), (np.arange(train) // classes) % folds
            roles = Roles(
                train=rows,
                test=roles.test,
                inner=tuple((rows[fold != i], rows[fold == i]) for i in range(folds)),
            )
        return cls(bb, view_of(bb, roles, codes), roles)

    def train(self, preset: str, *, seed: int = 0, folder: Path | None = None, **settings: Any) -> Trained:
        """A network, trained as the strategy would train it."""
        fit = Fit(view=self.view, roles=self.roles, seed=seed, folder=folder)
        return fit.train(FineTuning(preset, **{**CHEAP, **settings}).train_settings)


def weights_of(trained: Trained) -> dict[str, torch.Tensor]:
    """All tensors of the network, by name."""
    return {name: tensor.detach().clone() for name, tensor in trained.network.state_dict().items()}


def assert_equal(one: Mapping[str, torch.Tensor], two: Mapping[str, torch.Tensor]) -> None:
    """Byte for byte."""
    assert list(one) == list(two)
    for name in one:
        assert torch.equal(one[name], two[name]), name
