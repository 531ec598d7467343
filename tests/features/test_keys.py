"""Keys: equal for equal content, different for anything else, the same for ever."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import tlengine as tl
from tlengine.errors import UnhashableRecipeError
from tlengine.features.cache.keys import Hasher, blake3_hex, canonical_json, sample_key

GOLDEN = {
    "bytes": (b"abc", "9c55792e4c0a48e7fddb154eb8943adfad3168af0d646f603cd7ede63aa16f17"),
    "empty": (b"", "bc2494a824fde086e84cddbec4733a434c32f4b649b98c814bcc1b2a3102e176"),
    "text": ("naïve ☕", "a52bfa295d854f410bc65978eaba07080d15e04c34433cf3f0170b4f6390bd91"),
    "array": (
        np.arange(6, dtype="f4").reshape(2, 3),
        "af086132e2fcff8fc71da48c8922389945738f6133a9e3ab53f3f40e88f0b14b",
    ),
    "image": (Image.new("L", (3, 2), 7), "819c5cd4708e95f53756f12a1d5a9ad641f03ecd00f43447bd4735f2c00ae1b4"),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_keys_never_change(name: str) -> None:
    content, expected = GOLDEN[name]
    assert tl.sample_key(content).hex() == expected


def test_hash_is_blake3() -> None:
    # From the test vectors of the BLAKE3 authors: no input, and the three bytes 0 1 2.
    assert blake3_hex([]) == "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    assert (
        blake3_hex([b"\x00", b"\x01\x02"])
        == "e1be4d7a8ab5560aa4199eea339849ba8e293d55ca0a81006726d184519e647f"
    )


@given(st.lists(st.binary(max_size=50), max_size=5))
def test_hashing_in_pieces_is_hashing_the_whole(parts: list[bytes]) -> None:
    hasher = Hasher()
    for part in parts:
        hasher.update(part)
    assert hasher.digest().hex() == blake3_hex([b"".join(parts)])


def test_large_buffers_of_any_kind() -> None:
    data = np.arange(300_000, dtype="<u4")
    assert (
        blake3_hex([data])
        == blake3_hex([data.tobytes()])
        == blake3_hex([memoryview(bytearray(data.tobytes()))])
    )
    assert blake3_hex([data.reshape(2, -1)[:, ::2]]) == blake3_hex([data.reshape(2, -1)[:, ::2].copy()])


def test_one_buffer_read_as_different_images_has_different_keys() -> None:
    data = bytes(range(16))
    keys = {
        sample_key(Image.frombytes(mode, size, data))
        for mode, size in [
            ("L", (8, 2)),
            ("L", (4, 4)),
            ("L", (2, 8)),
            ("RGBA", (2, 2)),
            ("LA", (4, 2)),
            ("P", (4, 4)),
        ]
    }
    assert len(keys) == 6


def test_orientation_and_palette_of_an_image_enter() -> None:
    image = Image.new("L", (4, 2), 3)
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(buffer, "PNG", exif=exif)
    turned = Image.open(buffer)
    assert sample_key(turned) != sample_key(image)
    one, two = (Image.new("P", (4, 2), 3) for _ in range(2))
    one.putpalette(list(range(30)))
    two.putpalette(list(range(1, 31)))
    assert sample_key(one) != sample_key(two)


def test_dtype_and_shape_of_an_array_enter_but_layout_does_not() -> None:
    X = np.arange(12, dtype="f4").reshape(3, 4)
    assert sample_key(X) == sample_key(np.asfortranarray(X)) == sample_key(X.astype(">f4"))
    others = [X.reshape(4, 3), X.ravel(), X.astype("f8"), X.view("i4"), X + 1]
    assert len({sample_key(other) for other in others} | {sample_key(X)}) == 6
    assert sample_key(np.float32([[1]])[0, :0]) != sample_key(np.float64([]))


def test_a_file_is_its_bytes_and_its_times_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"x" * 2_000_001)
    key = sample_key(path)
    assert key == sample_key(b"x" * 2_000_001)
    os.utime(path, (1, 1))
    assert sample_key(path) == key
    path.write_bytes(b"x" * 2_000_000 + b"y")
    os.utime(path, (1, 1))
    assert sample_key(path) != key


def test_kinds_keep_equal_bytes_apart() -> None:
    assert len({sample_key("abc"), sample_key(b"abc"), sample_key("abc", kind="prompt")}) == 3


@given(st.text(max_size=6), st.text(max_size=6), st.text(max_size=6), st.text(max_size=6))
def test_fields_never_run_together(a: str, b: str, c: str, d: str) -> None:
    if all(text.isascii() or text for text in (a, b, c, d)) and (a, b) != (c, d):
        one, two = Hasher(), Hasher()
        for hasher, pair in ((one, (a, b)), (two, (c, d))):
            for text in pair:
                hasher.update_framed(text.encode())
        assert one.digest() != two.digest()


@pytest.mark.parametrize("content", [3.5, None, object(), [b"a"], np.array(["a", None], object), "\ud800"])
def test_what_cannot_be_described_has_no_key(content: object) -> None:
    with pytest.raises(UnhashableRecipeError):
        sample_key(content)


def test_keys_do_not_depend_on_the_process() -> None:
    code = "import tlengine as tl; print(tl.sample_key('x').hex())"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, **env},
        ).stdout
        for env in (
            {"PYTHONHASHSEED": "1", "LC_ALL": "C"},
            {"PYTHONHASHSEED": "2", "LC_ALL": "C.UTF-8", "TZ": "Asia/Tokyo"},
        )
    }
    assert outputs == {sample_key("x").hex() + "\n"}


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(json_values, json_values)
def test_recipes_are_equal_only_if_they_mean_the_same(one: object, two: object) -> None:
    if repr_of(one) != repr_of(two):
        assert canonical_json(one) != canonical_json(two)
    else:
        assert canonical_json(one) == canonical_json(two)


def repr_of(value: object) -> str:
    """A naive description: sorted, typed, nested."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key!r}:{repr_of(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(repr_of, value)) + "]"
    return repr(value)
