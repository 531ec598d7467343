"""Labels as written: text stays text in every form, kinds do not mix, what is missing is no class."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.data.forms import FORMS, TEXT_FILES, TYPED
from tlengine.data import load_dataset
from tlengine.errors import InputError, LabelError, TlengineWarning

TEXTS = [
    "250.1",
    "NA",
    "None",
    "null",
    "01",
    "1e5",
    "True",
    "N/A",
    "inf",
    "-0",
    "1_000",
    "2020-01-01",
    "9" * 30,
]


@pytest.mark.parametrize("form", FORMS)
def test_text_stays_text(tmp_path: Path, form: str) -> None:
    columns = {"text": [f"t{i}" for i in range(len(TEXTS))], "label": list(TEXTS)}
    ds = load_dataset(FORMS[form](columns, tmp_path))
    assert ds.labels().tolist() == TEXTS
    assert ds.labels().dtype.kind == "U"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("word", ["nan", "NaN", "<NA>", "NaT", "#N/A"])
def test_a_class_that_may_be_a_missing_label_is_kept_and_said(tmp_path: Path, form: str, word: str) -> None:
    columns = {"text": ["a", "b", "c"], "label": ["x", word, "x"]}
    with pytest.warns(TlengineWarning, match=f"1 labels are the text '{word}'"):
        ds = load_dataset(FORMS[form](columns, tmp_path))
    assert ds.labels().tolist() == ["x", word, "x"]


@pytest.mark.parametrize("form", FORMS)
def test_codes_with_a_point_are_classes(tmp_path: Path, form: str) -> None:
    codes = [f"{250 + i % 40}.{i % 10}" for i in range(800)]
    columns = {"text": [f"t{i}" for i in range(800)], "label": codes}
    assert load_dataset(FORMS[form](columns, tmp_path)).labels().tolist() == codes


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("comma", [False, True])
def test_numbers_that_vary_are_regression(tmp_path: Path, form: str, comma: bool) -> None:
    numbers: list[Any] = [0.37 * i + 0.01 for i in range(60)]
    if comma:
        numbers = [f"{x:.3f}".replace(".", ",") for x in numbers]
    columns = {"text": [f"t{i}" for i in range(60)], "label": numbers}
    with pytest.raises(LabelError, match=r"column 'label'.*regression|labels of Items.*regression"):
        load_dataset(FORMS[form](columns, tmp_path))


MIXED: dict[str, list[Any]] = {
    "1 and '1'": [1, "1"],
    "true and 'true'": [True, "true"],
    "true and 1": [True, 1],
    "False and 0.0": [False, 0.0],
    "an integer that no float holds": [2**53 + 1, 0.5],
    "beyond 64 bits": [2**70, 1],
    "signed and unsigned": [2**63, -1],
    "lists": [["a"], ["a", "b"]],
    "empty lists": [[], ["a"]],
    "dicts": [{"a": 1}, {"b": 1}],
    "half a character": ["\ud800", "a"],
    "a text": ["a" * 2_000, "b"],
}


@pytest.mark.parametrize("case", MIXED)
def test_kinds_do_not_mix(tmp_path: Path, case: str) -> None:
    values = MIXED[case]
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps({"text": "t", "label": value}) + "\n" for value in values))
    records = [{"text": "t", "label": value} for value in values]
    for source in (path, records, {"text": ["s", "t"], "label": values}, (["s", "t"], values)):
        with pytest.raises((LabelError, InputError), match=r"line [12]|\[[01]\]|row [01]|y has 2") as caught:
            load_dataset(source)
        assert caught.value.hint
        assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array(["x", "y"]).dictionary_encode(), ["x", "y"]),
        (pa.array([1, 2], pa.int8()), [1, 2]),
        (pa.array([1.0, 2.0]), [1.0, 2.0]),
        (pa.array([True, False]), [True, False]),
        (pa.array([b"x", b"y"]), ["x", "y"]),
        (pa.array(["x", "y"], pa.large_string()), ["x", "y"]),
        (pa.array([2**63, 1], pa.uint64()), [2**63, 1]),
        (pa.array(["x", None]), None),
        (pa.array([1.0, float("nan")]), None),
        (pa.array([1, None]), None),
        (pa.array(["x", None]).dictionary_encode(), None),
        (pa.array([["x"], ["x", "y"]]), None),
        (pa.array([1, 2], pa.timestamp("us")), None),
        (pa.array([b"\xff", b"a"]), None),
    ],
)
def test_typed_columns(tmp_path: Path, array: Any, expected: list[Any] | None) -> None:
    table = pa.table({"text": ["a", "b"], "label": array})
    pq.write_table(table, tmp_path / "t.parquet")
    for source in (tmp_path / "t.parquet", table, table.to_pydict(), table.to_pylist()):
        if expected is None:
            with pytest.raises(LabelError, match="label") as caught:
                load_dataset(source)
            assert caught.value.hint
        else:
            assert load_dataset(source).labels().tolist() == expected


@pytest.mark.parametrize("form", TYPED)
@pytest.mark.parametrize("missing", [None, "", "  ", "\u200b"])
def test_a_missing_label_has_its_row(tmp_path: Path, form: str, missing: Any) -> None:
    columns = {"text": ["a", "b", "c"], "label": ["x", missing, "y"]}
    with pytest.raises(LabelError, match=r"(line 2|row 1|\[1\]).*the label is missing"):
        load_dataset(TYPED[form](columns, tmp_path))


@pytest.mark.parametrize("form", TEXT_FILES)
def test_a_missing_label_has_its_line(tmp_path: Path, form: str) -> None:
    with pytest.raises(LabelError, match=r"line 3.*the label is missing"):
        load_dataset(TEXT_FILES[form]({"text": ["a", "b", "c"], "label": ["x", " ", "y"]}, tmp_path))


SPLITS = ["train", "train", "val", "test", "test"]


@pytest.mark.parametrize("form", [form for form in FORMS if form != "map style"])
@pytest.mark.parametrize("unknown", ["", "-1"])
def test_a_split_without_labels_is_left_out_with_a_word(tmp_path: Path, form: str, unknown: str) -> None:
    columns = {"text": list("abcde"), "label": ["x", "y", "x", unknown, unknown], "split": list(SPLITS)}
    source = FORMS[form](columns, tmp_path)
    with pytest.warns(TlengineWarning, match="no row of the split test has a label; its 2 rows are left out"):
        ds = load_dataset(source)
    assert (ds.labels().tolist(), ds.contents) == (["x", "y", "x"], ["a", "b", "c"])
    assert len(load_dataset(source, labels="ignore")) == 5


@pytest.mark.parametrize("labels", [[-1, 1, -1, 1, -1], [1, -1, 1, -1, -1]])
def test_minus_one_is_a_class_where_training_rows_have_it(labels: list[int]) -> None:
    ds = load_dataset({"text": list("abcde"), "label": labels, "split": SPLITS})
    assert ds.labels().tolist() == labels


WORDS = {
    "TRAIN": "train",
    "dev": "select",
    "Validation": "select",
    "val ": "select",
    "\u00a0test": "test",
    "valid": "select",
}


@pytest.mark.parametrize("form", FORMS)
def test_words_for_splits(tmp_path: Path, form: str) -> None:
    columns = {"text": list("abcdef"), "label": list("xyxyxy"), "split": list(WORDS)}
    ds = load_dataset(FORMS[form](columns, tmp_path))
    assert ds.splits is not None
    assert ds.splits.tolist() == list(WORDS.values())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("typo", ["tets", "", "unsupervised", "1"])
def test_one_unknown_word_among_splits(tmp_path: Path, form: str, typo: str) -> None:
    columns = {"text": list("abc"), "label": list("xyx"), "split": ["train", typo, "test"]}
    source = FORMS[form](columns, tmp_path)
    with pytest.raises(
        InputError, match=rf"(line [23]|row 1|\[1\]): '{typo}' is no split.*'?split"
    ) as caught:
        load_dataset(source)
    assert "train" in str(caught.value.hint)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["split", "Splits", "subset", "fold"])
@pytest.mark.parametrize("words", [["0", "1"], ["trn", "tst"], ["A", "B"]])
def test_a_split_without_any_known_word_is_told_of(
    tmp_path: Path, form: str, name: str, words: list[str]
) -> None:
    columns = {"text": list("abc"), "label": list("xyx"), name: [*words, words[0]]}
    source = FORMS[form](columns, tmp_path)
    with pytest.raises(InputError, match=f"'{words[0]}' is no split"):
        load_dataset(source, split=name)
    with pytest.warns(TlengineWarning, match=f"{', '.join(words)} are no words for splits"):
        assert load_dataset(source).splits is None


@pytest.mark.parametrize("form", TYPED)
@pytest.mark.parametrize(
    ("numbers", "classes"),
    [
        ([0.25 * (i % 20) for i in range(40)], True),
        ([0.37 * i for i in range(10)], False),
        ([0.5 * (i % 41) for i in range(800)], True),
        ([0.37 * (i % 21) for i in range(30)], False),
    ],
)
def test_one_limit_for_numbers_and_for_numbers_as_text(
    tmp_path: Path, form: str, numbers: list[float], classes: bool
) -> None:
    texts = [f"t{i}" for i in range(len(numbers))]
    for values in (numbers, [str(number) for number in numbers]):
        source = TYPED[form]({"text": texts, "label": values}, tmp_path)
        if classes:
            assert load_dataset(source).labels().tolist() == values
        else:
            with pytest.raises(LabelError, match="regression"):
                load_dataset(source)


@pytest.mark.parametrize("form", ["parquet", "pandas", "arrow", "columns", "records", "hub", "map style"])
def test_bytes_are_text_in_every_column(tmp_path: Path, form: str) -> None:
    columns = {
        "text": ["a", "b", "c"],
        "label": ["é".encode(), b"x", b"x"],
        "group": [b"p1", b"p2", b"p1"],
        "split": [b"train", b"test", b"train"],
    }
    ds = load_dataset(TYPED[form](columns, tmp_path))
    assert ds.labels().tolist() == ["é", "x", "x"]
    assert [c.tolist() for c in (ds.groups, ds.splits) if c is not None] == [
        ["p1", "p2", "p1"],
        ["train", "test", "train"],
    ]


def test_labels_of_arrays_are_exact() -> None:
    X = np.eye(2)
    assert load_dataset((X, np.array([2**63, 1], np.uint64))).labels().tolist() == [2**63, 1]
    assert load_dataset((X, np.array([2**53 + 1, 1]))).labels().tolist() == [2**53 + 1, 1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_dataset((X, [1, 1.0])).labels().tolist() == [1.0, 1.0]
