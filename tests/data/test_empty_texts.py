"""One rule for empty texts in every form: left out and counted when the data are embedded."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.data.forms import FORMS, TEXT_FILES, TYPED
from tlengine.cli import main
from tlengine.data import load_dataset
from tlengine.errors import DecodeError, TlengineWarning
from tlengine.features import extract

EMPTY = {
    "empty": "",
    "blanks": "  ",
    "a no-break space": "\u00a0",
    "zero width": "\u200b",
    "a line end": "\n",
}


def embed(source: Any, **options: Any) -> Any:
    ds = load_dataset(source)
    with pytest.warns(TlengineWarning, match=r"1 of 3 samples cannot be read: 1 \(the text is empty\)"):
        return extract(ds, "raw", progress=False, **options)


def check(source: Any) -> None:
    feats = embed(source)
    assert (feats.ids.tolist(), feats.y.tolist()) == (["0", "2"], ["x", "y"])
    assert [failure.id for failure in feats.failures] == ["1"]
    with pytest.raises(DecodeError, match="the text is empty"):
        extract(load_dataset(source), "raw", progress=False, strict=True)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", EMPTY)
def test_texts_without_a_character(tmp_path: Path, form: str, kind: str) -> None:
    check(FORMS[form]({"text": ["a", EMPTY[kind], "c"], "label": ["x", "x", "y"]}, tmp_path))


@pytest.mark.parametrize("form", TYPED)
def test_missing_texts(tmp_path: Path, form: str) -> None:
    check(TYPED[form]({"text": ["a", None, "c"], "label": ["x", "x", "y"]}, tmp_path))


@pytest.mark.parametrize("value", [None, float("nan"), pd.NA, pd.NaT, np.float32("nan"), "", b""])
def test_missing_texts_of_objects(value: Any) -> None:
    check((["a", value, "c"], ["x", "x", "y"]))
    check([("a", "x"), (value, "x"), ("c", "y")])
    check((pd.Series(["a", value, "c"], dtype=object), ["x", "x", "y"]))


def test_an_absent_key_and_a_json_nan(tmp_path: Path) -> None:
    lines = ['{"text": "a", "label": "x"}', '{"label": "x"}', '{"text": "c", "label": "y"}']
    for middle in (lines[1], '{"text": NaN, "label": "x"}', '{"text": null, "label": "x"}'):
        (tmp_path / "t.jsonl").write_text("\n".join([lines[0], middle, lines[2]]))
        check(tmp_path / "t.jsonl")


@pytest.mark.parametrize("form", TEXT_FILES)
def test_on_the_command_line(tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = TEXT_FILES[form]({"text": ["a", "", "c"], "label": ["x", "x", "y"]}, tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["extract", str(path), "--backbone", "raw", "--json"])
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert ended.value.code in (0, None)
    assert (document["rows"], document["failed"]) == (3, 1)
    assert "the text is empty" in err


def test_texts_are_not_trimmed() -> None:
    assert load_dataset([" a ", "b\n"]).contents == [" a ", "b\n"]
