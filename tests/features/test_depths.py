"""More than 8 bits per channel: contrast is kept, or the user is told."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tlengine as tl
from tests.features.pictures import chunk, encoded, raw_png
from tlengine.errors import DecodeError, TlengineWarning
from tlengine.features import decode_image
from tlengine.features.images import DEPTH_NOTE

RAMP = np.linspace(0, 1, 64 * 48).reshape(48, 64)
NOTE = "significant bits in 16"


def ramp(bits: int) -> np.ndarray:
    return np.round(RAMP * ((1 << bits) - 1)).astype(np.uint16)


def grey_png(values: np.ndarray, *extra: bytes) -> bytes:
    return raw_png(values[:, :, None], 0, *extra)


def grey(content: object) -> np.ndarray:
    return np.asarray(decode_image(content))[:, :, 0].astype(int)


SOURCES = {
    "png": lambda values: encoded(Image.fromarray(values), "PNG"),
    "array": lambda values: values,
    "array of int32": lambda values: values.astype(np.int32),
    "array of int64, big-endian": lambda values: values.astype(">i8"),
    "PIL I;16": Image.fromarray,
    "PIL I": lambda values: Image.fromarray(values.astype(np.int32)),
    "PIL I;16B": lambda values: Image.frombytes("I;16B", values.shape[::-1], values.astype(">u2").tobytes()),
}


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("source", SOURCES)
def test_the_significant_bits_fill_the_eight(source: str, bits: int) -> None:
    content = SOURCES[source](ramp(bits))
    assert np.array_equal(grey(content), ramp(bits) >> (bits - 8))
    note = decode_image(content).info.get(DEPTH_NOTE, "")
    assert (f"{bits} {NOTE}" in note) == (bits not in (8, 16) or (bits == 8 and "array" not in source))


def test_a_full_range_is_read_as_ever() -> None:
    values = np.random.default_rng(0).integers(0, 1 << 16, (40, 30)).astype(np.uint16)
    assert np.array_equal(grey(encoded(Image.fromarray(values), "PNG")), values >> 8)


@pytest.mark.parametrize(
    ("significant", "top", "expected"),
    [
        (12, 900, 12),
        (14, 900, 14),
        (10, 900, 10),
        (12, 60_000, 16),
        (10, 4_095, 12),
        (16, 900, 16),
        (4, 900, 10),
        (0, 900, 10),
    ],
)
def test_the_file_knows_its_significant_bits(significant: int, top: int, expected: int) -> None:
    """sBIT makes one scale for dark and bright pictures; values that exceed it are left-aligned."""
    values = np.round(RAMP * top).astype(np.uint16)
    data = grey_png(values, chunk(b"sBIT", bytes([significant])))
    assert np.array_equal(grey(data), values >> (expected - 8))


@pytest.mark.parametrize("colour", [2, 4, 6], ids=["RGB", "grey and alpha", "RGBA"])
@pytest.mark.parametrize("bits", [10, 12, 16])
def test_colour_of_16_bits_is_told_of_where_contrast_is_lost(colour: int, bits: int) -> None:
    channels = {2: 3, 4: 2, 6: 4}[colour]
    data = raw_png(np.repeat(ramp(bits)[:, :, None], channels, axis=2), colour)
    picture = decode_image(data)
    assert np.array_equal(np.asarray(picture)[:, :, 0], ramp(bits) >> 8)
    assert ("of colour" in picture.info.get(DEPTH_NOTE, "")) == (bits < 14)


def test_colour_arrays_of_16_bits_keep_their_contrast() -> None:
    values = np.stack([ramp(12), ramp(12) // 2, ramp(12) // 4], axis=2)
    assert np.array_equal(np.asarray(decode_image(values)), values >> 4)


@pytest.mark.parametrize("colour", ["I", "F", "array"])
@pytest.mark.parametrize("shift", [-1, -70_000])
def test_negative_values_are_no_brightness(colour: str, shift: int) -> None:
    values = ramp(12).astype(np.int32) + shift
    content = {
        "I": lambda: Image.fromarray(values),
        "F": lambda: Image.fromarray(values.astype(np.float32)),
        "array": lambda: values,
    }[colour]()
    with pytest.raises(DecodeError, match=r"values from -|floats from -"):
        decode_image(content)


@pytest.mark.parametrize("top", [1.0, 0.02, 300.0, float("nan"), float("inf")])
def test_floats_are_not_guessed_at(top: float) -> None:
    values = np.where(RAMP > 0.5, top, 0).astype(np.float32)
    with pytest.raises(DecodeError, match="floats from"):
        decode_image(Image.fromarray(values))
    with pytest.raises(DecodeError, match="float32"):
        decode_image(values)


def test_floats_up_to_255_are_pixels() -> None:
    assert np.array_equal(grey(Image.fromarray((RAMP * 255).astype(np.float32))), (RAMP * 255).astype(int))
    assert grey(Image.new("F", (3, 2))).max() == 0


def plant(root: Path, depths: dict[str, int]) -> Path:
    for name, bits in depths.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        values = ramp(bits) - np.uint16(len(name) % 3)
        Image.fromarray(np.clip(values, 0, (1 << bits) - 1)).save(path)
    return root


@pytest.mark.parametrize("workers", [0, 1])
def test_the_user_is_told_once(tmp_path: Path, workers: int) -> None:
    root = plant(tmp_path, {"a/1.png": 12, "a/22.png": 12, "b/333.png": 10, "b/4.png": 16})
    told = r"12 significant bits in 16, all values are scaled by 2 \*\* -4.*settle one scale"
    with pytest.warns(TlengineWarning, match=told) as caught:
        tl.extract(tl.load_dataset(root), "raw", workers=workers, progress=False)
    assert len(caught) == 1
    assert "1 image has 10 significant bits" in str(caught[0].message)


def test_a_whole_dataset_of_full_range_needs_no_word(tmp_path: Path) -> None:
    root = plant(tmp_path, {"a/1.png": 16, "b/2.png": 16})
    assert len(tl.extract(tl.load_dataset(root), "raw", progress=False)) == 2


def test_12_bits_are_apart_in_feature_space(tmp_path: Path) -> None:
    """What this is all about: two dark pictures differ."""
    bright, dark = io.BytesIO(), io.BytesIO()
    Image.fromarray(ramp(12)).save(bright, "PNG")
    Image.fromarray(ramp(12)[::-1]).save(dark, "PNG")
    ds = tl.load_dataset(([decode_image(bright.getvalue()), decode_image(dark.getvalue())], ["a", "b"]))
    X = tl.extract(ds, "raw", progress=False).X
    assert np.abs(X[0] - X[1]).max() > 1
