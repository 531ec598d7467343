"""Image files become pixels: checked by their header, turned upright, in RGB. No torch here."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from tlengine.errors import DecodeError, ImageTooLargeError, InputError

if TYPE_CHECKING:
    import torch

__all__ = ["FORMATS", "MAX_PIXELS", "ImagePreprocess", "decode_image"]

FORMATS = ("JPEG", "PNG", "WEBP")
"""Only these decoders of Pillow are let near a file; the others are many, and seldom attacked in tests."""

MAX_PIXELS = 64_000_000
"""Larger images are refused by their header, before a pixel is decoded."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes each value of the EXIF orientation tag."""

_ORIENTATION = 0x0112

_RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def decode_image(content: Any, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The picture of ``content`` as an upright RGB image; of an animation, the first frame.

    Args:
        content: a path or the bytes of a JPEG, PNG or WebP; a uint8 array (h, w), (h, w, 1), (h, w, 3) or
            (h, w, 4); or a ``PIL.Image``. Transparency is dropped, 16-bit grey is scaled to 8 bit.
        max_pixels: the limit of width times height.

    Raises:
        ImageTooLargeError: more pixels than ``max_pixels``, by the header.
        DecodeError: no such file, another format, damaged, truncated.

    >>> decode_image(np.zeros((2, 3), np.uint8)).size
    (3, 2)
    """
    try:
        with warnings.catch_warnings():
            # max_pixels is the limit here; Pillow's own warning at 89 million pixels adds nothing.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return _upright_rgb(content, max_pixels)
    except DecodeError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageTooLargeError(str(error), hint="scale the image down") from None
    except Exception as error:  # a hostile file can make a decoder raise anything
        raise DecodeError(_reason(error)) from error


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} file"
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def _upright_rgb(content: Any, max_pixels: int) -> Image.Image:
    if isinstance(content, np.ndarray):
        content = _from_array(content)
    if isinstance(content, Image.Image):
        return _rgb(_checked(content, max_pixels))
    source = io.BytesIO(content) if isinstance(content, bytes) else content
    if not isinstance(source, io.BytesIO | Path | str):
        raise DecodeError(f"a {type(content).__name__} is no image")
    with Image.open(source, formats=FORMATS) as image:
        return _rgb(_checked(image, max_pixels))


def _from_array(array: npt.NDArray[Any]) -> Image.Image:
    if (
        array.dtype != np.uint8
        or array.ndim not in (2, 3)
        or (array.ndim == 3 and array.shape[2] not in (1, 3, 4))
    ):
        raise DecodeError(
            f"an array of {array.dtype} and shape {array.shape} is no image, use uint8 (h, w, 3)"
        )
    return Image.fromarray(array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array)


def _checked(image: Image.Image, max_pixels: int) -> Image.Image:
    width, height = image.size
    if width * height > max_pixels:
        raise ImageTooLargeError(
            f"{width} x {height} is {width * height / 1e6:.0f} megapixels, the limit is {max_pixels / 1e6:g}",
            hint="raise it with --max-pixels, or scale the image down",
        )
    if not width * height:
        raise DecodeError(f"{width} x {height}: no pixels")
    return image


def _rgb(image: Image.Image) -> Image.Image:
    turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8))
    elif image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    image = image.convert("RGB")
    return image if turn is None else image.transpose(turn)


@dataclass(frozen=True, kw_only=True)
class ImagePreprocess:
    """From an RGB image of any size to the numbers a network expects; as torchvision does on PIL images.

    Attributes:
        resize: the length of the shorter side in pixels, or (height, width), or None to leave the size.
        crop: (height, width) or one length of the part taken from the centre, or None.
        interpolation: ``nearest box bilinear bicubic lanczos``; downscaling is antialiased.
        mean, std: per channel, in [0, 1]: the result is (pixel / 255 - mean) / std.

    Raises:
        InputError: an interpolation or size that is not allowed.

    >>> prep = ImagePreprocess(resize=8, crop=4)
    >>> prep(Image.new("RGB", (20, 10))).shape
    (3, 4, 4)
    """

    resize: int | tuple[int, int] | None = 256
    crop: int | tuple[int, int] | None = 224
    interpolation: str = "bicubic"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def __post_init__(self) -> None:
        if self.interpolation not in _RESAMPLING:
            raise InputError(
                f"interpolation {self.interpolation!r}", hint=f"use one of {', '.join(_RESAMPLING)}"
            )
        for name in ("resize", "crop"):
            if (size := getattr(self, name)) is not None and min(_pair(size)) < 1:
                raise InputError(f"{name} is {size}, at least 1 pixel")
        if min(self.std) <= 0:
            raise InputError(f"std is {self.std}, above 0")

    def __call__(self, image: Image.Image) -> npt.NDArray[np.float32]:
        """(3, h, w) float32."""
        scaled = self.pixels(image).astype(np.float32) / 255.0
        normal = (scaled - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        return np.ascontiguousarray(normal.transpose(2, 0, 1))

    def pixels(self, image: Image.Image) -> npt.NDArray[np.uint8]:
        """(h, w, 3) uint8, resized and cropped: what decoding workers send, a quarter of the bytes."""
        if self.resize is not None:
            image = image.resize(self._size(image.size), _RESAMPLING[self.interpolation])
        if self.crop is not None:
            height, width = _pair(self.crop)
            left, top = round((image.width - width) / 2), round((image.height - height) / 2)
            image = image.crop((left, top, left + width, top + height))
        return np.asarray(image)

    def normalized(self, pixels: torch.Tensor) -> torch.Tensor:
        """(n, h, w, 3) uint8 on any device as (n, 3, h, w) float32, as :meth:`__call__` does."""
        scaled = pixels.permute(0, 3, 1, 2).float() / 255.0
        mean, std = (scaled.new_tensor(values).view(1, 3, 1, 1) for values in (self.mean, self.std))
        return (scaled - mean) / std

    def describe(self) -> Mapping[str, Any]:
        """All that determines the result, for the fingerprint."""
        return {"kind": "image", **asdict(self)}

    def _size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(width, height) after the resize."""
        if isinstance(self.resize, tuple):
            return self.resize[1], self.resize[0]
        assert self.resize is not None
        width, height = size
        short, long = sorted(size)
        other = max(1, int(self.resize * long / short))
        return (self.resize, other) if width <= height else (other, self.resize)


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return size if isinstance(size, tuple) else (size, size)
