"""Compare strategies on the first eight words of Reuters news (R8): where transfer helps, and where it stops.

    python scripts/short_texts.py [OUT]      default OUT: demo/short-texts

Needs ``../shared/data/reuters-r8-{train,test}.csv.gz`` (text and label columns) and the plugin minilm. The
split is that of the collection.
"""

from __future__ import annotations

import csv
import gzip
import sys
import tempfile
from pathlib import Path

import tlengine as tl

DATA = Path(__file__).parents[2] / "shared" / "data"
WORDS = 8
BUDGETS = (5, 10, 20, 50, "all")


def main(out: str = "demo/short-texts") -> int:
    """Writes the run and its report to ``out`` and prints the answer."""
    parts = {name: DATA / f"reuters-r8-{name}.csv.gz" for name in ("train", "test")}
    if missing := [str(path) for path in parts.values() if not path.is_file()]:
        print(f"error: {missing[0]} is not here", file=sys.stderr)
        print("hint: this comparison needs the Reuters files beside the repository", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "short-texts.csv"
        _write(parts, table)
        run = tl.compare(tl.load_dataset(table), "minilm", budgets=list(BUDGETS), out=out)
    print(run.table())
    print(run.verdict.answer)
    for name, path in run.save(out).items():
        print(f"{name}: {path}")
    return 0


def _write(parts: dict[str, Path], table: Path) -> None:
    """One table with the split in a column, texts cut to their first words."""
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label", "split"])
        for split, path in parts.items():
            with gzip.open(path, "rt", newline="", encoding="utf-8") as source:
                for row in csv.DictReader(source):
                    writer.writerow([" ".join(row["text"].split()[:WORDS]), row["label"], split])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
