"""Labels and features as other packages hand them over: the right classes, or an error that names the row."""

from collections import OrderedDict
from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

import tlengine as tl
from tlengine.errors import DtypeError, LabelError, ShapeMismatchError
from tlengine.probes.indicators import encode_indicators, is_multilabel
from tlengine.probes.labels import check_labels

X = np.random.default_rng(0).standard_normal((8, 3)).astype(np.float32)
TEXT = ["a", "b"] * 4
PROBES = [
    tl.LinearProbe(),
    tl.LinearSVMProbe(),
    tl.RidgeProbe(),
    tl.PreValProbe(),
    tl.KNeighborsProbe(k=1),
    tl.NearestCentroidProbe(),
]


@pytest.mark.parametrize(
    "y",
    [
        TEXT,
        tuple(TEXT),
        np.array(TEXT),
        np.array(TEXT, object),
        np.array(TEXT)[:, None],
        pd.Series(TEXT, index=range(10, 18)),
        pd.Series(TEXT, dtype="string"),
        pd.Series(TEXT, dtype="category"),
        pd.Categorical(TEXT),
        pd.Series(TEXT, dtype="string[pyarrow]"),
        pd.DataFrame({"label": TEXT}),
        np.array([np.str_(label) for label in TEXT], object),
    ],
)
@pytest.mark.filterwarnings("ignore:A column-vector y")
def test_text_from_anywhere(y):
    for probe in PROBES:
        assert probe.fit(X, y).classes_.tolist() == ["a", "b"]


@pytest.mark.parametrize(
    "y",
    [
        pd.Series([3, 7] * 4, dtype="Int64"),
        pd.Series([3, 7] * 4, dtype="float"),
        np.array([3, 7] * 4, object),
        [np.int64(3), 7] * 4,
    ],
)
def test_whole_numbers_from_anywhere(y):
    for probe in PROBES:
        assert probe.fit(X, y).classes_.tolist() == [3, 7]


@pytest.mark.parametrize(
    "missing", [None, float("nan"), np.nan, pd.NA, pd.NaT, np.datetime64("NaT", "s"), Decimal("nan")]
)
@pytest.mark.parametrize("others", [TEXT, [1, 2] * 4, [1.0, 2.0] * 4])
@pytest.mark.parametrize(
    "make", [list, tuple, lambda y: np.array(y, object), lambda y: pd.Series(y, dtype=object)]
)
def test_a_missing_label_is_named(missing, others, make):
    y = [*others[:5], missing, *others[6:]]
    for probe in PROBES:
        with pytest.raises(LabelError, match="row 5"):
            probe.fit(X, make(y))


@pytest.mark.parametrize(
    "y",
    [
        pd.Series([*TEXT[:5], None, *TEXT[6:]], dtype="string"),
        pd.Series([*TEXT[:5], None, *TEXT[6:]], dtype="category"),
        pd.Series([1, 2, 1, 2, 1, None, 1, 2], dtype="Int64"),
        pd.Series([1, 2, 1, 2, 1, None, 1, 2], dtype="float"),
        pd.Series([True, False, True, False, True, None, True, False], dtype="boolean"),
        np.ma.masked_array([1, 2, 1, 2, 1, 9, 1, 2], mask=[0, 0, 0, 0, 0, 1, 0, 0]),
    ],
)
def test_a_missing_label_of_a_typed_column_is_named(y):
    with pytest.raises(LabelError, match="row 5"):
        tl.LinearProbe().fit(X, y)


def test_text_that_looks_missing_or_like_a_number_is_text():
    y = np.array(["nan", "None", "1", "1.0", "01", "1e0", "NA", "<NA>"])
    for given in (y, y.tolist(), y.astype(object), pd.Series(y)):
        assert tl.NearestCentroidProbe().fit(X, given).classes_.tolist() == sorted(y.tolist())


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([{"a"}, {"b"}, {"a", "b"}, {"a"}] * 2, "row 0"),
        ([frozenset("a"), frozenset("b")] * 4, "row 0"),
        ([OrderedDict(a=1), {}] * 4, "row 0"),
        (np.array([{"a"}, {"b"}] * 4, object), "row 0"),
        (pd.Series([["a"], ["b", "c"]] * 4), "row 0"),
        (pd.Series(["a", ("b", "c")] * 4), "row 1"),
        (["a", 1] * 4, "row 1"),
        ([1, "1"] * 4, "row 1"),
        ([True, "True"] * 4, "row 1"),
        (np.array([1, True] * 4, object), "row 1"),
        (np.array([date(2026, 1, 1), "a"] * 4, object), "row 1"),
        ([0.5, 1.5, 2.5, 3.5] * 2, "row 0"),
        (np.array([1, 2, np.inf, 2] * 2), "row 2"),
        (np.array([b"a", b"b"] * 4), "decode"),
        (np.array([b"a", b"b"] * 4, object), "decode"),
        ([b"a", b"b"] * 4, "decode"),
        (np.array(["2026-01-01", "2026-01-02"] * 4, "datetime64[D]"), "datetime64"),
        (np.array([1j, 2j] * 4), "complex"),
    ],
)
def test_what_is_no_label_is_named(y, message):
    for probe in PROBES:
        with pytest.raises(LabelError, match=message):
            probe.fit(X, y)


@pytest.mark.parametrize(
    "y", [[["a"], ["b", "c"]] * 4, [["a", "b"], ["b", "c"]] * 4, "aabbaabb", 7, iter(TEXT)]
)
def test_what_is_no_column_is_refused(y):
    for probe in PROBES:
        with pytest.raises((LabelError, ShapeMismatchError, DtypeError)):
            probe.fit(X, y)


@pytest.mark.parametrize(
    "make",
    [
        np.array,
        list,
        lambda Y: np.array(Y, bool),
        lambda Y: np.array(Y, object),
        pd.DataFrame,
        lambda Y: pd.DataFrame(Y).astype("Int64"),
        lambda Y: pd.DataFrame(Y).astype("boolean"),
    ],
)
def test_several_labels_from_anywhere(make):
    Y = [[0, 1], [1, 1], [1, 0], [0, 0]] * 2
    assert is_multilabel(make(Y))
    probe = tl.LinearProbe().fit(X, make(Y))
    np.testing.assert_array_equal(probe.predict(X), tl.LinearProbe().fit(X, np.array(Y)).predict(X))


@pytest.mark.parametrize("wrong", [None, float("nan"), pd.NA, 2, "1", 0.5])
def test_a_wrong_cell_of_several_labels_is_named(wrong):
    Y = np.array([[0, 1], [1, 1], [1, 0], [0, 0]], object)
    Y[2, 1] = wrong
    with pytest.raises(LabelError, match="row 2, label 1"):
        encode_indicators(Y)


def test_nothing_is_modified():
    y = ["a", np.str_("b")] * 4
    before = list(y)
    assert check_labels(y).tolist() == TEXT
    assert y == before
