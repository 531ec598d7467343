"""Image files become pixels: checked by their header, turned upright, in RGB. No torch here."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from tlengine.errors import DecodeError, ImageTooLargeError, InputError
from tlengine.features.depth import cut_note, eight_bits, float_levels, scaled_note
from tlengine.features.formats import FORMATS, unreadable
from tlengine.features.png import PngHeader, read_header, without_metadata

if TYPE_CHECKING:
    import torch

__all__ = [
    "DECODING",
    "DEPTH_NOTE",
    "FORMATS",
    "MAX_PIXELS",
    "ImagePreprocess",
    "decode_image",
    "loaded",
    "orientation",
]

DECODING = 1
"""Part of the key of every picture's embedding: raised whenever a file would come out as other pixels."""

MAX_PIXELS = 64_000_000
"""Larger images are refused by their header, before a pixel is decoded."""

DEPTH_NOTE = "tlengine.depth"
"""Where :func:`decode_image` leaves word of how 16 bits became 8."""

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

_WHOLE = 16_000_000
"""A picture that scaling would enlarge to more pixels than these is cropped before it is scaled."""

_RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def decode_image(content: Any, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The picture of ``content`` as an upright RGB image; of an animation, the first frame.

    Metadata are not needed for it: large, damaged or malicious ones are passed over. More than 8 bits per
    channel become 8 by :func:`~tlengine.features.depth.eight_bits`; where that is no plain reading of the
    upper 8 of 16, ``image.info[DEPTH_NOTE]`` says what was done.

    Args:
        content: a path or the bytes of a JPEG, PNG or WebP; an array of uint8, bool or other whole numbers
            (h, w), (h, w, 1), (h, w, 3), (h, w, 4) or channels first, in the order red, green, blue; or a
            ``PIL.Image``. Transparency is dropped.
        max_pixels: the limit of width times height.

    Raises:
        ImageTooLargeError: more pixels than ``max_pixels``, by the header.
        DecodeError: no such file, another format, damaged, truncated.

    >>> decode_image(np.zeros((2, 3), np.uint8)).size
    (3, 2)
    """
    try:
        with warnings.catch_warnings():
            # max_pixels is the limit here, and what Pillow says of metadata does not matter.
            warnings.simplefilter("ignore")
            return _upright_rgb(content, max_pixels)
    except DecodeError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageTooLargeError(str(error), hint="scale the image down") from None
    except Exception as error:  # a hostile file can make a decoder raise anything
        raise DecodeError(_reason(error)) from error


def _reason(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def _upright_rgb(content: Any, max_pixels: int) -> Image.Image:
    if isinstance(content, np.ndarray):
        return _from_array(content, max_pixels)
    if isinstance(content, Image.Image):
        return _rgb(loaded(_checked(content, max_pixels)))
    if isinstance(content, bytes):
        return _from_file(io.BytesIO(content), max_pixels)
    if not isinstance(content, Path | str):
        raise DecodeError(f"a {type(content).__name__} is no image")
    with open(content, "rb") as file:
        return _from_file(file, max_pixels)


def _from_file(file: BinaryIO, max_pixels: int) -> Image.Image:
    """The picture of a file; if that fails, of its critical chunks alone, where it is a PNG."""
    header = read_header(file)
    try:
        return _from_pixels(without_metadata(file) or file, header, max_pixels)
    except DecodeError:
        raise
    except UnidentifiedImageError:
        bare = without_metadata(file, bare=True)
        file.seek(0)
        if bare is None:
            raise DecodeError(unreadable(file.read(132))) from None
    except Image.DecompressionBombError:
        raise
    except Exception:
        bare = without_metadata(file, bare=True)
        if bare is None:
            raise
    return _from_pixels(bare, header, max_pixels)


def _from_pixels(file: BinaryIO, header: PngHeader | None, max_pixels: int) -> Image.Image:
    file.seek(0)
    with Image.open(file, formats=FORMATS) as image:
        _checked(image, max_pixels).load()
        return _rgb(image, header)


def _from_array(array: npt.NDArray[Any], max_pixels: int) -> Image.Image:
    if array.ndim == 3 and array.shape[0] in (1, 3, 4) and array.shape[2] not in (1, 3, 4):
        array = array.transpose(1, 2, 0)
    if (
        array.dtype.kind not in "bui"
        or array.ndim not in (2, 3)
        or (array.ndim == 3 and array.shape[2] not in (1, 3, 4))
    ):
        raise DecodeError(
            f"an array of {array.dtype} and shape {array.shape} is no image, use uint8 (h, w, 3)"
        )
    _check_size(array.shape[1], array.shape[0], max_pixels)
    if array.ndim == 3:
        array = array[:, :, 0] if array.shape[2] == 1 else array[:, :, :3]
    bits = 8
    if array.dtype.kind == "b":
        array = array * np.uint8(255)
    elif array.dtype != np.uint8:
        array, bits = eight_bits(array)
    image = Image.fromarray(np.ascontiguousarray(array)).convert("RGB")
    return _noted(image, None if bits == 8 else scaled_note(bits))


def loaded(image: Image.Image) -> Image.Image:
    """``image``, its pixels decoded.

    Raises:
        DecodeError: they cannot be: damaged, or a file that was closed before they were read.
    """
    try:
        image.load()
    except Exception as error:  # a hostile file can make a decoder raise anything
        if getattr(image, "fp", None) is None or "closed" in str(error):
            raise DecodeError(
                "the file of this image is closed; call image.load() before closing it"
            ) from None
        raise DecodeError(_reason(error)) from error
    return image


def orientation(image: Image.Image) -> int:
    """The value of the EXIF orientation tag, 1 to 8; 1 for none and for EXIF data that are broken."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:
        return 1
    return value if value in _TURNS else 1


def _checked(image: Image.Image, max_pixels: int) -> Image.Image:
    _check_size(*image.size, max_pixels)
    return image


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise ImageTooLargeError(
            f"{width} x {height} is {width * height / 1e6:.0f} megapixels, the limit is {max_pixels / 1e6:g}",
            hint="raise it with --max-pixels, or scale the image down",
        )
    if not width * height:
        raise DecodeError(f"{width} x {height}: no pixels")


def _rgb(image: Image.Image, header: PngHeader | None = None) -> Image.Image:
    turn, note = _TURNS.get(orientation(image)), None
    if image.mode.startswith("I"):
        grey, bits = eight_bits(np.asarray(image), header.significant if header else None)
        image, note = Image.fromarray(grey), scaled_note(bits)
    elif image.mode == "F":
        image = Image.fromarray(float_levels(np.asarray(image)))
    elif image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    elif image.mode == "La":
        image = image.convert("LA")
    image = image.convert("RGB")
    if header is not None and header.depth == 16 and header.colour != 0:
        note = cut_note(max(high for _, high in image.getextrema()))  # type: ignore[misc] # RGB has three pairs
    return _noted(image if turn is None else image.transpose(turn), note)


def _noted(image: Image.Image, note: str | None) -> Image.Image:
    image.info.pop(DEPTH_NOTE, None)
    if note is not None:
        image.info[DEPTH_NOTE] = note
    return image


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
            size = self._size(image.size)
            if self.crop is not None and size[0] * size[1] > max(_WHOLE, image.width * image.height):
                return np.asarray(self._window(image, size))
            _check_enlarged(image.size, size)
            image = image.resize(size, _RESAMPLING[self.interpolation])
        if self.crop is not None:
            image = image.crop(self._crop_box(image.size))
        return np.asarray(image)

    def part(self, image: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
        """The part (left, top, right, bottom) of ``image``, scaled to the size of the crop.

        >>> ImagePreprocess(crop=(4, 6)).part(Image.new("RGB", (20, 10)), (0, 0, 9, 9)).size
        (6, 4)
        """
        assert self.crop is not None
        height, width = _pair(self.crop)
        return image.resize((width, height), _RESAMPLING[self.interpolation], box=box)

    def _window(self, image: Image.Image, size: tuple[int, int]) -> Image.Image:
        """The crop of ``image`` resized to ``size``, without the rest of it: the same within rounding.

        A picture of 4000 x 1 pixels whose shorter side becomes 256 would fill a gigabyte.
        """
        left, top, right, bottom = self._crop_box(size)
        seen = max(left, 0), max(top, 0), min(right, size[0]), min(bottom, size[1])
        across, down = image.width / size[0], image.height / size[1]
        part = image.resize(
            (seen[2] - seen[0], seen[3] - seen[1]),
            _RESAMPLING[self.interpolation],
            box=(seen[0] * across, seen[1] * down, seen[2] * across, seen[3] * down),
        )
        canvas = Image.new(image.mode, (right - left, bottom - top))
        canvas.paste(part, (seen[0] - left, seen[1] - top))
        return canvas

    def normalized(self, pixels: torch.Tensor) -> torch.Tensor:
        """(n, h, w, 3) uint8 on any device as (n, 3, h, w) float32, as :meth:`__call__` does."""
        scaled = pixels.permute(0, 3, 1, 2).float() / 255.0
        mean, std = (scaled.new_tensor(values).view(1, 3, 1, 1) for values in (self.mean, self.std))
        return (scaled - mean) / std

    def describe(self) -> Mapping[str, Any]:
        """All that determines the result, for the fingerprint."""
        return {"kind": "image", **asdict(self)}

    def _crop_box(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """(left, top, right, bottom) in the picture of ``size``; what lies outside of it is black."""
        assert self.crop is not None
        height, width = _pair(self.crop)
        left, top = round((size[0] - width) / 2), round((size[1] - height) / 2)
        return left, top, left + width, top + height

    def _size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(width, height) after the resize."""
        if isinstance(self.resize, tuple):
            return self.resize[1], self.resize[0]
        assert self.resize is not None
        width, height = size
        short, long = sorted(size)
        other = max(1, int(self.resize * long / short))
        return (self.resize, other) if width <= height else (other, self.resize)


def _check_enlarged(before: tuple[int, int], after: tuple[int, int]) -> None:
    if after[0] * after[1] > max(MAX_PIXELS, before[0] * before[1]):
        raise ImageTooLargeError(
            f"{before[0]} x {before[1]} would become {after[0]} x {after[1]} pixels by its shorter side",
            hint="crop it first",
        )


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return size if isinstance(size, tuple) else (size, size)
