"""How a text table is written: its delimiter, and whether quotes in it are quotes.

CSV quotes by RFC 4180. TSV as people write it has no quoting; as programs write it, it has. A quote that is
none swallows the rows up to the next one, without an error. So both readings are tried where there are
quotes: what fits one reading alone is read that way, what fits both with different rows is read as the
evidence says, and where there is none, it is an error that names the line.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tlengine.errors import DatasetError

__all__ = ["Record", "read_records"]

_FIELD_LIMIT = 1 << 30
"""The largest cell, in characters; the module ``csv`` has a limit of its own, global to the process."""

_DELIMITERS = ",;\t|"
_LOOKED_AT = 100
_SEP = re.compile(r'"?sep=(\\t|.)"?[,;\t|]*', re.IGNORECASE)
_QUOTE = "double the quotes inside a cell and put quotes around it (csv.QUOTE_ALL writes that)"


@dataclass(frozen=True, slots=True)
class Record:
    """A row as written: its first line, counted from 1, how many lines it spans, and its cells."""

    line: int
    lines: int
    cells: list[str]


def read_records(path: Path, lines: Sequence[str], *, tsv: bool) -> list[Record]:
    """The records of a table, header first, blank lines left out.

    Args:
        path: for messages.
        lines: of the file, without their ends.
        tsv: a tab separates cells where the header has one.

    Raises:
        DatasetError: quotes that do not close, or that may swallow rows; the message has the line.
    """
    skip, delimiter = _first_line(lines, tsv)
    table = _Lines(path=path, lines=lines, skip=skip, delimiter=delimiter)
    raw = table.unquoted()
    if not any('"' in line for line in lines):
        return table.without_returns(raw)
    raw_fits = _fits_all(raw) and not any("\r" in cell for record in raw for cell in record.cells)
    tabs = delimiter == "\t"
    try:
        quoted = table.quoted()
    except DatasetError:
        if tabs and raw_fits:
            return raw
        raise
    if tabs and raw_fits and not _fits_all(quoted):
        return raw
    merged = [record for record in quoted if record.lines > 1]
    if not merged:
        return raw if tabs and raw_fits and _bare_quotes(raw) else quoted
    suspect = _swallowed(table, quoted, merged, raw_fits)
    if suspect is None:
        return quoted
    if tabs and raw_fits and _are_rows(table, raw, merged, suspect):
        return raw
    raise DatasetError(
        f"{path}, line {suspect.line}: a quote opens a cell that ends in line "
        f"{suspect.line + suspect.lines - 1}, and each line between could be a row of its own",
        hint=f"{_QUOTE}; or write JSON lines, one object per row",
    )


def _are_rows(table: _Lines, raw: Sequence[Record], merged: Sequence[Record], suspect: Record) -> bool:
    """Whether the lines of ``suspect`` look like the rows that no quote can have swallowed."""
    width = _width(raw[0].cells)
    inside = {line for record in merged for line in range(record.line, record.line + record.lines)}
    free = _counts([record.cells for record in raw[1:] if record.line not in inside], width)
    return _repeats(_pieces(table, suspect, width), free, times=1)


def _first_line(lines: Sequence[str], tsv: bool) -> tuple[int, str]:
    """Where the header stands, and the delimiter: named by ``sep=`` above it, else what fits best."""
    skip = next((i for i, line in enumerate(lines) if line.strip()), 0)
    if named := _SEP.fullmatch(lines[skip].strip(" \r\ufeff")):
        return skip + 1, "\t" if named[1] == "\\t" else named[1]
    header = lines[skip]
    found = [d for d in _DELIMITERS if d in header]
    if len(found) < 2 or (tsv and "\t" in found):
        return skip, "\t" if tsv and (not found or "\t" in found) else (found or [","])[0]
    sample = [line for line in lines[skip : skip + _LOOKED_AT] if line.strip()]

    def fit(delimiter: str) -> tuple[int, int]:
        widths = [len(next(csv.reader([line], delimiter=delimiter), [])) for line in sample]
        return widths.count(widths[0]), widths[0]

    with _long_cells():
        return skip, max(found, key=fit)


@dataclass(frozen=True, kw_only=True)
class _Lines:
    path: Path
    lines: Sequence[str]
    skip: int
    delimiter: str

    def unquoted(self) -> list[Record]:
        """Each line a record, each quote a character."""
        return [
            Record(number, 1, line.removesuffix("\r").split(self.delimiter))
            for number, line in enumerate(self.lines[self.skip :], self.skip + 1)
            if line.strip("\r")
        ]

    def without_returns(self, records: list[Record]) -> list[Record]:
        """``records``, if no cell outside quotes has a carriage return, which other readers end a row at."""
        if any("\r" in line[:-1] for line in self.lines):
            odd = next(r.line for r in records if any("\r" in cell for cell in r.cells))
            raise self._error(odd, "a carriage return inside a line")
        return records

    def quoted(self) -> list[Record]:
        """By RFC 4180."""
        records, start = [], self.skip
        with _long_cells():
            reader = csv.reader(
                (line + "\n" for line in self.lines[self.skip :]), delimiter=self.delimiter, strict=True
            )
            try:
                for cells in reader:
                    end = self.skip + reader.line_num
                    if cells:
                        records.append(Record(start + 1, end - start, cells))
                    start = end
            except csv.Error as error:
                raise self._error(start + 1, str(error)) from None
        return records

    def _error(self, line: int, what: str) -> DatasetError:
        return DatasetError(
            f"{self.path}, line {line}: {what}", hint=f"check the quotes and line ends; {_QUOTE}"
        )


@contextmanager
def _long_cells() -> Iterator[None]:
    """Raise the limit of 128 KiB per cell, which is global to the process, and put it back."""
    before = csv.field_size_limit(_FIELD_LIMIT)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _width(header: Sequence[str]) -> int:
    """The columns up to the last one with a name: spreadsheets add empty ones."""
    return max((i for i, name in enumerate(header, 1) if name.strip()), default=0)


def _fits(cells: Sequence[str], width: int) -> bool:
    return len(cells) >= width and not any(cell.strip() for cell in cells[width:])


def _fits_all(records: Sequence[Record]) -> bool:
    width = _width(records[0].cells) if records else 0
    return all(_fits(record.cells, width) for record in records)


def _bare_quotes(records: Sequence[Record]) -> bool:
    """Whether quotes stand where no writer that quotes leaves them, and none is doubled as it would be."""
    cells = [cell for record in records for cell in record.cells if '"' in cell]
    around = [cell[1:-1] for cell in cells if len(cell) > 1 and cell[0] == cell[-1] == '"']
    return len(around) < len(cells) and not any('""' in inside for inside in around)


def _swallowed(
    table: _Lines, quoted: Sequence[Record], merged: Sequence[Record], raw_fits: bool
) -> Record | None:
    """The first record over several lines that may be several rows.

    Its first and its last line have a cell for each column. That happens by chance in a text with line ends
    and delimiters, so one thing more is asked: no quotes around the names of the columns, and either every
    line of the file could be a row, or the cells of some column stand there more than once.
    """
    if table.lines[table.skip].startswith('"'):
        return None
    width = _width(quoted[0].cells)
    suspects = [record for record in merged if _could_be_rows(table, record, width)]
    if not suspects or raw_fits:
        return suspects[0] if suspects else None
    single = [record.cells for record in quoted if record.lines == 1]
    pieces = [_pieces(table, record, width) for record in suspects]
    counts = _counts([*single, *(cells for lines in pieces for cells in lines)], width)
    return next((r for r, lines in zip(suspects, pieces, strict=True) if _repeats(lines, counts)), None)


def _could_be_rows(table: _Lines, record: Record, width: int) -> bool:
    first, last = (table.lines[record.line - 1 + at].removesuffix("\r") for at in (0, record.lines - 1))
    return all(_fits(line.split(table.delimiter), width) for line in (first, last))


def _pieces(table: _Lines, record: Record, width: int) -> list[list[str]]:
    """The lines of ``record`` that could be rows, as rows."""
    lines = table.lines[record.line - 1 : record.line - 1 + record.lines]
    rows = [line.removesuffix("\r").split(table.delimiter) for line in lines]
    return [cells for cells in rows if _fits(cells, width)]


def _counts(rows: Iterable[list[str]], width: int) -> list[Counter[str]]:
    """How often each cell stands in its column."""
    return [
        Counter(cell.strip() for cell in column) for column in zip(*(r[:width] for r in rows), strict=False)
    ]


def _repeats(pieces: Sequence[Sequence[str]], counts: Sequence[Counter[str]], times: int = 2) -> bool:
    """Whether all of ``pieces`` have in some column, without quotes, what stands there so many times."""
    columns = [[cells[at].strip() for cells in pieces] for at in range(len(counts))]
    return any(
        all(cell and '"' not in cell and count[cell] >= times for cell in column)
        for column, count in zip(columns, counts, strict=True)
    )
