"""CSV, TSV, JSON lines and Parquet: what is read, and where what is not stands."""

import csv
import gzip
import io
import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlengine.data import load_dataset
from tlengine.errors import (
    DatasetError,
    EmptyInputError,
    InputError,
    LabelError,
    MissingPackageError,
    TlengineError,
    TlengineWarning,
)

ROWS = "text,label\na good film,pos\na dull film,neg\n"


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", ROWS),
        ("t.csv.gz", ROWS),
        ("t.csv", ROWS.replace("\n", "\r\n")),
        ("t.csv", ROWS.rstrip("\n")),
        ("t.csv", ROWS + "\n\n"),
        ("t.csv", ROWS.replace(",", ";")),
        ("t.CSV", ROWS),
        ("t.tsv", ROWS.replace(",", "\t")),
        ("t.tsv.gz", ROWS.replace(",", "\t")),
        ("t.jsonl", '{"text": "a good film", "label": "pos"}\n\n{"label": "neg", "text": "a dull film"}\n'),
        ("t.jsonl.gz", '{"text": "a good film", "label": "pos"}\n{"label": "neg", "text": "a dull film"}\n'),
    ],
)
def test_formats(tmp_path: Path, name: str, content: str) -> None:
    ds = load_dataset(write(tmp_path, name, content))
    assert ds.modality == "text"
    assert ds.contents == ["a good film", "a dull film"]
    assert ds.labels().tolist() == ["pos", "neg"]
    assert ds.ids.tolist() == ["0", "1"]


def test_parquet(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"text": ["a", "b"], "label": [3, 1], "split": ["train", "val"]}), tmp_path / "t.parquet"
    )
    ds = load_dataset(tmp_path / "t.parquet")
    assert ds.labels().tolist() == [3, 1]
    assert ds.splits is not None
    assert ds.splits.tolist() == ["train", "select"]


def test_parquet_with_encoded_images(tmp_path: Path) -> None:
    images = [{"bytes": b"one", "path": None}, {"bytes": None, "path": "two.png"}]
    pq.write_table(pa.table({"image": images, "label": ["a", "b"]}), tmp_path / "t.parquet")
    assert load_dataset(tmp_path / "t.parquet").contents == [b"one", tmp_path / "two.png"]


def test_parquet_without_pyarrow_shows_the_install_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingPackageError, match="pip install pyarrow"):
        load_dataset(write(tmp_path, "t.parquet", b"PAR1"))


def test_columns_by_name(tmp_path: Path) -> None:
    table = "tweet,stars,user,place,part\nhello,5,u1,here,training\nbye,1,u2,there,TEST\n"
    ds = load_dataset(
        write(tmp_path, "t.csv", table),
        text="tweet",
        label="stars",
        group="user",
        domain="place",
        split="part",
    )
    assert (ds.contents, ds.labels().tolist()) == (["hello", "bye"], ["5", "1"])
    assert [c.tolist() for c in (ds.groups, ds.domains, ds.splits) if c is not None] == [
        ["u1", "u2"],
        ["here", "there"],
        ["train", "test"],
    ]


def test_usual_names_without_regard_to_case(tmp_path: Path) -> None:
    ds = load_dataset(write(tmp_path, "t.csv", "ID,Sentence,Category,Patient_ID\nx7,hello,a,p\ny9,bye,b,q\n"))
    assert (ds.ids.tolist(), ds.labels().tolist()) == (["x7", "y9"], ["a", "b"])
    assert ds.groups is not None
    assert ds.groups.tolist() == ["p", "q"]


def test_the_one_column_that_is_left_holds_the_samples(tmp_path: Path) -> None:
    assert load_dataset(write(tmp_path, "t.csv", "label,tweet\na,hello\n")).contents == ["hello"]
    ds = load_dataset(write(tmp_path, "u.csv", "label,picture\na,x/1.jpg\n"))
    assert (ds.modality, ds.contents) == ("image", [tmp_path / "x" / "1.jpg"])


