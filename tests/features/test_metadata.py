"""Metadata never cost a picture: large, compressed a thousandfold, damaged or in a wrong place."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.features.pictures import chunk, deflated, encoded, peak_kib, with_chunks, with_segments
from tlengine.features import decode_image
from tlengine.features.png import SplicedFile, read_header, without_metadata

PIXELS = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
PNG = encoded(Image.fromarray(PIXELS), "PNG")
PALETTE = encoded(Image.fromarray(PIXELS).convert("P"), "PNG", transparency=bytes(range(256)))
BOMB = deflated(200)
ITEXT = b"Comment\0\1\0\0\0"

CHUNKS = {
    "compressed profile": chunk(b"iCCP", b"profile\0\0" + BOMB),
    "compressed text": chunk(b"zTXt", b"Comment\0\0" + BOMB),
    "compressed international text": chunk(b"iTXt", ITEXT + BOMB),
    "small bomb": chunk(b"zTXt", b"Comment\0\0" + deflated(10)),
    "long text": chunk(b"tEXt", b"Comment\0" + b"x" * 20_000_000),
    "long profile": chunk(b"iCCP", b"profile\0\0" + np.random.default_rng(1).bytes(5_000_000)),
    "long private chunk": chunk(b"prVt", bytes(20_000_000)),
    "many texts": chunk(b"tEXt", b"Comment\0" + b"x" * 60_000) * 1_200,
    "profile that is no zlib": chunk(b"iCCP", b"profile\0\0hello"),
    "unknown compression": chunk(b"iCCP", b"profile\0\7hello"),
    "wrong checksum": chunk(b"tEXt", b"Comment\0hello", crc=7),
    "wrong checksum of a profile": chunk(b"iCCP", b"profile\0\0hello", crc=7),
    "empty profile": chunk(b"iCCP", b""),
    "no separator": chunk(b"zTXt", b"Comment"),
    "wrong gamma": chunk(b"gAMA", b""),
    "wrong resolution": chunk(b"pHYs", b"x"),
    "wrong chromaticity": chunk(b"cHRM", b"x"),
    "broken EXIF": chunk(b"eXIf", b"no exif at all"),
    "long EXIF": chunk(b"eXIf", b"II*\0" + bytes(2_000_000)),
}


@pytest.mark.parametrize("last", [False, True], ids=["before the pixels", "after them"])
@pytest.mark.parametrize("name", CHUNKS)
def test_png_metadata(name: str, last: bool) -> None:
    picture = decode_image(with_chunks(PNG, CHUNKS[name], last=last))
    assert np.array_equal(np.asarray(picture), PIXELS)


@pytest.mark.parametrize("name", ["compressed profile", "wrong checksum"])
def test_palettes_and_their_transparency_survive_the_cut(name: str, tmp_path: Path) -> None:
    path = tmp_path / "p.png"
    path.write_bytes(with_chunks(PALETTE, CHUNKS[name]))
    assert np.array_equal(np.asarray(decode_image(path)), np.asarray(decode_image(PALETTE)))


def test_orientation_survives_the_cut() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encoded(Image.fromarray(PIXELS), "PNG", exif=exif)
    assert decode_image(turned).size == (30, 40)
    assert decode_image(with_chunks(turned, CHUNKS["compressed text"])).size == (30, 40)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG"])
@pytest.mark.parametrize(
    "body", [b"", b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*" + bytes(9), b"x" * 99]
)
def test_broken_exif_data_ask_for_nothing(kind: str, body: bytes) -> None:
    data = (
        encoded(Image.fromarray(PIXELS), kind, exif=body) if body else encoded(Image.fromarray(PIXELS), kind)
    )
    assert decode_image(data).size == (40, 30)


@pytest.mark.parametrize("marker", [0xE1, 0xE2, 0xED, 0xEF, 0xFE])
def test_a_jpeg_with_many_segments(marker: int) -> None:
    plain = encoded(Image.fromarray(PIXELS), "JPEG")
    assert np.array_equal(
        np.asarray(decode_image(with_segments(plain, 60, marker))), np.asarray(decode_image(plain))
    )


@pytest.mark.parametrize("what", ["exif", "icc_profile", "xmp"])
def test_a_webp_with_large_metadata(what: str) -> None:
    plain = encoded(Image.fromarray(PIXELS), "WEBP", lossless=True)
    large = encoded(Image.fromarray(PIXELS), "WEBP", lossless=True, **{what: b"Exif\0\0" + bytes(20_000_000)})
    assert len(large) > 20_000_000 > len(plain)
    assert np.array_equal(np.asarray(decode_image(large)), PIXELS)


def test_a_large_profile_in_each_format(tmp_path: Path) -> None:
    profile = np.random.default_rng(2).bytes(3_000_000)
    for kind in ("PNG", "JPEG", "WEBP"):
        path = tmp_path / f"p.{kind.lower()}"
        Image.fromarray(PIXELS).save(path, icc_profile=profile)
        assert decode_image(path).size == (40, 30)


def test_what_is_cut_is_never_in_memory(tmp_path: Path) -> None:
    """600 MB of metadata; 200 MB are allowed for Python, NumPy, Pillow and the small picture."""
    path = tmp_path / "large.png"
    with path.open("wb") as file:
        file.write(PNG[:33])
        file.write((400_000_000).to_bytes(4, "big") + b"prVt")
        file.seek(400_000_004, io.SEEK_CUR)
        file.write(chunk(b"zTXt", b"Comment\0\0" + BOMB) + PNG[33:])
    assert peak_kib(f"from tlengine.features import decode_image; decode_image({str(path)!r})") < 200_000


def test_pixels_that_are_damaged_stay_an_error() -> None:
    from tlengine.errors import DecodeError

    damaged = with_chunks(PNG[:-200], CHUNKS["wrong checksum"])
    with pytest.raises(DecodeError):
        decode_image(damaged)


def test_nothing_is_cut_from_a_usual_file() -> None:
    assert without_metadata(io.BytesIO(PNG)) is None
    assert without_metadata(io.BytesIO(b"hello")) is None
    assert read_header(io.BytesIO(b"hello")) is None


def test_a_spliced_file_reads_as_its_parts() -> None:
    file = io.BufferedReader(SplicedFile(io.BytesIO(bytes(range(100))), [(0, 5), (50, 10), (90, 10)]))
    whole = bytes([*range(5), *range(50, 60), *range(90, 100)])
    assert file.read() == whole
    for at in range(len(whole)):
        file.seek(at)
        assert file.read(7) == whole[at : at + 7]
    file.seek(-12, io.SEEK_END)
    assert file.read(3) == whole[-12:-9]
