"""Tables become datasets: columns are chosen, checked and given their meaning."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.data.choice import UNNAMED, choose
from tlengine.data.columns import Columns
from tlengine.data.dataset import Dataset, check_text
from tlengine.data.labels import class_labels
from tlengine.data.paths import as_image
from tlengine.data.roles import name_column, role_column
from tlengine.data.scalars import as_text, is_missing, listed, plain, short
from tlengine.errors import DatasetError, EmptyInputError, LabelError, TlengineWarning

__all__ = ["UNNAMED", "LabelMode", "SourceTable", "dataset_from_table", "split_roles", "text_of"]

LabelMode = str
"""``"auto"``, ``"require"`` or ``"ignore"``; see :func:`~tlengine.data.load_dataset`."""


@dataclass(frozen=True, kw_only=True)
class SourceTable:
    """Columns of equal length, read when asked for.

    Attributes:
        name: of the source, for messages.
        names: the columns, in order.
        rows: how many.
        column: reads one column: ``rows`` values.
        place: where a row stands, such as ``"data.csv, line 7"``.
        folder: what relative image paths start from.
        classes: names for the whole numbers of a label column.
        texts: the columns that may hold texts or paths; None where only their values say it.
    """

    name: str
    names: Sequence[str]
    rows: int
    column: Callable[[str], Sequence[Any]]
    place: Callable[[int], str]
    folder: Path | None = None
    classes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    texts: frozenset[str] | None = None

    def where(self, column: str) -> str:
        """A column, for messages."""
        return f"{self.name}, column {column!r}"


def dataset_from_table(
    table: SourceTable,
    columns: Columns,
    *,
    modality: str | None = None,
    labels: LabelMode = "auto",
    splits: npt.NDArray[np.str_] | None = None,
    ids: npt.NDArray[np.str_] | None = None,
) -> Dataset:
    """The samples of ``table``.

    Rows of a split in which no row has a label (missing, or -1 as Hub data write it) are left out with a
    warning, unless labels are ignored.

    Args:
        table: with one row at least.
        columns: what the user named; the usual names are tried for the rest.
        modality: settles a table with both texts and images.
        labels: see :func:`~tlengine.data.load_dataset`.
        splits: roles that are known already; the table's own column of splits is then left alone.
        ids: what the rows are called where the table has no column of ids; default: row numbers.

    Raises:
        DatasetError: a column is missing or holds what it should not.
        EmptyInputError: no rows.
        LabelError: see :func:`~tlengine.data.labels.class_labels`.
    """
    if not table.rows:
        raise EmptyInputError(f"{table.name}: the table has no rows", hint="it holds a header alone")
    chosen = choose(table, columns, modality, labels)
    kind = "text" if "text" in chosen else "image"
    if splits is None:
        splits = split_roles(table, chosen, columns.split)
    else:
        chosen.pop("split", None)
    y, labelled = _labels(table, chosen.get("label"), splits)
    values = table.column(chosen[kind])
    contents = (_texts if kind == "text" else _images)(table, values)
    dataset = Dataset(
        name=table.name,
        modality=kind,  # type: ignore[arg-type]
        ids=_ids(table, chosen.pop("id", None), _paths(values) if kind == "image" else None, ids),
        contents=contents,
        y=y,
        groups=_names(table, "group", chosen.get("group")),
        domains=_names(table, "domain", chosen.get("domain")),
        splits=splits,
        metadata={"columns": listed(table.names), **chosen},
    )
    return dataset if labelled is None else dataset.take(labelled)


def text_of(value: Any, place: str) -> str:
    """A cell as a text: what is missing is an empty text, UTF-8 bytes are decoded.

    Empty texts are left out and counted when the dataset is embedded, as unreadable images are.

    Raises:
        DatasetError: a number, a list: anything else.
    """
    value = plain(value)
    if not isinstance(value, str) and is_missing(value):
        return ""
    if not isinstance(value, str):
        raise DatasetError(
            f"{place}: the text is {short(value)}, not a string", hint="write it as text, or drop the row"
        )
    check_text(value, place)
    return value


def _texts(table: SourceTable, values: Sequence[Any]) -> list[str]:
    return [text_of(value, table.place(row)) for row, value in enumerate(values)]


def _images(table: SourceTable, values: Sequence[Any]) -> Sequence[Any]:
    if not isinstance(values, list):
        return values
    return [as_image(value, table.folder, table.place(row)) for row, value in enumerate(values)]


def _labels(
    table: SourceTable, label: str | None, splits: npt.NDArray[np.str_] | None
) -> tuple[npt.NDArray[Any] | None, npt.NDArray[np.bool_] | None]:
    """The labels, and the rows to keep where a whole split has none."""
    if label is None:
        return None, None
    values = [plain(value) for value in table.column(label)]
    labelled = _labelled(values, splits)
    rows = np.arange(table.rows) if labelled is None else np.flatnonzero(labelled)
    if labelled is not None and splits is not None:
        bare = ", ".join(sorted(set(splits[~labelled].tolist())))
        warnings.warn(
            f"{table.where(label)}: no row of the split {bare} has a label; its {int((~labelled).sum())} "
            "rows are left out (labels='ignore' keeps them)",
            TlengineWarning,
            stacklevel=4,
        )
    names = table.classes.get(label)

    def place(i: int) -> str:
        return f"{table.place(int(rows[i]))}, column {label!r}"

    kept = [values[row] for row in rows]
    if names is not None:
        kept = [_class(value, names, label, partial(place, i)) for i, value in enumerate(kept)]
    y = class_labels(kept, place, where=table.where(label))
    if labelled is None:
        return y, None
    whole = np.empty(table.rows, dtype=y.dtype)
    whole[rows] = y
    return whole, labelled


def _class(value: Any, names: Sequence[str], label: str, place: Callable[[], str]) -> Any:
    """The name of a class by its number; what is missing stays so."""
    if not isinstance(value, int):
        return value
    if 0 <= value < len(names):
        return names[value]
    raise LabelError(
        f"{place()}: {value} is none of the {len(names)} classes ({listed(names, 4)}); "
        "-1 stands for a label that is not known",
        hint=f"leave such rows out: ds.filter(lambda row: row[{label!r}] >= 0), or pass labels='ignore'",
    )


def _labelled(values: list[Any], splits: npt.NDArray[np.str_] | None) -> npt.NDArray[np.bool_] | None:
    """Which rows stand in a split that has labels; None where all do, or where none does."""
    if splits is None:
        return None
    missing = np.array([is_missing(value) for value in values])
    # -1 in every row of a split and in no row of another one is the Hub's way of writing "unknown".
    minus = np.array([isinstance(value, int | float | str) and value in (-1, "-1") for value in values])
    for absent in (missing, missing | minus):
        roles = {role: bool(absent[splits == role].all()) for role in np.unique(splits).tolist()}
        bare = np.isin(splits, [role for role, none in roles.items() if none])
        if bare.any() and not bare.all() and not absent[~bare].any():
            return ~bare
    return None


def _ids(
    table: SourceTable, column: str | None, paths: Sequence[Any] | None, default: npt.NDArray[np.str_] | None
) -> npt.NDArray[np.str_]:
    """The column of ids if no two are equal, else the paths if no two are equal, else row numbers."""
    for values in (table.column(column) if column else None, paths):
        if values is not None and (names := _distinct_names(values)) is not None:
            return np.array(names)
    return np.array([str(row) for row in range(table.rows)]) if default is None else default


def _paths(values: Sequence[Any]) -> Sequence[Any] | None:
    """The values where all are paths, and so may be names; encoded images are never looked into."""
    return values if isinstance(values, list) and all(isinstance(v, str | Path) for v in values) else None


def _distinct_names(values: Sequence[Any]) -> list[str] | None:
    """The values as names, if they are: texts of moderate length or whole numbers, no two equal."""
    plain_values = [plain(value) for value in values]
    if not all(isinstance(v, str | int) and len(str(v)) <= 1_000 for v in plain_values):
        return None
    names = [as_text(value).rstrip("\0") for value in plain_values]
    return names if len(set(names)) == len(names) else None


def _names(table: SourceTable, role: str, column: str | None) -> npt.NDArray[np.str_] | None:
    if column is None:
        return None
    return name_column(table.column(column), role, table.where(column), table.place)


def split_roles(table: SourceTable, chosen: dict[str, str], asked: str | None) -> npt.NDArray[np.str_] | None:
    """Roles; a guessed column without any word for a split goes from ``chosen``, with a warning.

    Args:
        table: with the column.
        chosen: the columns of the table by role.
        asked: the column of splits, if the user named it.

    Raises:
        DatasetError: a word that is no split, beside some that are.
    """
    column = chosen.get("split")
    if column is None:
        return None
    roles = role_column(table.column(column), table.where(column), table.place, sure=asked is not None)
    if roles is None:
        del chosen["split"]
    return roles
