"""Heads."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def build_head(name: str, dim: int, classes: int) -> nn.Module:
    return nn.Linear(dim, classes)


def head_from_probe(name: str, coef: Any, intercept: Any) -> nn.Module:
    head = nn.Linear(coef.shape[1], coef.shape[0])
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(coef).float())
        head.bias.copy_(torch.from_numpy(intercept).float())
    return head
