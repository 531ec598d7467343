"""How text tables are written: quotes that swallow rows, delimiters, encodings, line ends."""

import csv
import io
import warnings
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlengine.data import Dataset, load_dataset
from tlengine.errors import DatasetError, LabelError


def load(folder: Path, name: str, content: str | bytes) -> Dataset:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return load_dataset(path, text="text", label="label")


def rows(ds: Dataset) -> list[tuple[str, str]]:
    assert ds.contents is not None
    return list(zip(ds.contents, ds.labels().tolist(), strict=True))


RIGHT: dict[str, tuple[str, str, list[tuple[str, str]]]] = {
    "TSV, one quote": ("t.tsv", 'text\tlabel\n"big\tpos\nx\tneg\n', [('"big', "pos"), ("x", "neg")]),
    "TSV, a pair of quotes rows apart": (
        "t.tsv",
        'text\tlabel\n"big\tpos\nx\tneg\nthe end"\tpos\ny\tpos\nz\tneg\n',
        [('"big', "pos"), ("x", "neg"), ('the end"', "pos"), ("y", "pos"), ("z", "neg")],
    ),
    "TSV, inches and words": (
        "t.tsv",
        'text\tlabel\n5" pipe\tpos\n"great" he said\tneg\n',
        [('5" pipe', "pos"), ('"great" he said', "neg")],
    ),
    "TSV with quoting": (
        "t.tsv",
        'text\tlabel\n"a\tb"\tpos\n"two\nlines"\tneg\n"say ""hi"""\tpos\n',
        [("a\tb", "pos"), ("two\nlines", "neg"), ('say "hi"', "pos")],
    ),
    "tabs in a .csv": ("t.csv", 'text\tlabel\n"big, x\tpos\ny\tneg\n', [('"big, x', "pos"), ("y", "neg")]),
    "commas in a .tsv": ("t.tsv", "text,label\na b,pos\nc,neg\n", [("a b", "pos"), ("c", "neg")]),
    "CSV with lines and commas in cells": (
        "t.csv",
        'text,label\n"Hello, world\nbye, now",pos\n"a, b\nc",neg\nz,pos\n',
        [("Hello, world\nbye, now", "pos"), ("a, b\nc", "neg"), ("z", "pos")],
    ),
    "CSV with an inch": ("t.csv", 'text,label\n5" pipe,pos\nx,neg\n', [('5" pipe', "pos"), ("x", "neg")]),
    "sep=;": ("t.csv", "sep=;\r\ntext;label\r\na, b;pos\r\nc;neg\r\n", [("a, b", "pos"), ("c", "neg")]),
    "sep= in quotes": ("t.csv", '"sep=|"\ntext|label\na;b|pos\nc|neg\n', [("a;b", "pos"), ("c", "neg")]),
    "sep=tab": ("t.csv", "sep=\t\ntext\tlabel\na\tpos\nc\tneg\n", [("a", "pos"), ("c", "neg")]),
    "empty columns at the end": (
        "t.csv",
        "text,label,,\na,pos,,\nb,neg,,\n,,,\n",
        [("a", "pos"), ("b", "neg")],
    ),
    "empty columns in the header": ("t.csv", "text;label;;\na;pos\nb;neg\n", [("a", "pos"), ("b", "neg")]),
    "empty columns in the rows": (
        "t.tsv",
        "text\tlabel\na\tpos\t\nb\tneg\t\t\n",
        [("a", "pos"), ("b", "neg")],
    ),
    "blank lines": ("t.csv", "\n\ntext,label\n\na,pos\n\nb,neg\n\n\n", [("a", "pos"), ("b", "neg")]),
    "pipes": ("t.csv", "text|label\na, b|pos\nc|neg\n", [("a, b", "pos"), ("c", "neg")]),
    "blanks in the header": ("t.csv", "\ufeff text , label\t\na,pos\n", [("a", "pos")]),
    "an index without a name": ("t.csv", ",text,label\n0,a,pos\n1,b,neg\n", [("a", "pos"), ("b", "neg")]),
    "old Mac": ("t.csv", "text,label\ra,pos\rb,neg\r", [("a", "pos"), ("b", "neg")]),
    "line ends of Unicode in a cell": (
        "t.csv",
        "text,label\na\x85b\u2028c,pos\nd\x0be\x0cf,neg\n",
        [("a\x85b\u2028c", "pos"), ("d\x0be\x0cf", "neg")],
    ),
    "and in JSON": ("t.jsonl", '{"text": "a\u2028b\x85c", "label": "pos"}\n', [("a\u2028b\x85c", "pos")]),
}


@pytest.mark.parametrize("case", RIGHT)
def test_right_rows(tmp_path: Path, case: str) -> None:
    name, content, expected = RIGHT[case]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*byte-order mark")
        assert rows(load(tmp_path, name, content)) == expected