def test_image_paths_start_from_the_table(tmp_path: Path) -> None:
    ds = load_dataset(write(tmp_path, "t.csv", f"path,label\nsub/1.png,a\n{tmp_path}/2.png,b\n"))
    assert ds.contents == [tmp_path / "sub" / "1.png", tmp_path / "2.png"]
    assert ds.ids.tolist()[0] == "sub/1.png"


def test_texts_beside_images_need_a_choice(tmp_path: Path) -> None:
    path = write(tmp_path, "t.csv", "text,image,label\nhello,1.png,a\n")
    with pytest.raises(DatasetError, match="--text text or --image image"):
        load_dataset(path)
    assert load_dataset(path, modality="text").contents == ["hello"]
    assert load_dataset(path, image="image").modality == "image"


def test_no_label_column(tmp_path: Path) -> None:
    path = write(tmp_path, "t.csv", "text,colour\nhello,red\n")
    ds = load_dataset(path)
    assert ds.y is None
    with pytest.raises(LabelError, match="columns are: text, colour"):
        ds.labels()
    with pytest.raises(LabelError, match="columns are: text, colour"):
        load_dataset(path, labels="require")


def test_a_column_called_split_that_is_none_is_left_alone_with_a_word(tmp_path: Path) -> None:
    path = write(tmp_path, "t.csv", "text,label,split\nhello,a,left\nbye,b,right\n")
    with pytest.warns(TlengineWarning, match="'split': left, right are no words for splits"):
        assert load_dataset(path).splits is None
    with pytest.raises(DatasetError, match="line 2: 'left' is no split"):
        load_dataset(path, split="split")


