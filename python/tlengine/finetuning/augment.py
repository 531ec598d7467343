"""Random parts of pictures, mirrored or not: a function of the picture's key and the view's number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from tlengine.features import ImagePreprocess

__all__ = ["Augmentation"]

_TRIES = 10


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """A part of random area and shape, scaled to the size that the network takes (Szegedy et al. 2015).

    Attributes:
        area: least share of the picture that is seen.
        ratio: most that width may be to height, and height to width.
        flip: whether every other view is mirrored.

    >>> part = Augmentation().view(Image.new("RGB", (40, 20)), ImagePreprocess(resize=8, crop=8), b"key", 3)
    >>> part.shape, part.dtype
    ((8, 8, 3), dtype('uint8'))
    """

    area: float = 0.7
    ratio: float = 4 / 3
    flip: bool = False

    def describe(self) -> Mapping[str, Any]:
        """All that determines a view beside the picture and the number, for the key of what is kept."""
        return {"kind": "crop-flip", **asdict(self)}

    def view(self, image: Image.Image, preprocess: Any, key: bytes, number: int) -> npt.NDArray[Any]:
        """View ``number`` of a picture, preprocessed; -1 is the picture as it is.

        Args:
            image: RGB.
            preprocess: of the backbone. An ``ImagePreprocess`` with a crop scales the part straight to it and
                gives pixels (h, w, 3) uint8; another one gets the part in place of the picture.
            key: of the picture, 32 bytes.
            number: of the view.
        """
        pixels = preprocess.pixels if isinstance(preprocess, ImagePreprocess) else preprocess
        if number < 0:
            return np.asarray(pixels(image))
        rng = np.random.default_rng([number, int.from_bytes(key[:8], "little")])
        box, mirrored = self._box(image.width, image.height, rng), self.flip and rng.random() < 0.5
        if isinstance(preprocess, ImagePreprocess) and preprocess.crop is not None:
            part = preprocess.part(image, box)
        else:
            part = image.crop(box)
        if mirrored:
            part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if isinstance(preprocess, ImagePreprocess) and preprocess.crop is not None:
            return np.asarray(part)
        return np.asarray(pixels(part))

    def _box(self, width: int, height: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
        """(left, top, right, bottom).

        Where no part of a fitting shape is found, as in pictures far from square, it is the largest one of an
        allowed shape: to squeeze all of the picture into the crop would show what no plain row looks like.
        """
        for _ in range(_TRIES):
            area = width * height * rng.uniform(self.area, 1.0)
            shape = math.exp(rng.uniform(-math.log(self.ratio), math.log(self.ratio)))
            w, h = round(math.sqrt(area * shape)), round(math.sqrt(area / shape))
            if 0 < w <= width and 0 < h <= height:
                break
        else:
            w, h = min(width, round(height * self.ratio)), min(height, round(width * self.ratio))
        left, top = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
        return left, top, left + w, top + h
