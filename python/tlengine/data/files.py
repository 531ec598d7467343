"""Tables on disk: CSV, TSV and JSON lines (also ``.gz``), Parquet."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tlengine.data.decoding import read_lines
from tlengine.data.dialect import Record, read_records
from tlengine.data.names import canonical
from tlengine.data.scalars import short
from tlengine.data.tables import UNNAMED, SourceTable
from tlengine.errors import DatasetError, MissingPackageError

__all__ = ["TABLE_SUFFIXES", "read_table"]


def read_table(path: Path) -> SourceTable:
    """The table in ``path``, by its suffix.

    Raises:
        DatasetError: the file is not what its suffix says; the message has the line.
        EmptyInputError: the file is empty.
        MissingPackageError: Parquet without pyarrow.
    """
    return TABLE_SUFFIXES[table_suffix(path)](path)


def table_suffix(path: Path) -> str:
    """``".csv"`` for ``x.csv`` and ``x.csv.gz``."""
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix


def _csv(path: Path) -> SourceTable:
    records = read_records(path, read_lines(path), tsv=table_suffix(path) == ".tsv")
    header = _header(path, records[0]) if records else []
    rows = [_row(path, r, len(header)) for r in records[1:] if not _is_blank_line(r, len(header))]
    numbers = [r.line for r in records[1:] if not _is_blank_line(r, len(header))]
    columns = dict(zip(header, zip(*rows, strict=True), strict=True)) if rows else {}
    return SourceTable(
        name=path.name,
        names=header,
        rows=len(rows),
        column=lambda name: list(columns[name]),
        place=lambda row: f"{path}, line {numbers[row]}",
        folder=path.parent,
    )


def _header(path: Path, record: Record) -> list[str]:
    """The names of the columns, without the empty ones that spreadsheets leave at the end."""
    names = [canonical(name) for name in record.cells]
    while names and not names[-1]:
        names.pop()
    names = [name or f"{UNNAMED} {number}" for number, name in enumerate(names, 1)]
    _refuse_twice(names, f"{path}, line {record.line}")
    return names


def _refuse_twice(names: Sequence[str], where: str) -> None:
    name, count = next(iter(Counter(names).most_common(1)), ("", 0))
    if count > 1:
        number = "two" if count == 2 else str(count)
        raise DatasetError(f"{where}: {number} columns are named {name!r}", hint="rename one of them")


def _is_blank_line(record: Record, width: int) -> bool:
    """A line of delimiters, as spreadsheets leave them; in a table of one column it is an empty cell."""
    return width > 1 and not any(cell.strip() for cell in record.cells)


def _row(path: Path, record: Record, width: int) -> list[str]:
    cells = record.cells
    beyond = next((cell for cell in cells[width:] if cell.strip()), None)
    if len(cells) < width or beyond is not None:
        what = "" if beyond is None else f" ({short(beyond)} has no column)"
        raise DatasetError(
            f"{path}, line {record.line}: {len(cells)} fields, the header has {width}{what}",
            hint="quote fields that contain the delimiter",
        )
    return cells[:width]


def _json_lines(path: Path) -> SourceTable:
    records, numbers = [], []
    for number, line in enumerate(read_lines(path), 1):
        if line.strip():
            records.append(_json_object(path, number, line))
            numbers.append(number)
    return SourceTable(
        name=path.name,
        names=list(dict.fromkeys(name for record in records for name in record)),
        rows=len(records),
        column=lambda name: [record.get(name) for record in records],
        place=lambda row: f"{path}, line {numbers[row]}",
        folder=path.parent,
    )


def _json_object(path: Path, number: int, line: str) -> dict[str, Any]:
    place = f"{path}, line {number}"
    try:
        record = json.loads(line, object_pairs_hook=_once)
    except DatasetError as error:
        raise DatasetError(f"{place}: {error.message}", hint=error.hint) from None
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{place}: not JSON ({error})", hint="each line is one JSON object") from None
    if not isinstance(record, dict):
        raise DatasetError(
            f"{place}: a {type(record).__name__}, not an object",
            hint='each line is one JSON object, such as {"text": "...", "label": "..."}',
        )
    return record


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; JSON allows a name twice, and readers keep the last."""
    record = dict(pairs)
    if len(record) < len(pairs):
        _refuse_twice([name for name, _ in pairs], "the object")
    return record


def _parquet(path: Path) -> SourceTable:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise MissingPackageError(f"{path}: Parquet needs pyarrow", hint="pip install pyarrow") from None

    try:
        file = parquet.ParquetFile(path)
    except (ArrowException, OSError) as error:
        raise DatasetError(f"{path}: not a Parquet file ({error})", hint="check how it was written") from None
    names = list(file.schema_arrow.names)
    _refuse_twice(names, str(path))

    def column(name: str) -> Sequence[Any]:
        try:
            values: list[Any] = file.read(columns=[name]).column(name).to_pylist()
        except (ArrowException, OSError, ValueError, KeyError) as error:
            raise DatasetError(
                f"{path}, column {name!r}: cannot be read ({error})", hint="write the file again"
            ) from None
        return values

    return SourceTable(
        name=path.name,
        names=names,
        rows=file.metadata.num_rows,
        column=column,
        place=lambda row: f"{path}, row {row}",
        folder=path.parent,
        texts=frozenset(field.name for field in file.schema_arrow if _may_hold_text(str(field.type))),
    )


def _may_hold_text(kind: str) -> bool:
    return any(word in kind for word in ("string", "binary", "struct")) and not kind.startswith("list")


TABLE_SUFFIXES: dict[str, Callable[[Path], SourceTable]] = {
    ".csv": _csv,
    ".tsv": _csv,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".parquet": _parquet,
}
"""Readers by suffix; text formats may also end in ``.gz``."""
