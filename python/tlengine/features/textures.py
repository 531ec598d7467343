"""What an image's grey levels are like: edges, local patterns, correlation at a distance, unevenness."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.features.colours import shares

__all__ = ["grey_levels", "texture_statistics"]

Grey = npt.NDArray[np.uint8]
Plane = npt.NDArray[np.floating[Any]]
Vector = npt.NDArray[np.floating[Any]]

_CELLS, _ORIENTATIONS = 4, 9
_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
_RING = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))
"""The neighbours of a pixel in their order around it, as (down, right); at radius r, times r."""
_RADII = (1, 2)
_DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))
_SHIFTS = tuple((lag * down, lag * right) for lag in (1, 2, 4) for down, right in _DIRECTIONS)
_GRIDS = (16, 8, 4)
_NOISE = 1.0
"""Added to every variance (in squared grey levels): what rounding alone can make is no structure."""


def grey_levels(pixels: npt.NDArray[np.uint8]) -> Grey:
    """(h, w) uint8 of (h, w, 3): 0.299 R + 0.587 G + 0.114 B, in whole numbers.

    >>> grey_levels(np.full((1, 1, 3), 255, np.uint8)).item()
    255
    """
    red, green, blue = (pixels[..., channel].astype(np.uint32) for channel in range(3))
    return np.asarray((77 * red + 150 * green + 29 * blue + 128) >> 8, np.uint8)


def texture_statistics(grey: Grey) -> list[Vector]:
    """Statistics of the grey levels at full and at half size.

    Args:
        grey: (s, s) uint8, s a multiple of 32.

    Returns:
        Blocks of 144 (orientations of the gradient in each of 4 x 4 cells, at half size), 18 (orientations in
        the whole, both sizes), 12 (quantiles of the gradient's size, both sizes), 118 (uniform local binary
        patterns at radius 1 and 2; Ojala et al. 2002), 24 (autocorrelation at lags 1, 2, 4 across, down and
        along both diagonals, both sizes), 24 (mean, standard deviation, least and largest logarithm of the
        tiles' variance and edge energy, for 16 x 16, 8 x 8 and 4 x 4 tiles) and 5 (energies of Haar's bands).

    >>> [len(block) for block in texture_statistics(np.zeros((64, 64), np.uint8))]
    [144, 18, 12, 118, 24, 24, 5]
    """
    plane = grey.astype(np.float32)
    sizes = (plane, _halved(plane))
    slopes = [_slopes(one) for one in sizes]
    energies = [down * down + right * right for down, right in slopes]
    turned = [_orientations(*pair, energy) for pair, energy in zip(slopes, energies, strict=True)]
    return [
        shares(turned[1]),
        np.concatenate([shares(cells.sum(axis=(0, 1))) for cells in turned]),
        np.concatenate([_steepness(energy) for energy in energies]) / 8,
        np.concatenate([shares(_patterns(grey, radius)) for radius in _RADII]),
        np.concatenate([_autocorrelations(one) for one in sizes]) / 4,
        np.concatenate([_unevenness(plane * plane, plane), _unevenness(energies[0])]) / 12,
        _bands(plane) / 8,
    ]


def _halved(plane: Plane) -> Plane:
    """The means of 2 x 2 pixels."""
    return (plane[::2, ::2] + plane[1::2, ::2] + plane[::2, 1::2] + plane[1::2, 1::2]) / 4


def _slopes(plane: Plane) -> tuple[Plane, Plane]:
    """Central differences down and across, (h, w) each; beyond the edge the image goes on as it ends."""
    wide = np.pad(plane, 1, mode="edge")
    return (wide[2:, 1:-1] - wide[:-2, 1:-1]) / 2, (wide[1:-1, 2:] - wide[1:-1, :-2]) / 2


def _orientations(down: Plane, right: Plane, energy: Plane) -> Vector:
    """(4, 4, 9) the gradient's size by cell and orientation, shared between the two nearest of 9."""
    place = np.arctan2(down, right) * np.float32(_ORIENTATIONS / np.pi)  # opposite ones are one
    lower = np.floor(place)
    upper_part = (place - lower).reshape(-1)
    bins = lower.astype(np.int64).reshape(-1) % _ORIENTATIONS
    size = np.sqrt(energy).reshape(-1)
    cells = _cell_offsets(len(down))
    count = _CELLS * _CELLS * _ORIENTATIONS
    found = np.bincount(cells + bins, size * (1 - upper_part), count)
    found = found + np.bincount(cells + (bins + 1) % _ORIENTATIONS, size * upper_part, count)
    return np.asarray(found.reshape(_CELLS, _CELLS, _ORIENTATIONS), np.float64)