REFUSED: dict[str, tuple[str, str | bytes, str]] = {
    "CSV, one quote": ("t.csv", 'text,label\nx,pos\n"big,pos\ny,neg\n', "line 3: unexpected end"),
    "CSV, a quote before a quoted cell": (
        "t.csv",
        'text,label\n"big,a\nx,b\n"z, q",a\n',
        "line 2: ',' expected",
    ),
    "CSV, a pair of quotes rows apart": (
        "t.csv",
        'text,label\n" big,a\nx,b\nsay ",c\n',
        "line 2: .* ends in line 4",
    ),
    "semicolons": ("t.csv", 'text;label\n" big;a\nx;b\nsay ";c\n', "line 2: .* ends in line 4"),
    "the label first": ("t.csv", 'label,text\na,"big\nb,x\na,say"\n', "line 2: .* ends in line 4"),
    "among rows in order": (
        "t.csv",
        'text,label\n" big,a\nx,b\nsay ",a\nfoo,b\n"x, y",a\n',
        "line 2: .* ends in line 4",
    ),
    "over a row that is ragged": ("t.csv", 'text,label\n"u, v",b\n" big,a\nx, y,b\nsay ",b\nz,a\n', "line 3"),
    "TSV that could be both": ("t.tsv", 'text\tlabel\n"a\tb\nc"\td\n', "line 2: .* ends in line 3"),
    "a cell beyond the header": ("t.csv", "text,label,,\na,pos,,\nb,neg,,zz\n", "line 3: 4 fields.*'zz'"),
    "backslash quotes": ("t.csv", 'text,label\n"say \\"hi\\", ok",a\n', "line 2"),
    "a carriage return": ("t.tsv", "text\tlabel\na\rb\tc\n", "line 2: a carriage return"),
    "Windows": (
        "t.csv",
        "text,label\nok,a\n“hi”,a\n".encode("cp1252"),
        "line 3: byte 0x93 .*\nhint: .*WINDOWS-1252",
    ),
    "Latin-1": (
        "t.jsonl",
        '{"text": "café", "label": 1}'.encode("latin-1"),
        "line 1: byte 0xe9 .*\nhint: .*LATIN1",
    ),
    "UTF-16 without a mark": ("t.tsv", "text\tlabel\nä\tb\n".encode("utf-16-le"), "NUL byte .*\n.*UTF-16LE"),
    "a name twice in JSON": ("t.jsonl", '{"text": "a", "label": 1, "label": 2}\n', "line 1: .*'label'"),
    "a name twice after blanks": (
        "t.csv",
        "text,label, label\na,b,c\n",
        "line 1: two columns are named 'label'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_the_line(tmp_path: Path, case: str) -> None:
    name, content, message = REFUSED[case]
    with pytest.raises(DatasetError, match=message) as caught:
        load(tmp_path, name, content)
    assert caught.value.hint


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl"])
def test_other_encodings_with_a_mark_are_read(tmp_path: Path, encoding: str, form: str) -> None:
    content = {
        "csv": "text,label\nä,€\n",
        "tsv": "text\tlabel\r\nä\t€\r\n",
        "jsonl": '{"text": "ä", "label": "€"}\n',
    }[form]
    mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
    assert rows(load(tmp_path, f"t.{form}", mark + content.encode(encoding))) == [("ä", "€")]


cells = st.text(st.sampled_from('ab ",\t\n;'), max_size=8)
tables = st.lists(st.tuples(cells, st.sampled_from(["u", "v"])), min_size=1, max_size=8)


@settings(max_examples=100)
@given(tables, st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]), st.sampled_from([",", ";", "\t"]))
def test_what_a_program_writes_is_read_right_or_refused(
    tmp_path_factory: pytest.TempPathFactory, table: list[tuple[str, str]], quoting: int, delimiter: str
) -> None:
    out = io.StringIO(newline="")
    csv.writer(out, quoting=quoting, delimiter=delimiter).writerows([("text", "label"), *table])  # type: ignore[arg-type]
    try:
        ds = load(tmp_path_factory.mktemp("csv"), "t.csv", out.getvalue())
    except DatasetError:
        # A tie is possible only where the names of the columns have no quotes.
        assert quoting == csv.QUOTE_MINIMAL
    else:
        assert rows(ds) == table


@settings(max_examples=100)
@given(tables)
def test_what_people_write_as_tsv_is_read_right_or_refused(
    tmp_path_factory: pytest.TempPathFactory, table: list[tuple[str, str]]
) -> None:
    table = [("x" + text.translate({9: " ", 10: " "}).rstrip('"') + "y", label) for text, label in table]
    content = "".join(f"{text}\t{label}\n" for text, label in [("text", "label"), *table])
    assert rows(load(tmp_path_factory.mktemp("tsv"), "t.tsv", content)) == table


@settings(max_examples=100)
@given(
    st.lists(
        st.tuples(st.text(st.sampled_from('ab "'), max_size=6), st.sampled_from("uv")), min_size=1, max_size=8
    )
)
def test_quotes_never_cost_a_row(
    tmp_path_factory: pytest.TempPathFactory, table: list[tuple[str, str]]
) -> None:
    for name, delimiter in (("t.tsv", "\t"), ("t.csv", ",")):
        content = "".join(f"{text}{delimiter}{label}\n" for text, label in [("text", "label"), *table])
        try:
            found = rows(load(tmp_path_factory.mktemp("quotes"), name, content))
        except (DatasetError, LabelError):
            continue
        assert len(found) == len(table)
        assert [label for _, label in found] == [label for _, label in table]


@pytest.mark.parametrize("sep", [",", ";", "\t", "|"])
def test_what_pandas_writes(tmp_path: Path, sep: str) -> None:
    frame = pd.DataFrame({"text": ['he said "hi"', "a\tb", "l1\nl2, x", "p|q;r"], "label": list("abab")})
    frame.to_csv(tmp_path / "t.csv", sep=sep, index=False)
    assert load_dataset(tmp_path / "t.csv").contents == frame["text"].tolist()