BAD: dict[str, tuple[str, str | bytes, type[TlengineError], str]] = {
    "empty": ("t.csv", "", EmptyInputError, "t.csv: the file is empty"),
    "header alone": ("t.csv", "text,label\n", EmptyInputError, "no rows"),
    "empty json": ("t.jsonl", "\n\n", EmptyInputError, "no rows"),
    "long row": ("t.csv", "text,label\na,b\na,b,c\n", DatasetError, "line 3: 3 fields, the header has 2"),
    "short row": ("t.csv", 'text,label\n"two\nlines",b\na\n', DatasetError, "line 4: 1 fields"),
    "NUL": ("t.csv", "text,label\na\0b,c\n", DatasetError, "line 2: a NUL byte at 1"),
    "latin1": ("t.csv", "text,label\nok,a\ncaf\xe9,a\n".encode("latin1"), DatasetError, "line 3: byte 0xe9"),
    "utf16 without a mark": ("t.csv", ROWS.encode("utf-16-le"), DatasetError, "line 1: a NUL byte at 1"),
    "open quote": ("t.csv", 'text,label\n"a,b\n', DatasetError, "line 2: unexpected end of data"),
    "half an old mac": ("t.csv", "text,label\na\rb,c\n", DatasetError, "line 2: a carriage return"),
    "twice": ("t.csv", "text,text\na,b\n", DatasetError, "two columns are named 'text'"),
    "no text": ("t.csv", "a,b\n1,2\n", DatasetError, "columns are: a, b"),
    "cut gzip": ("t.csv.gz", "", DatasetError, "broken gzip"),
    "not json": ("t.jsonl", '{"text": "a"}\nhello\n', DatasetError, "line 2: not JSON"),
    "json list": ("t.jsonl", "[1, 2]\n", DatasetError, "line 1: a list, not an object"),
    "json number": ("t.jsonl", '{"text": "a"}\n{"text": 7}\n', DatasetError, "line 2: the text is 7"),
    "json depth": ("t.jsonl", "[" * 100_000 + "\n", DatasetError, "line 1"),
    "json surrogate": ("t.jsonl", '{"text": "\\ud800"}\n', InputError, "line 1: .* surrogate"),
    "not parquet": ("t.parquet", "hello", DatasetError, "not a Parquet file"),
    "unknown": ("t.xlsx", "hello", DatasetError, r"\.xlsx is no format"),
    "empty path": ("t.csv", "path,label\n1.png,a\n ,b\n", DatasetError, "line 3: ' ' is no image path"),
    "empty label": (
        "t.csv",
        "text,label\na,b\nc,\n",
        LabelError,
        "line 3, column 'label': the label is missing",
    ),
    "nan label": ("t.jsonl", '{"text":"a","label":"b"}\n{"text":"c","label":NaN}\n', LabelError, "line 2"),
    "mixed labels": ("t.jsonl", '{"text":"a","label":1}\n{"text":"a","label":"b"}\n', LabelError, "line 2"),
    "absent label": ("t.jsonl", '{"text":"a","label":1}\n{"text":"a"}\n', LabelError, "line 2"),
    "empty group": ("t.csv", "text,label,group\na,b,g\na,c,\n", DatasetError, "line 3: group column"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_tables_name_the_place(tmp_path: Path, case: str) -> None:
    name, content, error, message = BAD[case]
    path = write(tmp_path, name, content)
    if case == "cut gzip":
        path.write_bytes(gzip.compress(ROWS.encode() * 50)[:-12])
    with pytest.raises(error, match=message) as caught:
        load_dataset(path)
    assert caught.value.hint


def test_byte_order_mark_is_skipped_with_a_warning(tmp_path: Path) -> None:
    path = write(tmp_path, "t.csv", b"\xef\xbb\xbf" + ROWS.encode())
    with pytest.warns(TlengineWarning, match="byte-order mark"):
        assert load_dataset(path).contents == ["a good film", "a dull film"]


def test_long_cells_are_read_and_the_limit_is_put_back(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    long = "word " * 100_000
    assert load_dataset(write(tmp_path, "t.csv", f"text,label\n{long},a\n")).contents == [long]
    assert csv.field_size_limit() == before


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


@given(st.lists(st.tuples(cells, st.sampled_from(["a", "b"])), min_size=1, max_size=8))
def test_any_text_survives_a_csv(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    out = io.StringIO(newline="")
    csv.writer(out, quoting=csv.QUOTE_ALL).writerows([("text", "label"), *rows])
    ds = load_dataset(write(tmp_path_factory.mktemp("csv"), "t.csv", out.getvalue()))
    assert ds.contents == [text for text, _ in rows]
    assert ds.labels().tolist() == [label for _, label in rows]


@given(st.lists(cells, min_size=1, max_size=8))
def test_any_text_survives_json_lines(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    assert load_dataset(write(tmp_path_factory.mktemp("json"), "t.jsonl", lines)).contents == texts


def test_take_keeps_the_columns_together(tmp_path: Path) -> None:
    ds = load_dataset(write(tmp_path, "t.csv", "id,text,label\nx,one,a\ny,two,b\nz,three,c\n")).take([2, 0])
    assert (ds.ids.tolist(), ds.contents, ds.labels().tolist()) == (["z", "x"], ["three", "one"], ["c", "a"])
    assert len(ds.take(np.array([True, False]))) == 1


def test_encoded_images_are_read_once_and_are_no_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pq.write_table(pa.table({"image": [b"one", b"two"], "label": ["a", "b"]}), tmp_path / "t.parquet")
    real, read = pq.ParquetFile.read, list[str]()

    def counted(file: pq.ParquetFile, columns: list[str]) -> pa.Table:
        read.extend(columns)
        return real(file, columns=columns)

    monkeypatch.setattr(pq.ParquetFile, "read", counted)
    ds = load_dataset(tmp_path / "t.parquet")
    assert (ds.contents, ds.ids.tolist()) == ([b"one", b"two"], ["0", "1"])
    assert read.count("image") == 1
