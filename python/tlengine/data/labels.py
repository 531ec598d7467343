"""Labels are classes: what is checked before anything is learned from them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.data.dataset import check_text
from tlengine.data.names import canonical, one_form
from tlengine.data.scalars import is_missing, plain, short
from tlengine.errors import LabelError, TlengineWarning

__all__ = ["class_labels", "class_names"]

_FEW = 20
"""Up to this many distinct numbers may be grades or codes, if some repeat; beyond, classes have many rows."""

_LONGEST = 1_000
"""Characters of a label: arrays of text are as wide as their longest."""

_TRACES = frozenset({"nan", "<na>", "nat", "#n/a", "#value!", "#ref!", "#name?"})
"""What programs write for a missing value, in lower case; people write such classes seldom."""


def class_names(names: Sequence[str], where: str) -> list[str]:
    """Names of classes in one form, for every source: see :func:`~tlengine.data.names.one_form`.

    Args:
        names: one for each row, as the user wrote them.
        where: the place, for the warnings: a folder, or a table and its column.

    >>> class_names(["cat", "dog", "cat"], "photos")
    ['cat', 'dog', 'cat']
    """
    return one_form(names, where, "label")


def class_labels(
    values: Sequence[Any], place: Callable[[int], str], *, where: str | None = None
) -> npt.NDArray[Any]:
    """``values`` as an array of labels: str, bool, integers, or numbers that repeat.

    A text stays as it is written (``"01"``, ``"nan"``, ``"1e5"``), but for what cannot be seen in it.

    Args:
        values: n labels as the user wrote them; UTF-8 bytes count as text.
        place: says where a row stands, for messages.
        where: says where the labels stand, for warnings; None warns of nothing.

    Raises:
        LabelError: a label that is missing or NaN, text mixed with numbers or truth values, several labels
            in a row, or numbers that vary continuously (regression).

    >>> class_labels(["cat", "dog"], str).tolist()
    ['cat', 'dog']
    >>> class_labels([0.5, 1.25, 3.125, 2.0], str)
    Traceback (most recent call last):
    tlengine.errors.LabelError: labels vary continuously (4 different numbers in 4 rows, such as 0.5): ...
    """
    items = [plain(value) for value in _items(values)]
    for row, value in enumerate(items):
        if is_missing(value) or (isinstance(value, float) and value in (np.inf, -np.inf)):
            raise LabelError(
                f"{place(row)}: the label is missing ({short(value)})",
                hint="fill it in or drop the row; extract and predict need no labels",
            )
    kind = _one_kind(items, place)
    if kind == "str":
        items = _texts(items, place, where)
    array = _exact(items) if kind == "number" else np.asarray(items)
    if array is None:
        row = max(range(len(items)), key=lambda row: abs(items[row]))
        raise LabelError(
            f"{place(row)}: {short(items[row])} has no exact place among these labels as a number of 64 bits",
            hint="write the labels as text",
        )
    _refuse_continuous(items, kind, "" if where is None else f"{where}: ")
    return array


def _exact(items: Sequence[Any]) -> npt.NDArray[Any] | None:
    """Numbers as an array that holds each of them as it is; None where there is no such array."""
    whole = all(isinstance(value, int) for value in items)
    for dtype in (np.int64, np.uint64) if whole else (np.float64,):
        try:
            array = np.array(items, dtype=dtype)
        except OverflowError:
            continue
        return array if array.tolist() == list(items) else None
    return None


def _items(values: Sequence[Any]) -> list[Any]:
    """One entry for each row; dates stay dates, which ``tolist`` makes numbers."""
    if isinstance(values, np.ndarray) and values.dtype.kind not in "mM":
        return list(values.tolist())
    return list(values)


def _one_kind(items: Sequence[Any], place: Callable[[int], str]) -> str:
    """``"str"``, ``"bool"`` or ``"number"``: what all labels are."""
    kinds = [_kind(value) for value in items]
    for row, (value, kind) in enumerate(zip(items, kinds, strict=True)):
        name = type(value).__name__
        if kind == "several":
            raise LabelError(
                f"{place(row)}: label {short(value)} is a {name}: a row has one class here",
                hint="for several labels per row use sklearn.preprocessing.MultiLabelBinarizer and "
                "tl.LinearProbe on features",
            )
        if kind == "other":
            raise LabelError(
                f"{place(row)}: label {short(value)} is a {name}, not text or a whole number",
                hint="write all labels as text (str) or all as whole numbers",
            )
        if kind != kinds[0]:
            raise LabelError(
                f"{place(row)}: label {short(value)} is a {name}, others are {type(items[0]).__name__}",
                hint="write all labels as text or all as whole numbers",
            )
    return kinds[0] if kinds else "str"


def _kind(value: Any) -> str:
    if isinstance(value, str | bool):
        return type(value).__name__
    if isinstance(value, int | float | np.number):
        return "number"
    several = isinstance(value, list | tuple | set | frozenset | dict) or getattr(value, "shape", ()) != ()
    return "several" if several else "other"


def _texts(items: list[str], place: Callable[[int], str], where: str | None) -> list[str]:
    for row, value in enumerate(items):
        if len(value) > _LONGEST:
            raise LabelError(
                f"{place(row)}: a label of {len(value):,} characters, such as {short(value)}; the limit is "
                f"{_LONGEST:,}",
                hint="name the column of the classes with --label",
            )
        check_text(value, place(row))
    if where is None:
        return [canonical(name) for name in items]
    names = class_names(items, where)
    traces = [name for name in dict.fromkeys(names) if name.lower() in _TRACES]
    if traces:
        warnings.warn(
            f"{where}: {names.count(traces[0])} labels are the text {traces[0]!r}, taken as a class; "
            "leave the cells empty if it stands for a missing label",
            TlengineWarning,
            stacklevel=3,
        )
    return names


def _refuse_continuous(items: list[Any], kind: str, where: str) -> None:
    """Codes such as ``250.1`` repeat: a class may have ten rows, and there may be many.

    One limit for numbers and for the same numbers as text, as a CSV has them.
    """
    if kind == "bool":
        return
    try:
        numbers = np.array([v.replace(",", ".") if kind == "str" else v for v in items], dtype=np.float64)
    except (ValueError, OverflowError):
        return
    if not np.isfinite(numbers).all():
        return
    distinct, n = len(np.unique(numbers)), len(items)
    whole = bool(np.all(numbers == np.floor(numbers)))
    repeated = min(max(_FEW, n // 10), n - n // 4)
    if distinct <= (max(_FEW, n // 2) if whole else repeated):
        return
    raise LabelError(
        f"{where}labels vary continuously ({distinct} different numbers in {n} rows, such as {items[0]}): "
        "this is regression, and tlengine classifies",
        hint="name the column that holds classes with --label, or cut the numbers into classes first",
    )
