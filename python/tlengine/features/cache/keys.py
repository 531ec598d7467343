"""Digests that name things: samples, recipes, weights. 256-bit BLAKE3 over unambiguous bytes.

No pickle, no ``hash()``, no modification time, no clock: the same content has the same key in every
process, on every machine, in every year. What cannot be described in bytes is an error, never a guess.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tlengine._core import Blake3
from tlengine.errors import UnhashableRecipeError
from tlengine.features.images import loaded, orientation

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Hasher", "blake3_hex", "canonical_json", "sample_key"]

_CHUNK = 1 << 20
_DOMAIN = b"tlengine sample 1"


class Hasher:
    """Incremental BLAKE3 of anything with a contiguous buffer.

    >>> hasher = Hasher()
    >>> hasher.update(b"abc")
    >>> hasher.digest().hex()[:16]
    '6437b3ac38465133'
    """

    def __init__(self) -> None:
        self._state = Blake3()

    def update(self, data: bytes | bytearray | memoryview | npt.NDArray[Any]) -> None:
        """Absorb the bytes of ``data``."""
        array = data if isinstance(data, np.ndarray) else np.frombuffer(memoryview(data), np.uint8)
        if array.size:
            self._state.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8))

    def update_framed(self, data: bytes | npt.NDArray[Any]) -> None:
        """Absorb the length of ``data`` in bytes, then its bytes, so that fields cannot run together."""
        size = data.nbytes if isinstance(data, np.ndarray) else len(data)
        self.update(size.to_bytes(8, "little"))
        self.update(data)

    def digest(self) -> bytes:
        """The 32 bytes of the digest of everything absorbed so far."""
        return self._state.digest()


def blake3_hex(parts: Iterable[bytes | bytearray | memoryview | npt.NDArray[Any]]) -> str:
    """The digest, as 64 hex digits, of the concatenated ``parts``.

    >>> blake3_hex([b"a", b"bc"]) == blake3_hex([b"abc"])
    True
    """
    hasher = Hasher()
    for part in parts:
        hasher.update(part)
    return hasher.digest().hex()


def sample_key(content: bytes | str | Path | npt.NDArray[Any] | Image, *, kind: str | None = None) -> bytes:
    """The 32-byte digest of a sample's content.

    Args:
        content: bytes; text; an array (dtype and shape enter); a PIL image (mode, size, palette and
            orientation enter); or the path of a file, which counts as its bytes.
        kind: a word that keeps equal bytes of different meaning apart; by default the kind of content:
            ``"bytes"``, ``"text"``, ``"array"``, ``"image"``.

    Raises:
        UnhashableRecipeError: content of another type, an array of objects, or text that is not Unicode.
        OSError: the file cannot be read.
        DecodeError: the pixels of a PIL image cannot be read.

    >>> sample_key("abc") == sample_key(b"abc")  # a text is not a file
    False
    >>> sample_key(np.zeros((2, 3))) == sample_key(np.zeros((3, 2)))
    False
    """
    if isinstance(content, Path):
        return _file_key(content, kind or "bytes")
    if isinstance(content, bytes | bytearray | memoryview):
        return _key(kind or "bytes", bytes(content))
    if isinstance(content, str):
        return _key(kind or "text", _utf8(content))
    if isinstance(content, np.ndarray):
        return _array_key(content, kind or "array")
    if hasattr(content, "mode") and hasattr(content, "tobytes") and hasattr(content, "getexif"):
        return _image_key(content, kind or "image")
    raise UnhashableRecipeError(
        f"a sample of type {type(content).__name__} has no key",
        hint="pass bytes, text, a NumPy array, a PIL image or a pathlib.Path",
    )


def _key(kind: str, *fields: bytes | npt.NDArray[Any]) -> bytes:
    hasher = Hasher()
    for field in (_DOMAIN, kind.encode(), *fields):
        hasher.update_framed(field)
    return hasher.digest()


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise UnhashableRecipeError(
            f"text with a lone surrogate at position {error.start} is not Unicode",
            hint="decode the file with the right encoding",
        ) from None


def _file_key(path: Path, kind: str) -> bytes:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        hasher = Hasher()
        hasher.update_framed(_DOMAIN)
        hasher.update_framed(kind.encode())
        hasher.update(size.to_bytes(8, "little"))
        total = 0
        while chunk := file.read(_CHUNK):
            hasher.update(chunk)
            total += len(chunk)
    if total != size:
        raise OSError(f"{path}: changed from {size} to {total} bytes while it was read")
    return hasher.digest()


def _array_key(array: npt.NDArray[Any], kind: str) -> bytes:
    if array.dtype.hasobject:
        raise UnhashableRecipeError(
            f"an array of dtype {array.dtype} holds references, not values",
            hint="convert it to numbers or to fixed-width strings",
        )
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    about = f"{little.dtype.str} {','.join(map(str, array.shape))}"
    return _key(kind, about.encode(), little.reshape(-1).view(np.uint8))


def _image_key(image: Any, kind: str) -> bytes:
    image = loaded(image)
    about = f"{image.mode} {image.width}x{image.height} orientation={orientation(image)}"
    palette = image.getpalette("RGBA") if image.mode in ("P", "PA") else None
    return _key(kind, about.encode(), bytes(palette or b""), image.tobytes())


def canonical_json(value: Any, name: str = "recipe") -> bytes:
    """The one JSON text of a description: sorted keys, no spaces, ASCII.

    Raises:
        UnhashableRecipeError: a value that JSON cannot hold exactly; the message says where it is.

    >>> canonical_json({"b": (1, 2.0), "a": None})
    b'{"a":null,"b":[1,2.0]}'
    """
    plain = _plain(value, name)
    return json.dumps(plain, sort_keys=True, ensure_ascii=True, separators=(",", ":")).encode()


def _plain(value: Any, where: str) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        raise _unhashable(f"{where} is {value}, which JSON cannot hold")
    if isinstance(value, list | tuple):
        return [_plain(item, f"{where}[{position}]") for position, item in enumerate(value)]
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise _unhashable(f"{where} has the key {key!r}, which is not a string")
        return {key: _plain(item, f"{where}[{key!r}]") for key, item in value.items()}
    raise _unhashable(f"{where} is a {type(value).__name__}, which does not say what it does")


def _unhashable(message: str) -> UnhashableRecipeError:
    return UnhashableRecipeError(
        message, hint="describe it with strings, numbers, lists and mappings: a name and a version"
    )
