"""The control ``rcf``: an image through random convolutions; nothing is learned, not even on other images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tlengine.features.images import ImagePreprocess

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["RCF_DIM", "RCF_PREPROCESS", "load_rcf", "random_filters"]

_SEED = 0
_FILTERS = ((3, 172), (5, 170), (7, 170))
"""Side of a filter, and how many there are: 512 in total."""
_FLOOR = 1e-2
"""The least contrast that an image is divided by, in units of half the range of its levels."""

RCF_DIM = 2 * sum(count for _, count in _FILTERS)
"""1024: each filter's mean positive and mean negative response."""

RCF_PREPROCESS = ImagePreprocess(
    resize=64, crop=64, interpolation="bilinear", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
)
"""64 x 64 RGB pixels in [-1, 1]: shorter side scaled, centre cut out."""


def random_filters(seed: int = _SEED) -> list[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]:
    """Weights (count, 3, side, side) and thresholds (count,) of each size, float32.

    Weights are Gaussian with variance 1 / (3 side^2). Every other filter has mean 0 in each channel, and so
    sees no brightness; without that, most responses to smooth images would be copies of it. Thresholds are
    uniform in [0, 1/2].

    The numbers are those of NumPy's frozen generator ``RandomState``, rounded to multiples of 2^-12 before
    anything is computed from them: equal on every machine and with every version of torch.

    >>> [weights.shape for weights, _ in random_filters()]
    [(172, 3, 3, 3), (170, 3, 5, 5), (170, 3, 7, 7)]
    """
    draws = np.random.RandomState(seed)  # its streams never change (NEP 19)
    return [_drawn(draws, side, count) for side, count in _FILTERS]


def _drawn(
    draws: np.random.RandomState, side: int, count: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    weights = _rounded(draws.standard_normal((count, 3, side, side)))
    weights[::2] -= _rounded(weights[::2].mean(axis=(2, 3), keepdims=True))
    thresholds = _rounded(draws.uniform(0, 0.5, count))
    return (weights / np.sqrt(3 * side**2)).astype(np.float32), thresholds.astype(np.float32)


def _rounded(numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.round(numbers * 4096) / 4096


def load_rcf(device: str) -> nn.Module:
    """The network on ``device``: (n, 3, 64, 64) to (n, 1024).

    Each image loses its mean level and is divided by its contrast (one number for all channels, so that the
    balance of colours stays); then, for each filter with response r and threshold b, the means over all
    places of max(r - b, 0) and of max(-r - b, 0). Random features: Rahimi & Recht 2008, "Random features for
    large-scale kernel machines"; on images: Rolf et al. 2021, "A generalizable and accessible approach to
    machine learning with global satellite imagery" (MOSAIKS), whose filters are patches of its images,
    where these are noise: a row is a function of one image.

    >>> import torch
    >>> load_rcf("cpu")(torch.zeros(2, 3, 64, 64)).shape
    torch.Size([2, 1024])
    """
    import torch
    from torch import nn

    class RandomConvolution(nn.Conv2d):
        """Filters of one size, the bias minus the threshold: (n, 3, h, w) to (n, 2 * filters)."""

        def reset_parameters(self) -> None:
            """Draws nothing: loading this network moves no generator of torch."""

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            assert self.bias is not None
            above = super().forward(images)  # r - b
            least = torch.minimum(
                above, 2 * self.bias.view(-1, 1, 1)
            )  # max(-r - b, 0) = -2 b - min(r - b, -2 b)
            return torch.cat([above.relu().mean(dim=(2, 3)), 2 * self.bias - least.mean(dim=(2, 3))], dim=1)

    class RandomConvolutions(nn.Module):
        """Filters of all sizes, on images with their contrast taken out."""

        def __init__(self, filters: list[tuple[Any, Any]]) -> None:
            super().__init__()
            self.sizes = nn.ModuleList()
            for weights, thresholds in filters:
                count, channels, side, _ = weights.shape
                convolution = RandomConvolution(channels, count, side)
                weights, bias = torch.from_numpy(weights), -torch.from_numpy(thresholds)
                convolution.load_state_dict({"weight": weights, "bias": bias})
                self.sizes.append(convolution)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            centred = images - images.mean(dim=(1, 2, 3), keepdim=True)
            contrast = centred.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
            normal = centred / contrast.clamp(min=_FLOOR)
            return torch.cat([size(normal) for size in self.sizes], dim=1)

    return RandomConvolutions(random_filters()).eval().requires_grad_(False).to(device)
