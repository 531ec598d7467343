"""More than 8 bits per channel become 8, by a rule that looks at one picture alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.errors import DecodeError

__all__ = ["DEPTHS", "cut_note", "eight_bits", "float_levels", "scaled_note"]

DEPTHS = (8, 10, 12, 14, 16, 20, 24, 32)
"""Of sensors and files: the significant bits of a picture are the first of these that hold its maximum."""


def eight_bits(values: npt.NDArray[Any], significant: int | None = None) -> tuple[npt.NDArray[np.uint8], int]:
    """Whole numbers as 8 bits: the upper 8 of the significant ones.

    A 12-bit camera writes 0 to 4095 into 16 bits; the upper 8 of 16 would leave 16 shades of black.

    Args:
        values: whole numbers from 0.
        significant: bits that the file says are used; believed where the values fit.

    Returns:
        The values, and how many bits were taken for significant.

    Raises:
        DecodeError: negative values, or more than 32 bits.

    >>> eight_bits(np.array([0, 1000, 4095], np.uint16))
    (array([  0,  62, 255], dtype=uint8), 12)
    """
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    if low < 0 or high >= 1 << DEPTHS[-1]:
        raise DecodeError(
            f"values from {low} to {high} are no brightness; shift and scale them to 0 to 65535"
        )
    bits = next(depth for depth in DEPTHS if high < 1 << depth)
    if significant is not None and significant >= 8 and high < 1 << significant:
        bits = significant
    return (values >> (bits - 8)).astype(np.uint8), bits


def float_levels(values: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.uint8]:
    """Numbers from 0 to 255, cut to whole numbers as Pillow does.

    Raises:
        DecodeError: other numbers, and numbers from 0 to 1: black, or not yet multiplied?
    """
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if not (low >= 0 and high <= 255) or 0 < high <= 1:
        raise DecodeError(f"floats from {low:g} to {high:g}; scale them to 0 to 255 and use uint8")
    return values.astype(np.uint8)


def scaled_note(bits: int) -> str | None:
    """What to tell of a picture of 16 bits and more; None where it fills its 16 bits.

    >>> scaled_note(12), scaled_note(16)
    ('12 significant bits in 16, all values are scaled by 2 ** -4', None)
    """
    if bits == 16:
        return None
    return f"{bits} significant bits in {16 if bits < 16 else 32}, all values are scaled by 2 ** {8 - bits}"


def cut_note(brightest: int) -> str | None:
    """What to tell of 16-bit colour, of which the decoder keeps the upper 8; None where they are used.

    >>> cut_note(15), cut_note(200)
    ('12 or fewer significant bits in 16 of colour, of which 4 are read: scale them to 8 bits first', None)
    """
    kept = brightest.bit_length()
    if kept > 6:
        return None
    return (
        f"{kept + 8} or fewer significant bits in 16 of colour, of which {kept} are read: "
        "scale them to 8 bits first"
    )
