"""What an image's colours are like, without where anything lies but on a grid of 4 x 4."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["colour_statistics", "shares"]

Vector = npt.NDArray[np.floating[Any]]

_CELLS = 4
_PAIRS = ((0, 1), (0, 2), (1, 2))


def shares(counts: npt.NDArray[Any]) -> Vector:
    """Square roots of the shares in the sum: a vector of length 1, whose distances are Hellinger's.

    Counts of nothing at all stay zeros.

    >>> shares(np.array([9, 0, 16])).tolist()
    [0.6, 0.0, 0.8]
    """
    counts = counts.reshape(-1).astype(np.float64)
    total = counts.sum()
    return np.sqrt(counts / total) if total > 0 else counts


def colour_statistics(pixels: npt.NDArray[np.uint8]) -> list[Vector]:
    """Histograms, moments and a 4 x 4 layout of an RGB image.

    Args:
        pixels: (s, s, 3) uint8, s a multiple of 4.

    Returns:
        Blocks of 48 (each channel in 16 bins), 64 (all channels together, in 4 bins each), 12 (means,
        standard deviations, cube roots of the third moments, correlations between channels) and 48 (means of
        the cells).

    >>> [len(block) for block in colour_statistics(np.zeros((8, 8, 3), np.uint8))]
    [48, 64, 12, 48]
    """
    levels = _levels(pixels)
    each = shares(levels.reshape(-1, 16).sum(axis=1))
    return [each, _together(pixels), _moments(pixels, levels), _layout(pixels)]


def _levels(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """(3, 256) how often each level is met in each channel."""
    bins = pixels.reshape(-1, 3) + np.arange(0, 768, 256, dtype=np.int64)
    return np.bincount(bins.reshape(-1), minlength=768).reshape(3, 256)


def _together(pixels: npt.NDArray[np.uint8]) -> Vector:
    """(64,) one histogram of 4 x 4 x 4 bins."""
    coarse = pixels >> 6
    bins = (coarse[..., 0] << 4) | (coarse[..., 1] << 2) | coarse[..., 2]
    return shares(np.bincount(bins.reshape(-1), minlength=64))


def _moments(pixels: npt.NDArray[np.uint8], levels: npt.NDArray[np.int64]) -> Vector:
    """(12,) of the three channels; a correlation with a constant channel is 0."""
    share = levels / levels.sum(axis=1, keepdims=True)
    value = np.arange(256) / 255
    mean = share @ value
    off = value - mean[:, None]
    variance, third = (share * off**2).sum(axis=1), (share * off**3).sum(axis=1)
    centred = pixels.reshape(-1, 3).astype(np.float32) - (255 * mean).astype(np.float32)
    covariance = (centred.T @ centred / len(centred)).astype(np.float64) / 255**2
    correlation = [covariance[i, j] / max(np.sqrt(variance[i] * variance[j]), 1e-6) for i, j in _PAIRS]
    return np.concatenate([mean - 0.5, np.sqrt(variance), np.cbrt(third), np.array(correlation) / 4])


def _layout(pixels: npt.NDArray[np.uint8]) -> Vector:
    """(48,) the mean colour of each cell."""
    side = pixels.shape[0] // _CELLS
    rows = pixels.reshape(_CELLS, side, -1).sum(axis=1, dtype=np.uint32)
    cells = rows.reshape(_CELLS, _CELLS, side, 3).sum(axis=2) / (255 * side * side)
    return np.asarray((cells.reshape(-1) - 0.5) / 4)
