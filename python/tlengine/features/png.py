"""A PNG without what no pixel needs: profiles, texts and other metadata are skipped, never decompressed."""

from __future__ import annotations

import io
import struct
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, BinaryIO, cast

__all__ = ["PngHeader", "SplicedFile", "read_header", "without_metadata"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"

_LARGE = 1 << 16
"""Metadata of more bytes are skipped: orientation, the one thing in them that matters, is short."""

_EXIF_LIMIT = 1 << 20
"""An EXIF block holds a thumbnail beside the orientation."""


@dataclass(frozen=True, kw_only=True)
class PngHeader:
    """What Pillow does not tell of a PNG.

    Attributes:
        depth: bits per channel in the file.
        colour: the colour type: 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA.
        significant: bits that matter, by the chunk sBIT, the most of any channel; None without one.
    """

    depth: int
    colour: int
    significant: int | None


def read_header(file: BinaryIO) -> PngHeader | None:
    """The header of a PNG; None for anything else."""
    depth, colour, significant = 0, 0, None
    for kind, start, length in _chunks(file):
        file.seek(start + 8)
        if kind == b"IHDR":
            _, _, depth, colour = struct.unpack(">IIBB", file.read(10).ljust(10, b"\0"))
        elif kind == b"sBIT" and 0 < length <= 4:
            significant = max(file.read(length)[: 1 if colour in (0, 4) else 3], default=0) or None
        elif kind == b"IDAT":
            break
    return PngHeader(depth=depth, colour=colour, significant=significant) if depth else None


def without_metadata(file: BinaryIO, *, bare: bool = False) -> BinaryIO | None:
    """``file`` with its large metadata cut out; None where there is nothing to cut, or no PNG.

    Args:
        file: seekable.
        bare: cut out all metadata but transparency, whatever their size.
    """
    spans: list[tuple[int, int]] = [(0, 8)]
    cut = False
    for kind, start, length in _chunks(file):
        if not _is_kept(kind, length, bare):
            cut = True
        elif sum(spans[-1]) == start:
            spans[-1] = (spans[-1][0], spans[-1][1] + length + 12)
        else:
            spans.append((start, length + 12))
    return cast(BinaryIO, io.BufferedReader(SplicedFile(file, spans))) if cut else None


def _is_kept(kind: bytes, length: int, bare: bool) -> bool:
    """A chunk whose name begins with a capital is needed for the pixels."""
    if not kind[0] & 0x20 or kind == b"tRNS":
        return True
    if bare:
        return False
    return length <= (_EXIF_LIMIT if kind == b"eXIf" else _LARGE)


def _chunks(file: BinaryIO) -> list[tuple[bytes, int, int]]:
    """Name, offset and length of the body of each chunk, up to the end or to what is no chunk."""
    found: list[tuple[bytes, int, int]] = []
    file.seek(0)
    if file.read(8) != _SIGNATURE:
        return found
    at = 8
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        found.append((kind, at, length))
        at += length + 12
        if kind == b"IEND":
            break
        file.seek(at)
    return found


class SplicedFile(io.RawIOBase):
    """Some spans of a file as one file.

    >>> SplicedFile(io.BytesIO(b"abcdefgh"), [(0, 2), (5, 3)]).read()
    b'abfgh'
    """

    def __init__(self, file: BinaryIO, spans: list[tuple[int, int]]) -> None:
        self._file, self._spans, self._at = file, spans, 0
        self._starts = [0, *accumulate(length for _, length in spans)]

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """The position in the spliced file."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move, as in any file."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._starts[-1]}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Bytes of the span at the position; fewer than asked for at its end."""
        view = memoryview(buffer).cast("B")
        which = bisect_right(self._starts, self._at) - 1
        if which >= len(self._spans):
            return 0
        start, length = self._spans[which]
        inside = self._at - self._starts[which]
        self._file.seek(start + inside)
        data = self._file.read(min(len(view), length - inside))
        view[: len(data)] = data
        self._at += len(data)
        return len(data)
