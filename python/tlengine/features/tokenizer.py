"""A text as token ids, by a ``tokenizer.json`` whose content enters the cache key."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tlengine.errors import BackboneError, InputError, MissingPackageError

if TYPE_CHECKING:
    import tokenizers

__all__ = ["Tokenizer"]


class Tokenizer:
    """The ``preprocess`` of a text backbone: a str becomes a 1-D int64 array of token ids.

    The file is read once, when it is first needed, and the digest of what was read is the description, so
    that rows and key always belong to the same tokenizer.

    Args:
        path: of a ``tokenizer.json`` (Hugging Face ``tokenizers``), or a module-level function that returns
            it, for a file that another package brings.
        max_tokens: longer texts are cut, special tokens counted; at least 1.
        pad_id: fills short rows of a batch; the mask hides it.

    Raises:
        InputError: ``max_tokens`` or ``pad_id`` out of range.
        BackboneError: when used: the file cannot be read, or is no tokenizer.
        MissingPackageError: when used: ``tokenizers`` is not installed.

    >>> import json, tempfile
    >>> words = {"type": "WordLevel", "vocab": {"[UNK]": 0, "good": 1, "film": 2}, "unk_token": "[UNK]"}
    >>> file = Path(tempfile.mkdtemp()) / "tokenizer.json"
    >>> text = json.dumps({"version": "1.0", "model": words, "pre_tokenizer": {"type": "Whitespace"}})
    >>> _ = file.write_text(text)
    >>> tokenizer = Tokenizer(file, max_tokens=3)
    >>> tokenizer("good old film , cut here")
    array([1, 0, 2])
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | Callable[[], str | os.PathLike[str]],
        *,
        max_tokens: int = 256,
        pad_id: int = 0,
    ) -> None:
        if max_tokens < 1 or pad_id < 0:
            raise InputError(
                f"max_tokens is {max_tokens}, pad_id is {pad_id}",
                hint="at least 1 token, and a pad_id from 0 on",
            )
        self.path, self.max_tokens, self.pad_id = path, max_tokens, pad_id

    def __call__(self, text: str) -> npt.NDArray[np.int64]:
        """(tokens,) int64, at least one: a text without tokens is one ``pad_id``."""
        return np.array(self._tokenizer.encode(text).ids or [self.pad_id], dtype=np.int64)

    def describe(self) -> Mapping[str, Any]:
        """All that determines the result, for the fingerprint."""
        digest = hashlib.sha256(self._content).hexdigest()
        return {"kind": "tokens", "tokenizer": digest, "max_tokens": self.max_tokens, "pad_id": self.pad_id}

    def __repr__(self) -> str:
        where = getattr(self.path, "__qualname__", None) if callable(self.path) else os.fspath(self.path)
        return f"Tokenizer({where!r}, max_tokens={self.max_tokens}, pad_id={self.pad_id})"

    def __getstate__(self) -> dict[str, Any]:
        """Travels with what it has read, not with the tokenizer made of it."""
        return {name: value for name, value in vars(self).items() if name != "_tokenizer"}

    @cached_property
    def _content(self) -> bytes:
        path = Path(self.path() if callable(self.path) else self.path)
        try:
            return path.read_bytes()
        except OSError as error:
            raise BackboneError(
                f"the tokenizer {path} cannot be read: {error.strerror or error}",
                hint="pass the path of a tokenizer.json",
            ) from error

    @cached_property
    def _tokenizer(self) -> tokenizers.Tokenizer:
        try:
            from tokenizers import Tokenizer as Loaded
        except ImportError:
            raise MissingPackageError(
                "token ids need the package tokenizers", hint="pip install tokenizers"
            ) from None
        try:
            tokenizer = Loaded.from_str(self._content.decode())
        except Exception as error:  # the package raises bare Exceptions
            raise BackboneError(
                f"the tokenizer is no tokenizer.json: {error}", hint="save one with tokenizer.save(path)"
            ) from error
        tokenizer.no_padding()
        tokenizer.enable_truncation(self.max_tokens)
        return tokenizer
