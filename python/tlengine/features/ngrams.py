"""Counts of words and of pieces of words, hashed into a fixed number of columns."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

__all__ = ["hashed", "pieces", "words"]

_WORD = re.compile(r"\w+")
_LENGTHS = range(2, 6)
_SPREAD = 0x9E3779B1
"""An odd number near 2**32 / golden ratio: the columns of like texts lie far apart (Knuth 6.4)."""


def words(text: str) -> list[str]:
    """The words of a text in lower case, and its pairs of neighbouring words.

    >>> words("The cat sat")
    ['the', 'cat', 'sat', 'the cat', 'cat sat']
    """
    single = _WORD.findall(text.lower())
    return [*single, *(f"{one} {other}" for one, other in pairwise(single))]


def pieces(text: str) -> Iterator[str]:
    """All runs of 2 to 5 characters inside what blanks separate, with a blank on both sides; lower case.

    >>> list(pieces("Ab"))
    [' a', 'ab', 'b ', ' ab', 'ab ', ' ab ']
    """
    for part in text.lower().split():
        padded = f" {part} "
        for length in _LENGTHS:
            for start in range(len(padded) - length + 1):
                yield padded[start : start + length]


def hashed(terms: Iterable[str], columns: int) -> npt.NDArray[np.float64]:
    """(columns,) of length 1, or zeros where there are none: each term's 1 + ln(count), signed, at its hash.

    Signs make the terms that share a column cancel on average, so that inner products stay unbiased
    (Weinberger et al. 2009, "Feature hashing for large scale multitask learning"). The hash is CRC-32 of the
    UTF-8 bytes, spread by a multiplication: the same everywhere.

    >>> row = hashed(["a", "a", "b"], 64)
    >>> sorted(np.abs(row[row != 0]).round(3).tolist()), float(np.linalg.norm(row).round(6))
    ([0.509, 0.861], 1.0)
    """
    counts = Counter(terms)
    codes = np.array([zlib.crc32(term.encode("utf-8", "surrogatepass")) for term in counts], np.uint64)
    spread = (codes * np.uint64(_SPREAD)) & np.uint64(0xFFFFFFFF)
    column = ((spread * np.uint64(columns)) >> np.uint64(32)).astype(np.intp)
    weights = (1 + np.log(np.array([*counts.values()], np.float64))) * np.where(codes & np.uint64(1), 1, -1)
    row = np.bincount(column, weights, columns).astype(np.float64)
    length = float(np.linalg.norm(row))
    return row / length if length > 0 else row
