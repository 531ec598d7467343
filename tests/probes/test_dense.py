"""Matrices of every package and kind: the same numbers, nothing lost, or an error with the place."""

from datetime import date
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.utils import get_tags

import tlengine as tl
from tests.probes.test_labels import PROBES, TEXT, X
from tlengine.errors import DtypeError, InputError, NonFiniteError, ShapeMismatchError
from tlengine.probes.arrays import as_rows
from tlengine.probes.dense import dense, dense_array

NAMES = ["a", "b", "c"]
HALF = X.astype(np.float16)


def _structured():
    return np.zeros(8, dtype=[("a", "f4"), ("b", "f4")])


def _calls(given):
    yield from (lambda probe=probe: probe.fit(given, TEXT) for probe in PROBES)
    yield lambda: tl.nearest(given, given, k=1)
    yield lambda: tl.ridge_path(given, np.arange(8.0))
    yield lambda: tl.RidgeRegressor().fit(given, np.arange(8.0))
    yield lambda: tl.probe_grid({"f": given}, {"y": TEXT}, budgets=[1], seeds=1)


def _with(value, row=5, column=1, dtype=object):
    table = pd.DataFrame(X.astype(float), columns=NAMES).astype({"b": dtype})
    table.iloc[row, column] = value
    return table


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: pd.DataFrame.sparse.from_spmatrix(sparse.csr_matrix(X)), r"columns\n.*sparse.to_dense"),
        (lambda: pd.DataFrame({"a": X[:, 0], "b": TEXT}), "X: column 'b' holds 'a' at row 0"),
        (lambda: pd.DataFrame({"a": X[:, 0], "b": pd.Categorical(TEXT)}), "column 'b' holds 'a' at row 0"),
        (lambda: pd.DataFrame({"a": X[:, 0], "b": pd.date_range("2026", periods=8)}), "'b' holds dates"),
        (lambda: pd.DataFrame({"a": X[:, 0], "b": X[:, 0] + 1j}), "Complex data not supported: X.*'b'"),
        (lambda: pd.DataFrame([[1.0, "x"]] * 8, columns=["a", "a"]), "column 'a' holds 'x' at row 0"),
        (lambda: pd.DataFrame({0: X[:, 0], 7: TEXT}), "column 7 holds"),
        (lambda: _with("1.5"), "column 'b' holds '1.5' at row 5"),
        (lambda: pd.DataFrame({"a": X[:, 0], "b": [1.0, {1}] * 4}), r"column .b. holds \{1\} at row 1"),
        (lambda: _with(date(2026, 1, 1)), "column 'b' holds datetime.date"),
        (lambda: _with([1.0, 2.0]), r"column 'b' holds \[1.0, 2.0\] at row 5"),
        (lambda: [["a", "b"]] * 8, "X holds text"),
        (lambda: [[1.0, "b"]] * 8, "X holds text"),
        (lambda: np.full((8, 2), b"1"), "X holds text"),
        (lambda: np.full((8, 2), "1"), "X holds text"),
        (lambda: X.astype("datetime64[s]"), "X holds dates"),
        (lambda: X.astype("timedelta64[s]"), "X holds dates"),
        (_structured, "X holds records"),
        (lambda: X + 1j, "Complex data not supported"),
        (lambda: np.array([[1.0, None, "x"]] * 8, object), "X holds 'x' at row 0, column 2"),
    ],
)  # fmt: skip
def test_what_is_no_number_is_named(make, message):
    for call in _calls(make()):
        with pytest.raises(DtypeError, match=message):
            call()


@pytest.mark.parametrize("make", [sparse.csr_matrix, sparse.coo_array])
def test_sparse_rows_are_refused_where_they_would_be_filled(make):
    logistic_and_svm = [get_tags(probe).input_tags.sparse for probe in PROBES]
    assert 0 < sum(logistic_and_svm) < len(PROBES)
    # The logistic probe of a grid takes them too.
    for call, takes in zip(_calls(make(X)), [*logistic_and_svm, *[False] * 3, True], strict=True):
        if not takes:
            with pytest.raises(DtypeError, match=r"sparse matrix\n.*toarray"):
                call()


@pytest.mark.parametrize("missing", [None, pd.NA, np.nan, Decimal("nan")])
def test_what_is_missing_is_a_nan_with_a_place(missing):
    for given in (_with(missing), np.array(_with(missing), object)):
        for probe in PROBES:
            with pytest.raises(NonFiniteError, match="row 5, column 1"):
                probe.fit(given, TEXT)
        with pytest.raises(NonFiniteError, match="row 5, column 1"):
            tl.nearest(given, given, k=1)


