"""A column per label: sparse and named Y, unknown labels, and what is no such matrix."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.metrics import average_precision_score
from sklearn.model_selection import cross_val_score
from sklearn.preprocessing import MultiLabelBinarizer

import tlengine as tl
from tlengine.errors import DtypeError, LabelError, ShapeMismatchError, SingleClassError
from tlengine.probes import probe_path
from tlengine.probes.indicators import column_names, dense_indicators, encode_indicators, is_multilabel

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 4))
Y = (X[:, :3] + 0.5 * rng.normal(size=(60, 3)) > 0).astype(int)
NAMES = ["cat", "dog", "big"]
PROBES = [
    tl.LinearProbe(0.5),
    tl.LinearProbeCV(Cs=[0.1, 1.0], cv=2),
    tl.LinearSVMProbe(0.1),
    tl.RidgeProbe(),
    tl.RidgeProbeCV(alphas=[0.1, 10.0]),
]


@pytest.fixture(params=PROBES, ids=lambda probe: type(probe).__name__)
def probe(request):
    return request.param


@pytest.mark.parametrize("make", [sparse.csr_matrix, sparse.csc_array, sparse.coo_array, sparse.lil_matrix])
@pytest.mark.parametrize("dtype", [np.int64, np.int8, np.float32, bool])
def test_sparse_labels_are_those_of_the_array(probe, make, dtype):
    given = make(Y.astype(dtype))
    before = given.copy()
    found = probe.fit(X, given).decision_function(X)
    assert probe.predict(X).shape == Y.shape
    np.testing.assert_array_equal(found, probe.fit(X, Y).decision_function(X))
    assert (given != before).nnz == 0


def test_what_multi_label_binarizer_makes():
    sets = [{name for name, has in zip(NAMES, row, strict=True) if has} for row in Y]
    binarizer = MultiLabelBinarizer(sparse_output=True)
    indicators = binarizer.fit_transform(sets)
    probe = tl.LinearProbe().fit(X, indicators)
    assert [set(labels) for labels in binarizer.inverse_transform(probe.predict(X))] != [set()] * 60
    assert dense_indicators(indicators).dtype == bool


def test_cells_stored_twice_and_stored_zeros():
    twice = sparse.coo_array(([1, 1], ([2, 2], [1, 1])), shape=(4, 2))
    with pytest.raises(LabelError, match="Y has 2 at row 2, label 1"):
        encode_indicators(twice)
    zeros = sparse.coo_array(([1, 0], ([2, 3], [1, 1])), shape=(4, 2))
    assert encode_indicators(zeros).tolist() == [[False] * 2, [False] * 2, [False, True], [False] * 2]
    assert len(twice.data) == 2


@pytest.mark.parametrize("cell", [2, -1, 0.5, np.nan])
def test_a_wrong_sparse_cell_is_named(cell):
    wrong = Y.astype(float)
    wrong[7, 2] = cell
    with pytest.raises(LabelError, match="row 7, label 2") as caught:
        tl.LinearProbe().fit(X, sparse.csr_array(wrong))
    assert (caught.value.context["row"], caught.value.context["column"]) == (7, 2)


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda: pd.DataFrame(Y, columns=NAMES), NAMES),
        (lambda: pd.DataFrame(Y.astype(bool), columns=NAMES), NAMES),
        (lambda: pd.DataFrame(Y, columns=NAMES).astype("Int64"), NAMES),
        (lambda: pd.DataFrame.sparse.from_spmatrix(sparse.csr_matrix(Y), columns=NAMES), NAMES),
        (lambda: pd.DataFrame(Y), [0, 1, 2]),
        (lambda: pd.DataFrame(Y, columns=[7, 3, 5]), [7, 3, 5]),
        (lambda: pd.DataFrame(Y, columns=["a", 1, None]), ["a", "1", "None"]),
        (lambda: pd.DataFrame(Y, columns=pd.MultiIndex.from_product([["a"], NAMES])).iloc[:, :2],
         ["('a', 'cat')", "('a', 'dog')"]),
        (lambda: Y, [0, 1, 2]),
        (lambda: Y.tolist(), [0, 1, 2]),
        (lambda: sparse.csr_array(Y), [0, 1, 2]),
    ],
)  # fmt: skip
def test_the_names_of_the_columns_are_the_classes(tmp_path, probe, make, names):
    given = make()
    probe.fit(X, given)
    assert probe.classes_.tolist() == names
    assert probe.multilabel_
    predicted = probe.predict(X)
    assert predicted.shape == (60, len(names))
    assert set(np.unique(predicted)) == {0, 1}
    loaded = tl.from_pretrained(probe.save_pretrained(tmp_path))
    assert loaded.classes_.tolist() == names
    np.testing.assert_array_equal(loaded.predict(X), predicted)


def test_names_of_arrow_tables_and_of_a_path():
    arrow = pytest.importorskip("pyarrow")
    table = arrow.table({name: Y[:, i] for i, name in enumerate(NAMES)})
    assert tl.RidgeProbe().fit(X, table).classes_.tolist() == NAMES
    assert probe_path(X, pd.DataFrame(Y, columns=NAMES), [1.0]).classes_.tolist() == NAMES


@pytest.mark.parametrize("scoring", ["average_precision", "f1_macro", "roc_auc"])
@pytest.mark.parametrize("count", [2, 3])
def test_scorers_of_scikit_learn_take_named_labels(probe, scoring, count):
    """Two names are two classes to the one scorer that asks for the positive one."""
    table = pd.DataFrame(Y[:, :count], columns=NAMES[:count])
    if (scoring, count) == ("average_precision", 2):
        fitted = probe.fit(X, table)
        assert average_precision_score(table, fitted.decision_function(X)) > 0.8
    else:
        assert cross_val_score(probe, X, table, scoring=scoring, cv=3).mean() > 0.6


def test_two_columns_of_one_name_are_refused(probe):
    with pytest.raises(LabelError, match="2 columns named 'cat'"):
        probe.fit(X, pd.DataFrame(Y, columns=["cat", "dog", "cat"]))


@pytest.mark.parametrize("missing", [np.nan, None, pd.NA])
def test_an_unknown_label_is_named_with_its_column(probe, missing):
    table = pd.DataFrame(Y, columns=NAMES).astype(object)
    table.iloc[11, 1] = missing
    with pytest.raises(
        LabelError, match=r"row 11, label 1 \('dog'\)[\s\S]*leave out rows[\s\S]*one probe for each"
    ):
        probe.fit(X, table)
    weight = np.ones(60)
    weight[11] = 0
    kept = np.arange(60) != 11
    found = probe.fit(X, table, sample_weight=weight).coef_
    np.testing.assert_allclose(found, probe.fit(X[kept], Y[kept]).coef_, atol=1e-3)


def test_the_row_is_that_of_the_input_where_rows_count_nothing():
    wrong = Y.copy()
    wrong[9, 0] = 3
    weight = np.ones(60)
    weight[:5] = 0
    with pytest.raises(LabelError, match="Y has 3 at row 9, label 0"):
        tl.LinearProbe().fit(X, wrong, sample_weight=weight)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ([["a", "b"], ["b", "c"]] * 30, LabelError, r"row 0 of y is a list.*\n.*MultiLabelBinarizer"),
        ([["a", "b"], ["b"]] * 30, LabelError, r"row 0 of y is a list.*\n.*MultiLabelBinarizer"),
        ([[0, 1], [1]] * 30, LabelError, r"row 1 of y is a list.*\n.*MultiLabelBinarizer"),
        ([(0, 1), (1,)] * 30, LabelError, r"row 1 of y is a tuple.*\n.*MultiLabelBinarizer"),
        ([[1, 5], [2, 3]] * 30, LabelError, r"Y has 5 at row 0, label 1.*\n.*MultiLabelBinarizer"),
        (np.array([["a", "b"]] * 60), LabelError, r"dtype <U1.*\n.*MultiLabelBinarizer"),
        (np.ones((60, 2)), SingleClassError, "same labels"),
        (np.ones((60, 2), complex), LabelError, "complex"),
        ([[[0], [1]]] * 60, ShapeMismatchError, "shape"),
        (sparse.csr_array(Y[:, :1]), DtypeError, r"sparse matrix\n.*toarray"),
        (sparse.csr_array(Y[:-1]), ShapeMismatchError, "59"),
    ],
)
def test_what_is_no_column_per_label(probe, given, error, message):
    with pytest.raises(error, match=message):
        probe.fit(X, given)


def test_probes_of_one_label_per_row_say_which_take_several():
    for given in (Y, pd.DataFrame(Y, columns=NAMES), Y.tolist()):
        with pytest.raises(
            ShapeMismatchError, match=r"NearestCentroidProbe takes one label per row[\s\S]*all probes but"
        ):
            tl.NearestCentroidProbe().fit(X, given)


def test_names():
    assert column_names(np.zeros((2, 3)), 3).tolist() == [0, 1, 2]
    assert column_names(pd.DataFrame({"a": [1]}), 1).dtype == object
    assert is_multilabel(sparse.csr_array(Y))
    assert not is_multilabel(sparse.csr_array(Y[:, :1]))
