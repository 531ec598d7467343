"""The control ``stats``: hand-written statistics of an image or a text, nothing learned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from tlengine.features.colours import colour_statistics
from tlengine.features.images import ImagePreprocess
from tlengine.features.ngrams import hashed, pieces, words
from tlengine.features.textures import grey_levels, texture_statistics

if TYPE_CHECKING:
    from torch import nn

__all__ = ["STATS_DIMS", "StatsPreprocess", "load_stats"]

_SIDE = 128
_PIXELS = ImagePreprocess(resize=_SIDE, crop=_SIDE, interpolation="bilinear")
_COLUMNS = 4096

STATS_DIMS: Mapping[str, int] = {"image": 517, "text": 2 * _COLUMNS}
"""Columns by modality."""


@dataclass(frozen=True)
class StatsPreprocess:
    """An image as 517 statistics of colour and texture, a text as its hashed words and pieces of words.

    Images are looked at as 128 x 128 pixels (shorter side scaled, centre cut out) and as 64 x 64; the blocks
    are those of :func:`~.colours.colour_statistics` and :func:`~.textures.texture_statistics`. Histograms
    enter as square roots of shares, energies as logarithms, correlations as Fisher's z; each block is
    multiplied by a constant, so that a penalised linear probe treats blocks alike without other rows.

    Of texts, words with pairs of neighbouring words, and runs of 2 to 5 characters inside words, are hashed
    into 4096 columns each (:func:`~.ngrams.hashed`), both of the same length, a whole row having length 1.
    What is rare gets its weight from the training rows, in the probe: :class:`tlengine.probes.TfidfProbe`.

    >>> StatsPreprocess()(Image.new("RGB", (40, 30))).shape, StatsPreprocess()("a good film").shape
    ((517,), (8192,))
    """

    def __call__(self, sample: Any) -> npt.NDArray[np.float32]:
        """(517,) or (8192,) float32, finite; no text that can be seen gives zeros alone."""
        return _of_image(sample) if isinstance(sample, Image.Image) else _of_text(sample)

    def describe(self) -> Mapping[str, Any]:
        """All that determines the result, for the fingerprint."""
        text = {"columns": _COLUMNS}
        return {"kind": "stats", "version": 1, "image": dict(_PIXELS.describe()), "text": text}


def _of_image(image: Image.Image) -> npt.NDArray[np.float32]:
    pixels = _PIXELS.pixels(image)
    blocks = colour_statistics(pixels) + texture_statistics(grey_levels(pixels))
    return np.concatenate(blocks).astype(np.float32)


def _of_text(text: str) -> npt.NDArray[np.float32]:
    """(8192,) words, then pieces; where there are no words, as among emoji, the row is shorter than 1."""
    row = np.concatenate([hashed(words(text), _COLUMNS), hashed(pieces(text), _COLUMNS)])
    return np.asarray(row * np.sqrt(0.5), np.float32)


def load_stats(device: str) -> nn.Module:
    """A network that changes nothing."""
    from torch import nn

    return nn.Flatten().eval()
