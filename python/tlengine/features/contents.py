"""Contents are read twice: for their key, then to be embedded. Only what was hashed is embedded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.errors import DecodeError, TlengineError
from tlengine.features.cache import sample_key

__all__ = ["CHANGING", "Hashed"]

CHANGING = "it is another one each time it is read"
"""Why a row of a dataset with random augmentation is refused."""

_IN_MEMORY = 1 << 30
"""Bytes of a file that is read whole, so that what is decoded is what was hashed, whatever happens to it."""


class Hashed:
    """The contents of a dataset, each checked against the key that was taken from it before.

    Args:
        contents: the samples.
        keys: (n, 32) uint8, their digests.

    Reading an item raises ``DecodeError``: with the reason ``CHANGING`` where a dataset gives another item
    each time, else where a file was changed or removed meanwhile.

    >>> texts = ["a", "b"]
    >>> keys = np.stack([np.frombuffer(sample_key(text), np.uint8) for text in texts])
    >>> Hashed(texts, keys)[1]
    'b'
    >>> Hashed(["a", "c"], keys)[1]
    Traceback (most recent call last):
    tlengine.errors.DecodeError: it is another one each time it is read
    """

    def __init__(self, contents: Sequence[Any], keys: npt.NDArray[np.uint8]) -> None:
        self._contents, self._keys = contents, keys

    def __len__(self) -> int:
        return len(self._contents)

    def __getitem__(self, row: int) -> Any:
        try:
            content = self._contents[row]
            is_file = isinstance(content, Path)
            content = _file(content) if is_file else content
            key = sample_key(content)
        except OSError as error:
            raise DecodeError(error.strerror or str(error)) from error
        except TlengineError as error:
            raise DecodeError(error.message) from error
        if key != self._keys[row].tobytes():
            raise DecodeError("the file changed while it was read" if is_file else CHANGING)
        return content


def _file(path: Path) -> bytes | Path:
    return path.read_bytes() if path.stat().st_size <= _IN_MEMORY else path
