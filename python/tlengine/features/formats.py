"""What a file is that is no JPEG, PNG or WebP, and the way out."""

from __future__ import annotations

__all__ = ["FORMATS", "unreadable"]

FORMATS = ("JPEG", "PNG", "WEBP")
"""Only these decoders of Pillow are let near a file; the others are many, and seldom attacked in tests."""

_OURS = (("JPEG", b"\xff\xd8\xff"), ("PNG", b"\x89PNG\r\n\x1a\n"))

_OTHERS = (
    ("a GIF file", b"GIF8"),
    ("a BMP file", b"BM"),
    ("a TIFF file", b"II*\0"),
    ("a TIFF file", b"MM\0*"),
    ("a TIFF file", b"II+\0"),
    ("a TIFF file", b"MM\0+"),
    ("a JPEG 2000 file", b"\0\0\0\x0cjP  "),
    ("a JPEG 2000 file", b"\xff\x4f\xff\x51"),
    ("a JPEG XL file", b"\0\0\0\x0cJXL "),
    ("a JPEG XL file", b"\xff\x0a"),
    ("a Photoshop file", b"8BPS"),
    ("an icon file", b"\0\0\1\0"),
    ("a PDF file", b"%PDF"),
    ("a PostScript file", b"%!PS"),
    ("a Netpbm file", b"P5\n"),
    ("a Netpbm file", b"P6\n"),
    ("a NumPy file", b"\x93NUMPY"),
    ("a zip archive", b"PK\3\4"),
    ("a gzip archive", b"\x1f\x8b"),
)
_BRANDS = {"hei": "HEIC", "hev": "HEIC", "mif": "HEIC", "msf": "HEIC", "avi": "AVIF", "crx": "Canon raw"}


def unreadable(head: bytes) -> str:
    """Why a file that begins with ``head`` (64 bytes) is not read.

    >>> unreadable(b"GIF89a...")
    'a GIF file, not a JPEG, PNG or WEBP file; convert it, for example to PNG'
    """
    wanted = f"not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} file"
    if not head:
        return f"an empty file, {wanted}"
    name = next((name for name, signature in _OURS if head.startswith(signature)), None)
    if name or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return f"a damaged or truncated {name or 'WEBP'} file: its header cannot be read"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(b"version https://git-lfs"):
        return f"a pointer of Git LFS, {wanted}; fetch the pictures with git lfs pull"
    if text.startswith((b"<!doctype html", b"<html")):
        return f"a web page, {wanted}; download it again"
    kind = "an SVG drawing" if text.startswith((b"<svg", b"<?xml")) else _kind(head)
    return f"{kind}, {wanted}; convert it, for example to PNG" if kind else wanted


def _kind(head: bytes) -> str | None:
    if head[4:8] == b"ftyp":
        brand = _BRANDS.get(head[8:11].decode("latin-1"))
        return f"{'an' if brand == 'AVIF' else 'a'} {brand} file" if brand else "a video"
    if head[128:132] == b"DICM":
        return "a DICOM file"
    return next((name for name, signature in _OTHERS if head.startswith(signature)), None)
