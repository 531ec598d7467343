"""The shipped heads as modules; :mod:`.shipped` has their records."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

__all__ = ["AttentionPoolHead", "CosineHead", "LinearHead", "MlpHead"]


class LinearHead(nn.Linear):
    """(n, dim) to (n, K): one weight for each column and class."""

    def __init__(self, dim: int, classes: int, dropout: float) -> None:
        super().__init__(dim, classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Logits (n, K)."""
        return super().forward(self.dropout(rows))


class MlpHead(nn.Module):
    """(n, dim) to (n, K) by way of one hidden layer with GELU (Hendrycks & Gimpel 2016)."""

    def __init__(self, dim: int, classes: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.hidden = nn.Linear(dim, hidden)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden, classes)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Logits (n, K)."""
        out: torch.Tensor = self.output(self.dropout(functional.gelu(self.hidden(rows))))
        return out


class CosineHead(nn.Module):
    """(n, dim) to (n, K): cosines between rows and class weights, times a learnt scale, which stays positive.

    The cosine classifier of Gidaris & Komodakis (2018); with class means as weights, a prototypical one.
    """

    def __init__(self, dim: int, classes: int, scale: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, dim))
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Logits (n, K); a row of zeros has logits 0."""
        directions = functional.normalize(rows.float(), dim=1)
        cosines = functional.linear(directions, functional.normalize(self.weight, dim=1))
        return cosines * self.log_scale.exp()


class AttentionPoolHead(nn.Module):
    """(n, tokens, dim) to (n, K): tokens weighed by one learned query, then a linear layer.

    Weights are the softmax of query times token / sqrt(dim), the token normalised (its mean 0, its variance
    1), so that its length does not matter; what is averaged are the tokens as they come. The query starts at
    0, which is their mean. Attention pooling as in Ilse et al. (2018), with the dot product of transformers.
    """

    def __init__(self, dim: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.zeros(dim))
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(dim, classes)

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Logits (n, K); where a row has no token at all, those of zeros."""
        dim = tokens.shape[2]
        if mask is not None:
            tokens = tokens.masked_fill(~mask.unsqueeze(2), 0.0)
        similar = functional.layer_norm(tokens, (dim,)) @ self.query / math.sqrt(dim)
        if mask is not None:
            similar = similar.masked_fill(~mask, torch.finfo(similar.dtype).min)
        weights = functional.softmax(similar, dim=1)
        pooled = (weights.unsqueeze(1) @ tokens).squeeze(1)  # masked tokens are 0, whatever they weigh
        out: torch.Tensor = self.output(self.dropout(pooled))
        return out
