"""One table in every form that people have it in."""

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

Columns = dict[str, list[Any]]


def _records(columns: Columns) -> list[dict[str, Any]]:
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _csv(columns: Columns, folder: Path, *, delimiter: str = ",", suffix: str = ".csv") -> Path:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter).writerows([list(columns), *zip(*columns.values(), strict=True)])
    path, content = folder / f"t{suffix}", out.getvalue().encode()
    path.write_bytes(gzip.compress(content) if suffix.endswith(".gz") else content)
    return path


def _jsonl(columns: Columns, folder: Path) -> Path:
    path = folder / "t.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in _records(columns)))
    return path


def _parquet(columns: Columns, folder: Path) -> Path:
    pq.write_table(pa.table(columns), folder / "t.parquet")
    return folder / "t.parquet"


class Items:
    """A map-style dataset of dicts."""

    def __init__(self, records: list[dict[str, Any]]) -> None:
        self.records = records

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, row: int) -> dict[str, Any]:
        return self.records[row]


TEXT_FILES: dict[str, Callable[[Columns, Path], Any]] = {
    "csv": _csv,
    "semicolons": lambda columns, folder: _csv(columns, folder, delimiter=";"),
    "tsv": lambda columns, folder: _csv(columns, folder, delimiter="\t", suffix=".tsv.gz"),
}
"""Everything is text in these."""

TYPED: dict[str, Callable[[Columns, Path], Any]] = {
    "jsonl": _jsonl,
    "parquet": _parquet,
    "pandas": lambda columns, _: pd.DataFrame(columns, index=[7 * i for i in range(len(columns["label"]))]),
    "arrow": lambda columns, _: pa.table(columns),
    "columns": lambda columns, _: columns,
    "records": lambda columns, _: _records(columns),
    "hub": lambda columns, _: datasets.Dataset.from_dict(columns),
    "map style": lambda columns, _: Items(_records(columns)),
}
"""These keep types apart."""

FORMS = TEXT_FILES | TYPED
