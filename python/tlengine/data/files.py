"""Tables on disk: CSV, TSV and JSON lines (also ``.gz``), Parquet."""

from __future__ import annotations

import csv
import gzip
import json
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from tlengine.data.tables import Table
from tlengine.errors import DatasetError, EmptyInputError, MissingPackageError, TlengineWarning

__all__ = ["TABLE_SUFFIXES", "read_table"]

_FIELD_LIMIT = 64 << 20
"""The largest cell of a CSV, in characters."""


def read_table(path: Path) -> Table:
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


def _csv(path: Path) -> Table:
    lines = _lines(path)
    header_line = next(lines)
    delimiter = "\t" if table_suffix(path) == ".tsv" else max(",;\t", key=header_line.count)
    rows, numbers = [], []
    with _long_cells():
        reader = csv.reader(_chain(header_line, lines), delimiter=delimiter, strict=True)
        try:
            header = [name.strip() for name in next(reader)]
            _check_header(path, header)
            for row in reader:
                if not row:
                    continue
                if len(row) != len(header):
                    raise DatasetError(
                        f"{path}, line {reader.line_num}: {len(row)} fields, the header has {len(header)}",
                        hint="quote fields that contain the delimiter",
                    )
                rows.append(row)
                numbers.append(reader.line_num)
        except csv.Error as error:
            raise DatasetError(
                f"{path}, line {reader.line_num}: {error}", hint="check the quotes and line ends"
            ) from None
    columns = dict(zip(header, zip(*rows, strict=True), strict=True)) if rows else {}
    return Table(
        name=path.name,
        names=header,
        rows=len(rows),
        column=lambda name: list(columns[name]),
        place=lambda row: f"{path}, line {numbers[row]}",
        folder=path.parent,
    )


def _check_header(path: Path, header: list[str]) -> None:
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise DatasetError(f"{path}, line 1: two columns are named {twice!r}", hint="rename one of them")


def _chain(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


@contextmanager
def _long_cells() -> Iterator[None]:
    """Raise the limit of 128 KiB per cell, which is global to the process, and put it back."""
    before = csv.field_size_limit(_FIELD_LIMIT)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _lines(path: Path) -> Iterator[str]:
    """Decoded lines with their ends; the first is there, or the file is refused."""
    opener: Callable[..., Any] = gzip.open if path.suffix.lower() == ".gz" else open
    number = 0
    try:
        with opener(path, "rb") as file:
            for number, raw in enumerate(file, 1):
                yield _decoded(path, number, raw)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DatasetError(
            f"{path}, after line {number}: broken gzip data ({error})", hint="fetch the file again"
        ) from None
    if not number:
        raise EmptyInputError(f"{path}: the file is empty", hint="it needs a header and rows")


def _decoded(path: Path, number: int, raw: bytes) -> str:
    place = f"{path}, line {number}"
    if number == 1 and raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DatasetError(f"{place}: the file is UTF-16", hint=_recode(path, "UTF-16"))
    if number == 1 and raw[:3] == b"\xef\xbb\xbf":
        warnings.warn(f"{path}: 1 byte-order mark skipped", TlengineWarning, stacklevel=2)
        raw = raw[3:]
    if (at := raw.find(b"\0")) >= 0:
        raise DatasetError(
            f"{place}: a NUL byte at {at}: this is not text", hint="save the table as UTF-8 text"
        )
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"{place}: byte {raw[error.start]:#04x} at {error.start} is not UTF-8",
            hint=_recode(path, "LATIN1"),
        ) from None


def _recode(path: Path, encoding: str) -> str:
    return f"convert it: iconv -f {encoding} -t UTF-8 {path.name} > utf8-{path.name}"


def _json_lines(path: Path) -> Table:
    records, numbers = [], []
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise DatasetError(
                f"{path}, line {number}: not JSON ({error})", hint="each line is one JSON object"
            ) from None
        if not isinstance(record, dict):
            raise DatasetError(
                f"{path}, line {number}: a {type(record).__name__}, not an object",
                hint='each line is one JSON object, such as {"text": "...", "label": "..."}',
            )
        records.append(record)
        numbers.append(number)
    return Table(
        name=path.name,
        names=list(dict.fromkeys(name for record in records for name in record)),
        rows=len(records),
        column=lambda name: [record.get(name) for record in records],
        place=lambda row: f"{path}, line {numbers[row]}",
        folder=path.parent,
    )


def _parquet(path: Path) -> Table:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise MissingPackageError(f"{path}: Parquet needs pyarrow", hint="pip install pyarrow") from None

    try:
        schema = parquet.read_schema(path)
        rows = parquet.read_metadata(path).num_rows
    except (ArrowException, OSError) as error:
        raise DatasetError(f"{path}: not a Parquet file ({error})", hint="check how it was written") from None

    @cache
    def column(name: str) -> Sequence[Any]:
        try:
            values: list[Any] = parquet.read_table(path, columns=[name]).column(0).to_pylist()
        except (ArrowException, OSError) as error:
            raise DatasetError(
                f"{path}, column {name!r}: cannot be read ({error})", hint="write the file again"
            ) from None
        return values

    return Table(
        name=path.name,
        names=list(schema.names),
        rows=rows,
        column=column,
        place=lambda row: f"{path}, row {row}",
        folder=path.parent,
    )


TABLE_SUFFIXES: dict[str, Callable[[Path], Table]] = {
    ".csv": _csv,
    ".tsv": _csv,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".parquet": _parquet,
}
"""Readers by suffix; text formats may also end in ``.gz``."""
