"""Labels are classes: what is checked before anything is learned from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.errors import LabelError

__all__ = ["class_labels"]

_FEW = 20
"""Up to this many distinct numbers may be grades or codes; beyond, they must repeat to be classes."""


def class_labels(values: Sequence[Any], place: Callable[[int], str]) -> npt.NDArray[Any]:
    """``values`` as an array of labels: str, integers, or numbers that repeat.

    Args:
        values: n labels as the user wrote them.
        place: says where a row stands, for messages.

    Raises:
        LabelError: a label that is missing or NaN, strings mixed with numbers, or numbers that vary
            continuously (regression).

    >>> class_labels(["cat", "dog"], str).tolist()
    ['cat', 'dog']
    >>> class_labels([0.5, 1.25, 3.125, 2.0], str)
    Traceback (most recent call last):
    tlengine.errors.LabelError: labels vary continuously (4 different numbers in 4 rows, such as 0.5): ...
    """
    items = values.tolist() if isinstance(values, np.ndarray) else list(values)
    for row, value in enumerate(items):
        if _missing(value):
            raise LabelError(
                f"{place(row)}: the label is missing ({value!r})",
                hint="fill it in or drop the row; extract and predict need no labels",
            )
    kinds = {_kind(value) for value in items}
    if len(kinds) > 1 or kinds - {"str", "number"}:
        odd = next(
            row
            for row, value in enumerate(items)
            if _kind(value) != _kind(items[0]) or kinds - {"str", "number"}
        )
        raise LabelError(
            f"{place(odd)}: label {items[odd]!r} is a {type(items[odd]).__name__}, others are "
            f"{type(items[0]).__name__}",
            hint="write all labels as text or all as whole numbers",
        )
    _refuse_continuous(items, kinds)
    return np.asarray(items)


def _missing(value: Any) -> bool:
    if isinstance(value, str):
        return not value.strip() or value.strip().lower() == "nan"
    return value is None or (isinstance(value, float | np.floating) and not np.isfinite(value))


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return "str"
    return "number" if isinstance(value, bool | int | float | np.number | np.bool_) else type(value).__name__


def _refuse_continuous(items: list[Any], kinds: set[str]) -> None:
    try:
        numbers = np.asarray(items, dtype=np.float64)
    except (ValueError, OverflowError):
        return
    distinct, n = len(np.unique(numbers)), len(items)
    whole = bool(np.all(numbers == np.floor(numbers)))
    if (whole and distinct <= max(_FEW, n // 2)) or (not whole and distinct <= min(_FEW, n // 2)):
        return
    raise LabelError(
        f"labels vary continuously ({distinct} different numbers in {n} rows, such as {items[0]}): "
        "this is regression, and tlengine classifies",
        hint="name the column that holds classes with --label, or cut the numbers into classes first",
    )
