"""The network: apart from the record, so that listing imports no torch and the class can be pickled."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class PooledFeatures(nn.Module):
    """(n, 3, 224, 224) to (n, 1280): the mean over the last feature map."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(n, 1280)."""
        features: torch.Tensor = self.network.extract_features(images)
        return features.mean(dim=(2, 3))
