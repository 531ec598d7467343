"""A picture in a run document is anybody's bytes: shown, or left out; never an error."""

import base64
import io
import struct

import pytest
from PIL import Image

from tests.features.pictures import SIGNATURE, chunk, deflated, encoded, with_chunks
from tlengine.reports.pictures import clean_picture

SMALL = encoded(Image.new("RGB", (9, 6), "red"), "PNG")


def uri(data: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def header(width: int, height: int) -> bytes:
    return (
        SIGNATURE
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_picture_is_encoded_anew(kind: str) -> None:
    shown = clean_picture(uri(encoded(Image.new("RGB", (9, 6), "red"), kind), kind.lower()))
    assert shown is not None
    assert shown.startswith("data:image/jpeg;base64,")
    with Image.open(io.BytesIO(base64.b64decode(shown.split(",")[1]))) as image:
        assert (image.format, image.size) == ("JPEG", (9, 6))


@pytest.mark.parametrize(
    "data",
    [
        header(60_000, 60_000),
        header(13_500, 13_500),
        header(0, 0),
        header(600, 6),
        encoded(Image.new("1", (9_000, 9_000)), "PNG"),
        SMALL[:40],
        b"",
        b"GIF89a",
        with_chunks(SMALL, chunk(b"iCCP", b"p\0\0" + deflated(20))),
        with_chunks(SMALL, chunk(b"gAMA", b"")),
        with_chunks(SMALL, chunk(b"tEXt", b"a\0b", crc=1)),
    ],
    ids=[
        "huge",
        "large",
        "none",
        "wide",
        "much of it",
        "cut",
        "empty",
        "gif",
        "bomb",
        "bad gamma",
        "bad checksum",
    ],
)
def test_a_hostile_picture_is_left_out(data: bytes) -> None:
    assert clean_picture(uri(data)) is None


@pytest.mark.parametrize(
    "source",
    [
        None,
        7,
        "",
        "x.png",
        "https://example.org/x.png",
        "javascript:alert(1)",
        "data:image/svg+xml;base64,AAAA",
        'data:image/png;base64,AAAA" onerror=alert(1)',
        "data:text/html;base64,PGI+",
        "x" * (2 << 20),
    ],
)
def test_what_is_no_picture_is_left_out(source: object) -> None:
    assert clean_picture(source) is None
