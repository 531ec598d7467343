"""Tables in memory: frames of pandas, polars and Arrow, dicts of columns, lists of dicts.

No package is imported for it.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.data.choice import is_unnamed, named_or_guessed
from tlengine.data.columns import Columns
from tlengine.data.names import canonical
from tlengine.data.scalars import is_missing, listed, short
from tlengine.data.tables import SourceTable
from tlengine.errors import DatasetError, ShapeMismatchError, TlengineWarning

__all__ = ["feature_columns", "frame_table", "is_frame", "records_table"]


def is_frame(source: Any) -> bool:
    """Whether ``source`` is a two-dimensional frame of pandas, polars or Arrow, by what it does.

    >>> is_frame([1, 2])
    False
    """
    return _package(source) in _READERS and hasattr(source, "shape") and hasattr(source, "columns")


def _package(source: Any) -> str:
    return type(source).__module__.partition(".")[0]


def _names(source: Any) -> list[Any]:
    return list(source.column_names if hasattr(source, "column_names") else source.columns)


_READERS: dict[str, Callable[[Any, int], Sequence[Any]]] = {
    "pandas": lambda frame, at: list(frame.iloc[:, at].tolist()),
    "polars": lambda frame, at: list(frame.to_series(at).to_list()),
    "pyarrow": lambda frame, at: list(frame.column(at).to_pylist()),
}
"""How each package gives a column, by its position, as plain values."""


def frame_table(source: Any, name: str | None = None) -> SourceTable:
    """The columns of a frame, or of a dict of columns. An index of rows is left aside.

    Raises:
        DatasetError: two columns of one name, or names in levels.
        ShapeMismatchError: columns of different length.
    """
    name = name or type(source).__name__
    if isinstance(source, Mapping):
        return _column_table(source, name)
    read = _READERS[_package(source)]
    position = {column: at for at, column in enumerate(_column_names(_names(source), name))}
    return SourceTable(
        name=name,
        names=[column for column in position if not _INDEX.fullmatch(column)],
        rows=len(source) if hasattr(source, "__len__") else int(source.num_rows),
        column=cache(lambda column: read(source, position[column])),
        place=lambda row: f"{name}, row {row}",
    )


_INDEX = re.compile(r"__index_level_\d+__")
"""How Arrow calls the index of a pandas frame."""


def _column_names(names: Sequence[Any], where: str) -> list[str]:
    if any(isinstance(name, tuple) for name in names):
        raise DatasetError(
            f"{where}: names of columns in levels, such as {short(names[0])}",
            hint="give each column one name: df.columns = ['_'.join(map(str, c)) for c in df.columns]",
        )
    found = [canonical(str(name)) for name in names]
    twice = next((name for name, count in Counter(found).most_common(1) if count > 1), None)
    if twice is not None:
        raise DatasetError(f"{where}: two columns are named {twice!r}", hint="rename one of them")
    return found


def _column_table(source: Mapping[Any, Any], name: str) -> SourceTable:
    names = _column_names(list(source), name)
    columns: dict[str, list[Any]] = {}
    for column, values in zip(names, source.values(), strict=True):
        if isinstance(values, str | bytes | Mapping) or is_frame(values) or not hasattr(values, "__len__"):
            raise DatasetError(
                f"{name}: {column!r} is a {type(values).__name__}, not a column",
                hint="pass a dict of columns {'text': [...], 'label': [...], 'split': [...]}, or "
                "{'X': X, 'y': y}",
            )
        columns[column] = list(values.tolist() if hasattr(values, "tolist") else values)
    lengths = {column: len(values) for column, values in columns.items()}
    if len(set(lengths.values())) > 1:
        (most, _), *_ = Counter(lengths.values()).most_common()
        odd = next(column for column, length in lengths.items() if length != most)
        raise ShapeMismatchError(f"{name}: column {odd!r} has {lengths[odd]} rows, others have {most}")
    return SourceTable(
        name=name,
        names=names,
        rows=next(iter(lengths.values()), 0),
        column=lambda column: columns[column],
        place=lambda row: f"{name}, row {row}",
    )


def records_table(records: Sequence[Mapping[Any, Any]], name: str = "records") -> SourceTable:
    """A list of dicts, one for each row; a key that is absent is a missing value."""
    names = list(dict.fromkeys(key for record in records for key in record))
    real = dict(zip(_column_names(names, name), names, strict=True))
    return SourceTable(
        name=name,
        names=list(real),
        rows=len(records),
        column=lambda column: [record.get(real[column]) for record in records],
        place=lambda row: f"{name}[{row}]",
    )


_NUMERIC = ("int", "uint", "float", "double", "half", "bool")
"""How the names of numeric types begin."""


def feature_columns(
    source: Any, columns: Columns, *, labelled: bool
) -> tuple[npt.NDArray[np.float64], SourceTable, dict[str, str]] | None:
    """A frame of features: its numbers, and the columns of labels, groups, domains, splits and ids by role.

    Columns without a name, which are indexes that were saved, are left out with a warning.

    Args:
        source: a frame.
        columns: what the user named.
        labelled: the labels are elsewhere, and no column is guessed.

    Returns:
        (n, d) numbers, the frame as a table, and the other columns by role; None where a column besides
        those holds something else than numbers, or none is left.
    """
    table = frame_table(source)
    chosen = named_or_guessed(table.names, columns, table.name, labelled=labelled)
    taken = set(chosen.values())
    position = {name: at for at, name in enumerate(_column_names(_names(source), table.name))}
    rest = [name for name in table.names if name not in taken and not is_unnamed(name)]
    if not rest or not all(_is_numeric(source, position[name]) for name in rest):
        return None
    if index := [name for name in table.names if name not in taken and is_unnamed(name)]:
        warnings.warn(
            f"{table.name}: {listed(index)} has no name, as a saved index has none, and is no feature",
            TlengineWarning,
            stacklevel=5,
        )
    return np.column_stack([_numbers(source, position[name]) for name in rest]), table, chosen


def _is_numeric(source: Any, at: int) -> bool:
    if _package(source) == "pandas":
        return getattr(source.dtypes.iloc[at], "kind", "O") in "biuf"
    kind = source.schema.field(at).type if _package(source) == "pyarrow" else source.dtypes[at]
    return str(kind).lower().startswith(_NUMERIC)


def _numbers(source: Any, at: int) -> npt.NDArray[np.float64]:
    """A column of numbers; what is missing is NaN."""
    package = _package(source)
    column = source.iloc[:, at] if package == "pandas" else None
    array = np.asarray(_READERS[package](source, at) if column is None else column.to_numpy())
    if array.dtype == object:
        array = np.array([np.nan if is_missing(value) else value for value in array])
    return array.astype(np.float64)