@cache
def _cell_offsets(side: int) -> npt.NDArray[np.int64]:
    """(side * side,) the first bin of each pixel's cell."""
    cell = np.arange(side) * _CELLS // side
    return ((cell[:, None] * _CELLS + cell) * _ORIENTATIONS).reshape(-1)


def _steepness(energy: Plane) -> Vector:
    """(6,) logarithms of quantiles of the gradient's size."""
    ordered = np.sort(energy, axis=None)
    at = [round(q * (len(ordered) - 1)) for q in _QUANTILES]
    return np.log1p(np.sqrt(ordered[at]))


def _patterns(grey: Grey, radius: int) -> npt.NDArray[np.int64]:
    """(59,) how often each uniform pattern is met: which of 8 neighbours are at least as bright."""
    height, width = (side - 2 * radius for side in grey.shape)
    centre = grey[radius : radius + height, radius : radius + width]
    codes = np.zeros((height, width), np.uint8)
    for bit, (down, right) in enumerate(_RING):
        top, left = radius * (1 + down), radius * (1 + right)
        codes |= (grey[top : top + height, left : left + width] >= centre).view(np.uint8) << np.uint8(bit)
    return np.bincount(_uniform_bins(), np.bincount(codes.reshape(-1), minlength=256), 59).astype(np.int64)


@cache
def _uniform_bins() -> npt.NDArray[np.intp]:
    """(256,) a bin for each of the 58 patterns with two changes or none around the ring, one for the rest."""
    turned = [((code >> 1) | ((code & 1) << 7)) ^ code for code in range(256)]
    uniform = np.array([changes.bit_count() <= 2 for changes in turned])
    return np.where(uniform, np.cumsum(uniform) - 1, 58)


def _autocorrelations(plane: Plane) -> Vector:
    """(12,) Fisher's z of the correlation between a pixel and another one at a distance."""
    centred = plane - plane.mean(dtype=np.float64).astype(np.float32)
    variance = float(np.mean(centred * centred, dtype=np.float64)) + _NOISE
    found = [float(np.mean(one * other, dtype=np.float64)) for one, other in _pairs(centred)]
    return np.arctanh(np.clip(np.array(found) / variance, -0.999, 0.999))


def _pairs(plane: Plane) -> list[tuple[Plane, Plane]]:
    """For each shift the pixels that have a partner, and the partners."""
    height, width = plane.shape
    pairs = []
    for down, right in _SHIFTS:
        one = plane[: height - down, max(0, -right) : width - max(0, right)]
        pairs.append((one, plane[down:, max(0, right) : width + min(0, right)]))
    return pairs


def _unevenness(energy: Plane, level: Plane | None = None) -> Vector:
    """(12,) mean, standard deviation, least and largest logarithm of the tiles' energy about their level."""
    found: list[np.floating[Any]] = []
    for tiles in _GRIDS:
        inside = _tile_means(energy, tiles)
        if level is not None:
            inside = np.maximum(inside - _tile_means(level, tiles) ** 2, 0)
        logs = np.log(inside + _NOISE)
        found += [logs.mean(), logs.std(), logs.min(), logs.max()]
    return np.array(found)


def _tile_means(plane: Plane, tiles: int) -> npt.NDArray[np.float64]:
    side = len(plane) // tiles
    rows = plane.reshape(tiles, side, -1).sum(axis=1)
    means: npt.NDArray[np.float64] = rows.reshape(tiles, tiles, side).sum(axis=2, dtype=np.float64) / side**2
    return means


def _bands(plane: Plane) -> Vector:
    """(5,) logarithms of what the mean square loses each time the size is halved: Haar's band energies."""
    squares = []
    for _ in range(6):
        squares.append(float(np.mean(plane * plane, dtype=np.float64)))
        plane = _halved(plane)
    return np.log(np.maximum(-np.diff(squares), 0) + _NOISE)
