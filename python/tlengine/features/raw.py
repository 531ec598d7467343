"""The control: no pretrained weights, only downsampled pixels or a hashed bag of words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from tlengine.features.images import ImagePreprocess

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import HashingVectorizer
    from torch import nn

__all__ = ["RAW_DIM", "RawPreprocess", "load_raw"]

_SIDE = 32
RAW_DIM = 3 * _SIDE * _SIDE
"""32 x 32 RGB pixels, and as many buckets for words."""

_PIXELS = ImagePreprocess(
    resize=(_SIDE, _SIDE), crop=None, interpolation="bilinear", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
)


@dataclass(frozen=True)
class RawPreprocess:
    """An image as its (3, 32, 32) pixels in [-1, 1]; a text as its words, hashed into 3072 buckets.

    Words are runs of two or more letters or digits in lower case; the counts of a text have length 1.

    >>> float(np.linalg.norm(RawPreprocess()("a good film, a good cast")).round(6))
    1.0
    """

    def __call__(self, sample: Any) -> npt.NDArray[np.float32]:
        """(3, 32, 32) or (3072,) float32."""
        if isinstance(sample, Image.Image):
            return _PIXELS(sample)
        row: npt.NDArray[np.float32] = _vectorizer().transform([sample]).toarray()[0].astype(np.float32)
        return row

    def describe(self) -> Mapping[str, Any]:
        """All that determines the result, for the fingerprint."""
        return {"kind": "raw", "image": dict(_PIXELS.describe()), "text": {"words": RAW_DIM, "version": 1}}


@cache
def _vectorizer() -> HashingVectorizer:
    from sklearn.feature_extraction.text import HashingVectorizer

    return HashingVectorizer(n_features=RAW_DIM)


def load_raw(device: str) -> nn.Module:
    """A network that changes nothing."""
    from torch import nn

    return nn.Flatten().eval()
