"""Tables become datasets: columns are chosen, checked and given their meaning."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.data.columns import IMAGE_SUFFIXES, ROLE_NAMES, USUAL, Columns, guess, named
from tlengine.data.dataset import Dataset, check_text
from tlengine.data.labels import class_labels
from tlengine.errors import DatasetError, EmptyInputError, LabelError

__all__ = ["LabelMode", "Table", "dataset_from_table"]

LabelMode = str
"""``"auto"``, ``"require"`` or ``"ignore"``; see :func:`~tlengine.data.load_dataset`."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Columns of equal length, read when asked for.

    Attributes:
        name: of the source, for messages.
        names: the columns, in order.
        rows: how many.
        column: reads one column: ``rows`` values.
        place: where a row stands, such as ``"data.csv, line 7"``.
        folder: what relative image paths start from.
        classes: names for the whole numbers of a label column.
    """

    name: str
    names: Sequence[str]
    rows: int
    column: Callable[[str], Sequence[Any]]
    place: Callable[[int], str]
    folder: Path | None = None
    classes: Mapping[str, Sequence[str]] = field(default_factory=dict)


def dataset_from_table(
    table: Table, columns: Columns, *, modality: str | None = None, labels: LabelMode = "auto"
) -> Dataset:
    """The samples of ``table``.

    Raises:
        DatasetError: a column is missing or holds what it should not.
        EmptyInputError: no rows.
        LabelError: see :func:`~tlengine.data.labels.class_labels`.
    """
    if not table.rows:
        raise EmptyInputError(f"{table.name}: the table has no rows", hint="it holds a header alone")
    label = _label_column(table, columns, labels)
    kind, content = _content_column(table, columns, modality, label)
    chosen = {
        kind: content,
        **({} if label is None else {"label": label}),
        **_others(table, columns, content, label),
    }
    values = table.column(content)
    splits = _splits(table, chosen, columns.split)
    return Dataset(
        name=table.name,
        modality=kind,  # type: ignore[arg-type]
        ids=_ids(table, chosen.pop("id", None), values if kind == "image" else None),
        contents=_texts(table, values) if kind == "text" else _images(table, values),
        y=None if label is None else _labels(table, label),
        groups=_strings(table, "group", chosen.get("group")),
        domains=_strings(table, "domain", chosen.get("domain")),
        splits=splits,
        metadata={"columns": ", ".join(table.names), **chosen},
    )


def _others(table: Table, columns: Columns, *taken: str | None) -> dict[str, str]:
    """The columns of ids, groups, domains and splits: as named, or by their usual names."""
    found = {role: getattr(columns, role) for role in ("group", "domain", "split")}
    for role, column in found.items():
        if column is not None:
            named(column, role, table.names, table.name)
    used = (*taken, *found.values())
    guessed = {role: guess(role, table.names, used) for role in (*found, "id") if found.get(role) is None}
    return {role: column for role, column in {**found, **guessed}.items() if column is not None}


def _label_column(table: Table, columns: Columns, labels: LabelMode) -> str | None:
    if labels == "ignore":
        return None
    if columns.label is not None:
        return named(columns.label, "label", table.names, table.name)
    found = guess(
        "label", table.names, (columns.text, columns.image, columns.group, columns.domain, columns.split)
    )
    if found is None and labels == "require":
        raise LabelError(
            f"{table.name}: no label column",
            hint=f"name one with --label; columns are: {', '.join(table.names)}",
        )
    return found


def _content_column(
    table: Table, columns: Columns, modality: str | None, label: str | None
) -> tuple[str, str]:
    """What a sample is, and the column that holds it."""
    asked = {"text": columns.text, "image": columns.image}
    given = {role: column for role, column in asked.items() if column is not None}
    if len(given) == 2:
        raise DatasetError(
            f"{table.name}: both a text and an image column are named", hint="name one of them"
        )
    for role, column in given.items():
        return role, named(column, role, table.names, table.name)
    roles = [modality] if modality in asked else list(asked)
    usual = {role: found for role in roles if (found := guess(role, table.names, (label,)))}
    if len(usual) == 1:
        return next(iter(usual.items()))
    if len(usual) == 2:
        raise DatasetError(
            f"{table.name}: {usual['text']!r} looks like texts and {usual['image']!r} like images",
            hint=f"choose with --text {usual['text']} or --image {usual['image']}",
        )
    return _only_column(table, roles, label)


def _only_column(table: Table, roles: Sequence[str], label: str | None) -> tuple[str, str]:
    """The one column of strings that no usual name explains."""
    explained = {label, *(guess(role, table.names) for role in USUAL)}
    rest = [n for n in table.names if n not in explained and isinstance(table.column(n)[0], str)]
    if len(rest) == 1:
        is_path = Path(table.column(rest[0])[0]).suffix.lower() in IMAGE_SUFFIXES
        return roles[-1] if is_path else roles[0], rest[0]
    raise DatasetError(
        f"{table.name}: no column of texts or image paths",
        hint=f"name it with --text or --image; columns are: {', '.join(table.names)}",
    )


def _texts(table: Table, values: Sequence[Any]) -> list[str]:
    for row, value in enumerate(values):
        if not isinstance(value, str):
            raise DatasetError(
                f"{table.place(row)}: the text is {value!r}, not a string", hint="fill it in or drop the row"
            )
        check_text(value, table.place(row))
    return list(values)


def _images(table: Table, values: Sequence[Any]) -> Sequence[Any]:
    if not isinstance(values, list):
        return values
    return [_image(table, row, value) for row, value in enumerate(values)]


def _image(table: Table, row: int, value: Any) -> Any:
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, str) and value.strip() and "\0" not in value:
        path = Path(value).expanduser()
        return table.folder / path if table.folder is not None else path
    if isinstance(value, Path | bytes) or hasattr(value, "convert"):
        return value
    raise DatasetError(f"{table.place(row)}: {value!r} is no image path", hint="fill it in or drop the row")


def _labels(table: Table, label: str) -> npt.NDArray[Any]:
    values = table.column(label)
    if names := table.classes.get(label):
        values = [names[v] if isinstance(v, int) and 0 <= v < len(names) else None for v in values]
    return class_labels(values, lambda row: f"{table.place(row)}, column {label!r}")


def _ids(table: Table, column: str | None, paths: Sequence[Any] | None) -> npt.NDArray[np.str_]:
    """The column of ids if no two are equal, else the paths if no two are equal, else row numbers."""
    for values in (table.column(column) if column else None, paths):
        if values is not None and _are_names(values):
            return np.array([str(value) for value in values])
    return np.array([str(row) for row in range(table.rows)])


def _are_names(values: Sequence[Any]) -> bool:
    return all(isinstance(value, str | int) for value in values) and len(set(values)) == len(values)


def _strings(table: Table, role: str, column: str | None) -> npt.NDArray[np.str_] | None:
    """A column of names, none of them missing: a row without a group could stand on both sides."""
    if column is None:
        return None
    values = table.column(column)
    for row, value in enumerate(values):
        if value is None or value != value or (isinstance(value, str) and not value.strip()):
            raise DatasetError(
                f"{table.place(row)}: {role} column {column!r} is empty",
                hint="fill it in or rename the column",
            )
    return np.array([str(value) for value in values])


def _splits(table: Table, chosen: dict[str, str], asked: str | None) -> npt.NDArray[np.str_] | None:
    """Roles; a guessed column that holds anything else is no split and goes from ``chosen``."""
    column = chosen.get("split")
    if column is None:
        return None
    values = table.column(column)
    roles = [ROLE_NAMES.get(str(value).strip().lower()) for value in values]
    if None not in roles:
        return np.array(roles)
    if asked is None:
        del chosen["split"]
        return None
    row = roles.index(None)
    raise DatasetError(
        f"{table.place(row)}: {values[row]!r} is no split",
        hint=f"splits are: {', '.join(sorted(ROLE_NAMES))}",
    )
