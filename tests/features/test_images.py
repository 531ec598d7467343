"""Decoding: formats, limits, orientation; preprocessing against torchvision."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_sample_images
from torchvision import transforms

from tlengine.errors import DecodeError, ImageTooLargeError, InputError
from tlengine.features import ImagePreprocess, decode_image

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("WEBP", {"lossless": True})])
def test_lossless_formats_keep_their_pixels(tmp_path: Path, kind: str, options: dict[str, object]) -> None:
    data = encoded(Image.fromarray(PIXELS), kind, **options)
    (tmp_path / "image").write_bytes(data)
    for content in (data, tmp_path / "image", PIXELS, Image.fromarray(PIXELS)):
        assert np.array_equal(np.asarray(decode_image(content)), PIXELS)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    grey = np.full((4, 5), 128, np.uint8)
    if mode == "I;16":
        image = Image.fromarray(np.full((4, 5), 128 * 256 + 7, np.uint16))
    else:
        image = Image.fromarray(grey).convert(mode)
    data = encoded(image, "JPEG" if mode == "CMYK" else "PNG")
    result = decode_image(data)
    assert (result.mode, result.size) == ("RGB", (5, 4))
    if mode != "1":
        assert abs(np.asarray(result).astype(int) - 128).max() <= 2


def test_transparent_palettes_are_read() -> None:
    image = Image.fromarray(PIXELS).convert("P")
    assert decode_image(encoded(image, "PNG", transparency=bytes(range(256)))).mode == "RGB"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(orientation: int) -> None:
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(PIXELS), "PNG", exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert np.array_equal(np.asarray(decode_image(data)), np.asarray(expected))


def png_header(width: int, height: int) -> bytes:
    """A PNG that announces ``width`` x ``height`` and holds no pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    )


def test_the_header_decides_about_the_size() -> None:
    with pytest.raises(ImageTooLargeError, match="13000 x 13000 is 169 megapixels, the limit is 64"):
        decode_image(png_header(13_000, 13_000))
    with pytest.raises(DecodeError) as caught:  # read beyond the header, where there is nothing
        decode_image(png_header(13_000, 13_000), max_pixels=170_000_000)
    assert not isinstance(caught.value, ImageTooLargeError)
    with pytest.raises(ImageTooLargeError):
        decode_image(png_header(60_000, 60_000), max_pixels=10**12)
    with pytest.raises(ImageTooLargeError, match=r"9 x 6 is 0 megapixels, the limit is 5.3e-05"):
        decode_image(PIXELS, max_pixels=53)
    assert decode_image(PIXELS, max_pixels=54).size == (9, 6)


GIF = encoded(Image.fromarray(PIXELS), "GIF")
JPEG = encoded(Image.fromarray(RNG.integers(0, 256, (99, 99, 3), dtype=np.uint8)), "JPEG")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a JPEG, PNG or WEBP file"),
        (b"hello", "not a JPEG, PNG or WEBP file"),
        (GIF, "not a JPEG, PNG or WEBP file"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "not a JPEG, PNG or WEBP file"),
        (JPEG[:-500], "truncated"),
        (JPEG[:300], "OSError|not a JPEG"),
        (Path("/nowhere/at/all.png"), "No such file"),
        (np.zeros((2, 2), np.float32), "float32"),
        (np.zeros((2, 2, 5), np.uint8), "shape"),
        (np.zeros((0, 2, 3), np.uint8), "no pixels|shape|tile"),
        (7, "a int is no image"),
    ],
)
def test_what_is_no_image_is_a_decode_error(content: object, message: str) -> None:
    with pytest.raises(DecodeError, match=message):
        decode_image(content)


def test_animations_give_their_first_frame() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    assert decode_image(data).getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize("size", [(640, 427), (427, 640), (100, 100), (37, 300), (225, 224)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_preprocessing_equals_torchvision(size: tuple[int, int], interpolation: str) -> None:
    photo = Image.fromarray(load_sample_images().images[0]).resize(size)
    ours = ImagePreprocess(resize=64, crop=56, interpolation=interpolation)
    reference = transforms.Compose(
        [
            transforms.Resize(64, interpolation=transforms.InterpolationMode(interpolation)),
            transforms.CenterCrop(56),
            transforms.ToTensor(),
            transforms.Normalize(ours.mean, ours.std),
        ]
    )
    expected = reference(photo)
    assert np.abs(ours(photo) - expected.numpy()).max() < 1e-6
    batch = ours.normalized(torch.from_numpy(ours.pixels(photo)[None].copy()))
    assert float((batch[0] - expected).abs().max()) < 1e-6


def test_sizes_as_pairs_and_none() -> None:
    photo = Image.fromarray(PIXELS)
    assert ImagePreprocess(resize=(4, 7), crop=None)(photo).shape == (3, 4, 7)
    assert ImagePreprocess(resize=None, crop=(3, 5))(photo).shape == (3, 3, 5)
    assert ImagePreprocess(resize=None, crop=None)(photo).shape == (3, 6, 9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"interpolation": "magic"}, "interpolation 'magic'"),
        ({"resize": 0}, "resize is 0"),
        ({"crop": (3, -1)}, "crop is"),
        ({"std": (0.1, 0.0, 0.1)}, "std is"),
    ],
)
def test_impossible_preprocessing_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ImagePreprocess(**options)  # type: ignore[arg-type]


@given(st.sampled_from(["JPEG", "PNG", "WEBP"]), st.data())
def test_damaged_files_give_an_image_or_a_decode_error(kind: str, data: st.DataObject) -> None:
    whole = bytearray(encoded(Image.fromarray(PIXELS), kind))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    try:
        image = decode_image(damaged, max_pixels=10_000)
    except DecodeError:
        return
    assert image.mode == "RGB"
    assert image.width * image.height <= 10_000
