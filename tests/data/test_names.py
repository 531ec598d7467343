"""Names that look alike: one class where the difference cannot be seen, a word where it can."""

import re
import unicodedata
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.forms import FORMS
from tlengine.data import load_dataset
from tlengine.data.labels import class_names
from tlengine.data.names import canonical
from tlengine.errors import TlengineWarning

UNSEEN = {
    "a blank at the end": ("cat", "cat "),
    "a tab at the end": ("cat", "cat\t"),
    "a line end": ("cat", "\ncat\r\n"),
    "a no-break space": ("New York", "New\u00a0York"),
    "a thin space": ("New York", "New\u2009York"),
    "an ideographic space": ("cat", "\u3000cat"),
    "a zero-width space": ("cat", "c\u200bat"),
    "a byte-order mark": ("cat", "\ufeffcat"),
    "a word joiner": ("cat", "cat\u2060"),
    "a soft hyphen": ("category", "cate\u00adgory"),
    "a mark of direction": ("cat", "\u200ecat"),
    "a joiner at the end": ("cat", "cat\u200d"),
    "decomposed": ("café", unicodedata.normalize("NFD", "café")),
    "decomposed Hangul": ("한국", unicodedata.normalize("NFD", "한국")),
    "two marks in another order": ("a\u0323\u0302", "a\u0302\u0323"),
}
SEEN = {
    "case": ("cat", "Cat"),
    "all capitals": ("straße", "STRASSE"),
    "full width": ("cat", "\uff43\uff41\uff54"),
    "two blanks": ("New York", "New  York"),
    "no blank": ("ice cream", "icecream"),
    "a ligature": ("file", "\ufb01le"),
    "a dash": ("a-b", "a\u2013b"),
    "quotes": ("cat", '"cat"'),
    "numbers": ("1", "1.0"),
    "leading zeros": ("7", "07"),
    "an emoji's form": ("\u2764", "\u2764\ufe0f"),
}


@pytest.fixture(params=FORMS)
def labels(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    def load(pair: tuple[str, str], column: str = "label") -> tuple[list[str], list[str]]:
        columns = {"text": ["a", "b", "c", "d"], "label": ["x", "y", "x", "y"], column: [*pair, *pair]}
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            ds = load_dataset(FORMS[request.param](columns, tmp_path))
        values = {"label": ds.y, "group": ds.groups, "domain": ds.domains}[column]
        return values.tolist(), [str(w.message) for w in said if w.category is TlengineWarning]

    return load


@pytest.mark.parametrize("case", UNSEEN)
def test_one_class_where_the_difference_cannot_be_seen(labels: Any, case: str) -> None:
    found, said = labels(UNSEEN[case])
    assert len(set(found)) == 1
    assert found[0] == unicodedata.normalize("NFC", UNSEEN[case][0])
    assert re.search("cannot be seen are left out of labels", said[0])


@pytest.mark.parametrize("case", SEEN)
def test_two_classes_and_a_word_where_it_can(labels: Any, case: str) -> None:
    found, said = labels(SEEN[case])
    assert tuple(found[:2]) == SEEN[case]
    assert "look alike" in said[0]


@pytest.mark.parametrize("column", ["group", "domain"])
def test_the_same_rule_for_groups_and_domains(labels: Any, column: str) -> None:
    assert labels(("p1", "p1 "), column)[0] == ["p1"] * 4
    assert "look alike" in labels(("p1", "P1"), column)[1][0]


def test_arrays_and_pairs_have_the_rule_too() -> None:
    for source in (
        (np.eye(2), ["cat", "cat "]),
        (np.eye(2), np.array([b"cat", b"cat\t"])),
        [("a", "cat"), ("b", "cat\u200b")],
        {"X": np.eye(2), "y": ["cat", " cat"]},
    ):
        with pytest.warns(TlengineWarning, match="cannot be seen"):
            assert load_dataset(source).labels().tolist() == ["cat", "cat"]


@pytest.mark.parametrize(
    "names",
    [
        ["cat", "dog"],
        ["a b", "a c"],
        ["1", "2", "10"],
        ["-1", "1"],
        ["😀", "👩\u200d💻"],
        ["é", "e"],
        ["p1_11", "p11_1"],
    ],
)
def test_different_names_pass_without_a_word(names: list[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert class_names(names, "t.csv") == names


def test_a_message_shows_what_cannot_be_seen() -> None:
    with pytest.warns(TlengineWarning, match=r"^t: .*'c\\u200bat' is 'cat'"):
        class_names(["c\u200bat", "cat"], "t")
    with pytest.warns(TlengineWarning, match=r"; 97 more$"):
        class_names([f"{i:03} " for i in range(100)], "t")


@given(st.text())
def test_the_canonical_form_is_final(name: str) -> None:
    once = canonical(name)
    assert canonical(once) == once
    assert canonical(f" {name}\u200b") == once
