"""Which cache: the usual one, another, or none; one rule for Python and the command line."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from tlengine.errors import CacheReadOnlyWarning, InputError, TlengineError
from tlengine.features.cache.embedding_cache import EmbeddingCache

__all__ = ["CacheLike", "opened"]

CacheLike = EmbeddingCache | str | os.PathLike[str] | bool | None
"""True: the usual cache. A path: the one there. None or False: keep nothing. Or a cache that is open."""


@contextmanager
def opened(cache: CacheLike) -> Iterator[EmbeddingCache | None]:
    """The cache that is meant, open while the context lasts; one that was given open stays open.

    Where the usual cache cannot be opened, a warning says so and nothing is kept; a cache that was asked
    for by its path must open.

    Raises:
        InputError: none of :data:`CacheLike`.
        CacheIOError: the cache at a path cannot be opened.

    >>> with opened(False) as cache:
    ...     print(cache)
    None
    """
    if cache is None or cache is False:
        yield None
    elif isinstance(cache, EmbeddingCache):
        yield cache
    elif cache is True:
        usual = _usual()
        try:
            yield usual
        finally:
            if usual is not None:
                usual.close()
    elif isinstance(cache, str | os.PathLike):
        with EmbeddingCache(cache) as asked:
            yield asked
    else:
        raise InputError(
            f"cache is a {type(cache).__name__}",
            hint="pass an EmbeddingCache, the path of one, True for the usual one, or None for none",
        )


def _usual() -> EmbeddingCache | None:
    try:
        return EmbeddingCache()
    except (TlengineError, OSError, RuntimeError) as error:  # RuntimeError: pathlib finds no home
        reason = error.message if isinstance(error, TlengineError) else str(error)
        warnings.warn(
            f"embeddings are not kept: {reason}; set TLENGINE_HOME to a folder that can be written",
            CacheReadOnlyWarning,
            stacklevel=4,
        )
        return None
