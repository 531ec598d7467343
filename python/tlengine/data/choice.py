"""Which columns of a table are used, and what a sample is: named by the user, or guessed."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from tlengine.data.columns import USUAL, Columns, guess, named
from tlengine.data.paths import names_images
from tlengine.data.scalars import listed, short
from tlengine.errors import DatasetError, LabelError

__all__ = ["UNNAMED", "choose", "is_unnamed", "named_or_guessed"]

UNNAMED = "column"
"""Columns without a name are called by their number: ``"column 3"``. They are never guessed."""

_LOOKED_AT = 20


class _Table(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def names(self) -> Sequence[str]: ...
    @property
    def column(self) -> Callable[[str], Sequence[Any]]: ...
    @property
    def texts(self) -> frozenset[str] | None: ...


def choose(table: _Table, columns: Columns, modality: str | None, labels: str) -> dict[str, str]:
    """The column of each role that the table has; ``text`` or ``image`` is always there.

    Raises:
        DatasetError: a column that the table lacks, one column for two roles, no samples or two kinds.
        LabelError: labels are required and none are found.
    """
    asked = {role: named(name, role, table.names, table.name) for role, name in columns.given().items()}
    _refuse_leaks(table, asked)
    label = asked.get("label") or guess("label", table.names, list(asked.values()))
    if label is None and labels == "require":
        raise LabelError(
            f"{table.name}: no label column",
            hint=f"name one with --label; columns are: {listed(table.names)}",
        )
    asked |= {} if label is None else {"label": label}
    kind, content = _content(table, asked, modality)
    asked[kind] = content
    for role in ("group", "domain", "split", "id"):
        if role not in asked and (found := guess(role, table.names, list(asked.values()))) is not None:
            asked[role] = found
    order = (kind, "label", "group", "domain", "split", "id")
    left_out = "label" if labels == "ignore" else None
    return {role: asked[role] for role in order if role in asked and role != left_out}


def named_or_guessed(
    names: Sequence[str], columns: Columns, where: str, *, labelled: bool = False
) -> dict[str, str]:
    """The columns of a table of features that are no features, by role.

    Args:
        names: of the columns.
        columns: what the user named.
        where: of the table, for messages.
        labelled: the labels are elsewhere: only what the user named is set apart.

    Raises:
        DatasetError: a column that is not there.
    """
    asked = {role: named(name, role, names, where) for role, name in columns.given().items()}
    for role in () if labelled else ("label", "group", "domain", "split", "id"):
        if role not in asked and (found := guess(role, names, list(asked.values()))) is not None:
            asked[role] = found
    return asked


def _refuse_leaks(table: _Table, asked: dict[str, str]) -> None:
    if "text" in asked and "image" in asked:
        raise DatasetError(
            f"{table.name}: both a text and an image column are named", hint="name one of them"
        )
    content = asked.get("text") or asked.get("image")
    if content is not None and content == asked.get("label"):
        raise DatasetError(
            f"{table.name}: column {content!r} is named as sample and as label", hint="name two columns"
        )


def _content(table: _Table, asked: dict[str, str], modality: str | None) -> tuple[str, str]:
    """What a sample is, and the column that holds it."""
    for role in ("text", "image"):
        if role in asked:
            return role, asked[role]
    taken = list(asked.values())
    roles = [modality] if modality in ("text", "image") else ["text", "image"]
    usual = {role: found for role in roles if (found := guess(role, table.names, taken))}
    if len(usual) == 2:
        raise DatasetError(
            f"{table.name}: {usual['text']!r} looks like texts and {usual['image']!r} like images",
            hint=f"choose with --text {usual['text']} or --image {usual['image']}",
        )
    if "text" in usual and modality is None:
        _refuse_paths(table, usual["text"])
    if usual:
        return next(iter(usual.items()))
    return _only_column(table, roles, taken)


def _refuse_paths(table: _Table, column: str) -> None:
    values = table.column(column)
    if names_images(values):
        raise DatasetError(
            f"{table.name}: column {column!r} holds paths of images, such as {short(values[0])}",
            hint=f"say --image {column}, or --text {column} to embed the paths themselves as texts",
        )


def _only_column(table: _Table, roles: Sequence[str], taken: Sequence[str]) -> tuple[str, str]:
    """The one column of strings that no usual name explains."""
    explained = {*taken, *(guess(role, table.names) for role in USUAL)}
    free = [name for name in table.names if name not in explained and not is_unnamed(name)]
    rest = [n for n in free if (table.texts is None or n in table.texts) and _holds_text(table.column(n))]
    if len(rest) == 1:
        if not taken and guess("label", table.names) is None:
            _refuse_classes(table, rest[0], numbers=len(free) - 1)
        return roles[-1] if names_images(table.column(rest[0])) else roles[0], rest[0]
    hint = f"name it with --text or --image; columns are: {listed(table.names)}"
    if len(free) > 1 and not rest:
        hint += "; a table of numbers is passed as (X, y): features and labels apart"
    what = "no column" if not rest else f"{len(rest)} columns that may be the one"
    raise DatasetError(f"{table.name}: {what} of texts or image paths", hint=hint)


def _refuse_classes(table: _Table, column: str, *, numbers: int) -> None:
    """Words that repeat beside several columns of numbers are classes of features sooner than texts."""
    values = [value for value in table.column(column) if isinstance(value, str)]
    if numbers >= 2 and 2 * len(set(values)) <= len(values):
        raise DatasetError(
            f"{table.name}: {column!r} repeats {len(set(values))} words beside {numbers} columns of numbers",
            hint=f"name it: the label (then pass the numbers as X in (X, y), or a DataFrame with "
            f"label={column!r}), or the text (--text {column})",
        )


def is_unnamed(name: str) -> bool:
    """Whether a column got its name from a program, because it had none.

    >>> is_unnamed("column 1"), is_unnamed("Unnamed: 0"), is_unnamed("text")
    (True, True, False)
    """
    return re.fullmatch(rf"{UNNAMED} \d+|Unnamed: \d+|__index_level_\d+__", name) is not None


def _holds_text(values: Sequence[Any]) -> bool:
    """Whether some of the first values are strings that are no numbers."""
    return any(isinstance(value, str) and not _is_number(value) for value in values[:_LOOKED_AT])


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return not text.strip()
    return True