def test_masked_numbers_are_not_read():
    masked = np.ma.masked_array(X, mask=np.arange(24).reshape(8, 3) == 16)
    for call in _calls(masked):
        with pytest.raises(NonFiniteError, match="row 5, column 1"):
            call()
    free = np.ma.masked_array(X)
    np.testing.assert_array_equal(tl.LinearProbe().fit(free, TEXT).coef_, tl.LinearProbe().fit(X, TEXT).coef_)


@pytest.mark.parametrize(
    "make",
    [
        lambda: X.astype(object),
        lambda: np.array([[Fraction(float(v)) for v in row] for row in X]),
        lambda: np.array([[Decimal(float(v)) for v in row] for row in X]),
        lambda: [list(map(float, row)) for row in X],
        lambda: list(X),
        lambda: tuple(map(tuple, X)),
        lambda: pd.DataFrame(X, columns=NAMES),
        lambda: pd.DataFrame(X, columns=NAMES).astype("Float64"),
        lambda: pd.DataFrame(X, columns=NAMES).astype(object),
        lambda: pd.DataFrame(X, columns=NAMES).astype({"a": "float64[pyarrow]"}),
        lambda: pd.DataFrame(X, columns=NAMES).astype({"b": pd.SparseDtype("float32")}),
    ],
)
@pytest.mark.filterwarnings("ignore:pandas.DataFrame with sparse columns")
def test_numbers_from_anywhere(make):
    given = make()
    for probe in PROBES:
        found = probe.fit(given, TEXT).predict(given)
        np.testing.assert_array_equal(found, probe.fit(X, TEXT).predict(X))
        assert list(getattr(probe, "feature_names_in_", NAMES)) == NAMES
    np.testing.assert_array_equal(tl.nearest(given, given, k=3)[0], tl.nearest(X, X, k=3)[0])


def test_arrow_tables():
    arrow = pytest.importorskip("pyarrow")
    table = arrow.table(dict(zip(NAMES, X.T, strict=True)))
    assert tl.LinearProbe().fit(table, TEXT).feature_names_in_.tolist() == NAMES
    for call in _calls(table.append_column("where", arrow.array(TEXT))):
        with pytest.raises(DtypeError, match="column 'where' holds 'a' at row 0"):
            call()


@pytest.mark.parametrize("make", [lambda: HALF, lambda: pd.DataFrame(HALF), lambda: HALF.tolist()])
def test_sixteen_bits_stay_thirty_two(make):
    given = make()
    wide = HALF.astype(np.float32) if not isinstance(given, list) else HALF.astype(np.float64)
    assert tl.LinearProbe().fit(given, TEXT).coef_.dtype == wide.dtype
    assert tl.KNeighborsProbe(k=1).fit(given, TEXT).rows_.dtype == wide.dtype
    assert tl.RidgeRegressor().fit(given, np.arange(8)).coef_.dtype == wide.dtype
    assert as_rows(given, "X").dtype == wide.dtype
    for probe in PROBES:
        found = probe.fit(given, TEXT).predict(given)
        np.testing.assert_array_equal(found, probe.fit(wide, TEXT).predict(wide))


def test_bfloat16_of_numpy():
    types = pytest.importorskip("ml_dtypes")
    given = X.astype(types.bfloat16)
    assert dense(given, "X").dtype == np.float32
    np.testing.assert_array_equal(dense(given, "X"), given.astype(np.float32))


@pytest.mark.parametrize(
    "given", [[[1.0, 2.0], [1.0]], [[1.0], 2.0], 3.0, "text", None, iter([1.0]), {1.0, 2.0}]
)
def test_what_is_no_matrix_is_refused(given):
    for call in _calls(given):
        with pytest.raises((InputError, ValueError)):
            call()


def test_ragged_rows_and_tables_as_arrays():
    with pytest.raises(ShapeMismatchError, match="X has rows of different length"):
        dense([[1.0], [1.0, 2.0]], "X")
    array = dense_array(pd.DataFrame({"a": [1, None]}, dtype="Int64"), "X")
    assert np.isnan(array[1, 0])
    assert array.dtype == np.float64


def test_nothing_is_copied_that_fits():
    assert dense(X, "X") is X
    table = pd.DataFrame(X, columns=NAMES)
    assert dense(table, "X") is table
