"""The file of an index of neighbours: its rows and codes as they are, to be mapped, behind a header.

::

    0     magic, version (8 bytes), length of the JSON (8 bytes, little-endian)
    16    JSON: dtype, shape, metric, precision, length of the codes, digests of each 64 MB of rows and codes
    ...   BLAKE3 of all bytes before it (32 bytes)
    4096k the rows, row-major; then from the next multiple of 4096 on the codes, to the end of the file
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from tlengine import _core
from tlengine.documents import replace_file
from tlengine.errors import HeadFormatError, InputError
from tlengine.probes.arrays import Rows

__all__ = ["IndexFile"]

_MAGIC, _VERSION = b"tlIndex", 1
_START, _DIGEST, _PAGE = 16, 32, 4096
_PART = 64 << 20
_MAX_HEADER = 64 << 20
_DTYPES = ("<f4", "<f8")
_HINT = "save the index again"


@dataclass(frozen=True, kw_only=True, eq=False)
class IndexFile:
    """A file that is open.

    Attributes:
        path: where it is.
        rows: (n, d) float32 or float64, mapped.
        codes: (bytes,) what the core made of them, mapped.
        options: ``metric`` and ``precision``, as they are written.
        digests: BLAKE3 of each part of the rows, then of the codes, in hex.
    """

    path: Path
    rows: Rows
    codes: npt.NDArray[np.uint8]
    options: dict[str, Any]
    digests: tuple[str, ...]

    @staticmethod
    def write(
        path: str | os.PathLike[str],
        rows: Rows,
        codes: npt.NDArray[np.uint8],
        options: dict[str, Any],
        *,
        overwrite: bool,
    ) -> None:
        """Gives ``path`` its content in one step.

        Raises:
            InputError: something is there that is not to be replaced.
            OSError: the disk is full, or the folder cannot be written; what was there stays.
        """
        target = Path(path)
        if target.is_dir() or (target.exists() and not overwrite):
            hint = "choose another path" if target.is_dir() else "pass overwrite=True to replace it"
            raise InputError(f"{target} exists", hint=hint)
        stored = np.ascontiguousarray(rows, dtype=rows.dtype.newbyteorder("<"))
        facts = {
            "dtype": stored.dtype.str,
            "shape": list(stored.shape),
            **options,
            "codes": codes.nbytes,
            "digests": [_digest(part) for array in (stored, codes) for part in _parts(array)],
        }
        text = json.dumps(facts, sort_keys=True).encode()
        header = _MAGIC + bytes([_VERSION]) + len(text).to_bytes(8, "little") + text
        header += bytes.fromhex(_digest(np.frombuffer(header, np.uint8)))
        start = _first_byte(len(text))

        def fill(file: IO[bytes]) -> None:
            file.write(header.ljust(start, b"\0"))
            for part in _parts(stored):
                file.write(part.data)
            file.write(b"\0" * (_up(stored.nbytes) - stored.nbytes))
            for part in _parts(codes):
                file.write(part.data)

        replace_file(target, fill)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> IndexFile:
        """Reads the header and maps the rows.

        Raises:
            FileNotFoundError: nothing is there.
            HeadFormatError: no index, or not all of one.
        """
        place = Path(path)
        if place.is_dir():
            raise HeadFormatError(f"{place} is a folder, not a saved index", hint="pass the file")
        with place.open("rb") as file:
            facts, start = _header(file, place)
            length = os.fstat(file.fileno()).st_size
            dtype, shape, codes = _layout(facts, place)
            after = start + _up(dtype.itemsize * shape[0] * shape[1])
            if length != after + codes:
                raise HeadFormatError(f"{place} has {length} bytes instead of {after + codes}", hint=_HINT)
            mapped = np.memmap(file, np.uint8, "r").view(np.ndarray)
        size = dtype.itemsize * shape[0] * shape[1]
        return cls(
            path=place,
            rows=mapped[start : start + size].view(dtype).reshape(shape),
            codes=mapped[after:],
            options={name: facts.get(name) for name in ("metric", "precision")},
            digests=tuple(facts["digests"]),
        )

    def check_option(self, name: str, choices: Sequence[str]) -> None:
        """Refuse a value of a later version.

        Raises:
            HeadFormatError: it is none of the choices.
        """
        if self.options[name] not in choices:
            raise HeadFormatError(f"{self.path} has {name}={self.options[name]!r}", hint=_HINT)

    def check(self) -> None:
        """Compares rows and codes with their digests.

        Raises:
            HeadFormatError: they are not those that were saved.
        """
        digests = iter(self.digests)
        for name, array in (("rows", self.rows), ("codes", self.codes)):
            for number, part in enumerate(_parts(array)):
                if _digest(part) != next(digests):
                    place = f"from byte {number * _PART} on"
                    raise HeadFormatError(
                        f"{self.path} is damaged: the {name} {place} are not those that were saved",
                        hint=_HINT,
                    )


def _parts(rows: npt.NDArray[Any]) -> Iterator[npt.NDArray[np.uint8]]:
    flat = rows.reshape(-1).view(np.uint8)
    return (flat[first : first + _PART] for first in range(0, len(flat), _PART))


def _digest(part: npt.NDArray[np.uint8]) -> str:
    state = _core.Blake3()
    state.update(part)
    return state.digest().hex()


def _up(length: int) -> int:
    """The next multiple of a page."""
    return -(-length // _PAGE) * _PAGE


def _first_byte(text: int) -> int:
    """Where the rows begin behind a JSON of so many bytes."""
    return _up(_START + text + _DIGEST)


def _header(file: IO[bytes], path: Path) -> tuple[dict[str, Any], int]:
    """What the JSON says, and where the rows begin."""
    start = file.read(_START)
    if start[: len(_MAGIC)] != _MAGIC or len(start) < _START:
        raise HeadFormatError(
            f"{path} is not a saved index", hint="pass a file that NeighborIndex.save wrote"
        )
    if start[len(_MAGIC)] != _VERSION:
        raise HeadFormatError(
            f"{path} has version {start[len(_MAGIC)]} of the format, this tlengine reads {_VERSION}",
            hint=_HINT,
        )
    length = int.from_bytes(start[8:], "little")
    text = file.read(length) if length <= _MAX_HEADER else b""
    digest = file.read(_DIGEST)
    if len(text) != length or bytes.fromhex(_digest(np.frombuffer(start + text, np.uint8))) != digest:
        raise HeadFormatError(f"{path} is damaged: its header is not the one that was saved", hint=_HINT)
    try:
        facts = json.loads(text)
    except ValueError as error:
        raise HeadFormatError(f"{path}: {error}", hint=_HINT) from None
    return facts, _first_byte(length)


def _layout(facts: Any, path: Path) -> tuple[np.dtype[Any], tuple[int, int], int]:
    """Type and shape of the rows and length of the codes, if they can be those of an index."""
    try:
        (rows, columns), codes = facts["shape"], facts["codes"]
        good = facts["dtype"] in _DTYPES and all(type(n) is int and n > 0 for n in (rows, columns, codes))
        size = int(facts["dtype"][-1]) * rows * columns if good else 0
        good = good and len(facts["digests"]) == -(-size // _PART) + -(-codes // _PART)
    except (KeyError, TypeError, ValueError):
        good = False
    if not good:
        raise HeadFormatError(f"{path}: a header that is not one of an index", hint=_HINT)
    return np.dtype(facts["dtype"]), (rows, columns), codes
