"""Pictures made byte by byte: PNG chunks, JPEG segments and WebP chunks that no library writes."""

import io
import struct
import subprocess
import sys
import zlib
from typing import Any

import numpy as np
from PIL import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def chunk(kind: bytes, body: bytes, crc: int | None = None) -> bytes:
    check = zlib.crc32(kind + body) if crc is None else crc
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", check)


def with_chunks(png: bytes, *chunks: bytes, last: bool = False) -> bytes:
    """``png`` with chunks behind its header, or before its end."""
    at = len(png) - 12 if last else 33
    return png[:at] + b"".join(chunks) + png[at:]


def deflated(megabytes: int) -> bytes:
    """So many million zeros, compressed to a thousandth."""
    packer = zlib.compressobj()
    block = bytes(1_000_000)
    return b"".join(packer.compress(block) for _ in range(megabytes)) + packer.flush()


def raw_png(values: np.ndarray, colour: int, *extra: bytes) -> bytes:
    """A 16-bit PNG of any colour type: ``values`` (h, w, channels) uint16."""
    height, width = values.shape[:2]
    lines = values.astype(">u2").reshape(height, -1)
    body = b"".join(b"\0" + line.tobytes() for line in lines)
    head = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    return b"".join(
        [
            SIGNATURE,
            chunk(b"IHDR", head),
            *extra,
            chunk(b"IDAT", zlib.compress(body)),
            chunk(b"IEND", b""),
        ]
    )


def interlaced_png(pixels: np.ndarray) -> bytes:
    """``pixels`` (h, w, 3) uint8 in the seven passes of Adam7."""
    passes = [
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ]
    parts = [pixels[top::down, left::right] for left, top, right, down in passes]
    body = b"".join(b"\0" + line.tobytes() for part in parts if part.size for line in part)
    head = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 8, 2, 0, 0, 1)
    chunks = (chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(body)), chunk(b"IEND", b""))
    return SIGNATURE + b"".join(chunks)


def with_segments(jpeg: bytes, megabytes: int, marker: int = 0xEF, body: bytes = b"x" * 65_000) -> bytes:
    """``jpeg`` with application data behind its first two bytes."""
    segment = struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body
    return jpeg[:2] + segment * (megabytes * 1_000_000 // len(segment)) + jpeg[2:]


def peak_kib(code: str) -> int:
    """The most memory that a process of its own held while it ran ``code``, in KiB.

    Not ``ru_maxrss``, which a process inherits from the one that started it.
    """
    tell = "print([line for line in open('/proc/self/status') if line.startswith('VmHWM')][0].split()[1])"
    told = subprocess.run(
        [sys.executable, "-c", f"{code}\n{tell}"], capture_output=True, text=True, check=True
    )
    return int(told.stdout.split()[-1])
