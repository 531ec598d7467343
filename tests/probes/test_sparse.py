"""Sparse X: the solutions are those of the filled X, with certificates that hold, and nothing is filled."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from tlengine import _core
from tlengine.errors import DtypeError, InputError, NonFiniteError, RunFormatError, ShapeMismatchError
from tlengine.probes import (
    KNeighborsProbe,
    LinearProbe,
    LinearProbeCV,
    LinearSVMProbe,
    LinearSVMProbeCV,
    NearestCentroidProbe,
    PreValProbe,
    RidgeProbe,
    RidgeProbeCV,
    from_pretrained,
    probe_path,
)
from tlengine.probes.sparse import as_csr

from .conftest import objective


def texts(n=200, d=300, classes=4, density=0.03, seed=0, dtype=np.float64):
    """Rows of length 1 with few entries, some of them of the class; with an empty row and an empty column."""
    rng = np.random.default_rng(seed)
    y = rng.integers(classes, size=n)
    y[:classes] = np.arange(classes)
    X = sp.random(n, d, density, format="lil", rng=rng)
    for row in range(n):
        X[row, rng.integers(5) * classes + y[row]] = rng.random() + 0.5
    X[n // 2] = 0
    X[:, d // 2] = 0
    X = X.tocsr()
    norm = np.sqrt(np.asarray(X.multiply(X).sum(axis=1)).ravel())
    scale = sp.diags_array(1 / np.where(norm > 0, norm, 1))
    found = sp.csr_array(scale @ X).astype(dtype)
    found.sort_indices()
    return found, y


def derived(path, i, X, y, C, weight):
    """Objective and gap bound in NumPy, float64, from the filled X: independent of the core."""
    X, W, b = X.toarray().astype(float), path.coef_[i].astype(float), path.intercept_[i].astype(float)
    Z, total = X @ W.T + b, weight.sum()
    P = np.exp(Z - np.logaddexp.reduce(Z, axis=1)[:, None])
    Y = np.eye(Z.shape[1])[y]
    value = C * (weight * (np.logaddexp.reduce(Z, axis=1) - (Z * Y).sum(axis=1))).sum() + 0.5 * (W**2).sum()
    residual = weight[:, None] * (P - Y) / total
    lam = 1 / (C * total)
    G = residual.T @ X + lam * W
    H = (np.diag((weight[:, None] * P).sum(axis=0)) - (P * weight[:, None]).T @ P) / total
    step = np.linalg.pinv(H, rcond=1e-9, hermitian=True) @ residual.sum(axis=0)
    decrement = max(residual.sum(axis=0) @ step, 0.0) * np.exp(2 * abs(step).max())
    reach = (((X - np.average(X, axis=0, weights=weight)) ** 2).sum(axis=1)).max()
    centred = G - np.outer(residual.sum(axis=0), np.average(X, axis=0, weights=weight))
    size = np.linalg.norm(centred) + np.sqrt(reach * np.trace(H) * decrement)
    return value, (size**2 / (2 * lam) + decrement / 2) / lam


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(
    n=st.integers(20, 150), d=st.integers(1, 60), classes=st.integers(3, 20), density=st.floats(0, 0.3),
    offset=st.sampled_from([0.0, 3.0]), weighted=st.booleans(), seed=st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=15, deadline=None)
def test_certificate_is_true(n, d, classes, density, offset, weighted, seed, dtype):
    rng = np.random.default_rng(seed)
    X = sp.random(n, d, density, rng=rng, format="csr", dtype=np.float64)
    X.data = (X.data + offset).astype(dtype)
    y = np.arange(n) % classes
    weight = rng.random(n) + 0.1 if weighted else np.ones(n)
    Cs = [0.01, 1.0, 100.0]
    path = probe_path(X, y, Cs, sample_weight=weight, tol=1e-6)
    filled = probe_path(X.toarray(), y, Cs, sample_weight=weight, tol=1e-6)
    assert path.converged_.all()
    assert path.coef_.dtype == dtype
    for i, C in enumerate(Cs):
        value, gap = derived(path, i, X, y, C, weight)
        assert path.objective_[i] == pytest.approx(value, rel=1e-9)
        assert path.gap_bound_[i] == pytest.approx(gap, rel=1e-3, abs=1e-11 * value)
        assert path.objective_[i] - path.gap_bound_[i] <= filled.objective_[i] * (1 + 1e-12)
        assert filled.objective_[i] - filled.gap_bound_[i] <= path.objective_[i] * (1 + 1e-12)


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("make", [LinearProbe, LinearSVMProbe])
def test_solutions_are_those_of_the_filled_x(make, classes, intercept):
    X, y = texts(classes=classes)
    probe = make(3.0, tol=1e-9, fit_intercept=intercept).fit(X, y)
    filled = make(3.0, tol=1e-9, fit_intercept=intercept).fit(X.toarray(), y)
    assert probe.converged_
    assert probe.objective_ == pytest.approx(filled.objective_, rel=2e-9)
    np.testing.assert_allclose(probe.decision_function(X), filled.decision_function(X.toarray()), atol=2e-3)
    np.testing.assert_array_equal(probe.predict(X), filled.predict(X.toarray()))


@pytest.mark.parametrize("classes", [2, 5])
def test_objective_is_that_of_scikit_learn(classes):
    X, y = texts(classes=classes)
    path = probe_path(X, y, [1.0], tol=1e-8)
    peer = LogisticRegression(C=1.0, tol=1e-9, max_iter=10000).fit(X, y)
    probe = LinearProbe(1.0, tol=1e-8).fit(X, y)
    np.testing.assert_allclose(probe.predict_proba(X), peer.predict_proba(X), atol=1e-4)
    probe.coef_, probe.intercept_ = peer.coef_, peer.intercept_
    theirs = objective(_one(probe), 0, X.toarray(), y, 1.0)
    assert path.objective_[0] <= theirs * (1 + 1e-8)
    assert theirs <= path.objective_[0] * (1 + 1e-6)


def _one(probe):
    class Path:
        coef_, intercept_, classes_ = probe.coef_[None], probe.intercept_[None], probe.classes_

    return Path


def test_folds_are_scored_on_the_rows_held_out():
    X, y = texts()
    rows = np.arange(len(y))
    splits = [(rows[rows % 3 != k], rows[rows % 3 == k]) for k in range(3)]
    path = probe_path(X, y, [0.1, 10.0], folds=splits, tol=1e-8)
    for (train, test), fold in zip(splits, path.folds, strict=True):
        alone = LinearProbe(10.0, tol=1e-8).fit(X[train], y[train])
        assert fold.objective_[1] == pytest.approx(alone.objective_, rel=1e-6)
        expected = log_loss(y[test], alone.predict_proba(X[test]), labels=range(4))
        assert fold.log_loss_[1] == pytest.approx(expected, rel=1e-3)
        assert fold.accuracy_[1] == pytest.approx(alone.score(X[test], y[test]), abs=0.02)


@pytest.mark.filterwarnings("ignore::tlengine.errors.GridEdgeWarning")  # three values of C are not the point
@pytest.mark.parametrize("make", [
    lambda: LinearProbeCV([0.1, 1, 10], cv=3, tol=1e-7),
    lambda: LinearProbeCV([0.1, 1, 10], cv=3, tol=1e-7, multi_class="ovr"),
    lambda: LinearProbeCV([0.1, 1, 10], cv=3, tol=1e-7, class_weight="balanced"),
        lambda: LinearProbeCV([0.1, 1, 10], cv=3, tol=1e-7, scoring="f1_macro"),
    lambda: LinearSVMProbeCV([0.1, 1, 10], cv=3, tol=1e-7),
])  # fmt: skip
def test_cross_validation_with_groups_and_weights_is_that_of_the_filled_x(make):
    X, y = texts()
    weight = np.random.default_rng(1).integers(0, 3, len(y)).astype(float)
    groups = np.arange(len(y)) // 2
    ours = make().fit(X, y, sample_weight=weight, groups=groups)
    filled = make().fit(X.toarray(), y, sample_weight=weight, groups=groups)
    assert ours.C_ == filled.C_
    np.testing.assert_allclose(ours.scores_, filled.scores_, atol=1e-3)
    assert ours.converged_.all()


@pytest.mark.parametrize("make", [LinearProbe, LinearSVMProbe])
def test_several_labels_per_row(make):
    X, y = texts()
    Y = np.stack([y == 0, y > 1, y % 2], axis=1).astype(int)
    ours, filled = make(1.0, tol=1e-9).fit(X, Y), make(1.0, tol=1e-9).fit(X.toarray(), Y)
    assert ours.objective_ == pytest.approx(filled.objective_, rel=2e-9)
    np.testing.assert_array_equal(ours.predict(X), filled.predict(X.toarray()))


def test_a_weight_of_two_is_a_repeated_row_and_zero_leaves_out():
    X, y = texts(n=90)
    weight = np.arange(90) % 3
    repeated = np.repeat(np.arange(90), weight)
    ours = LinearProbe(tol=1e-10).fit(X, y, sample_weight=weight)
    again = LinearProbe(tol=1e-10).fit(X[repeated], y[repeated])
    np.testing.assert_allclose(ours.coef_, again.coef_, atol=1e-6)


@pytest.mark.parametrize("threads", [2, 3, 7])
def test_threads_change_no_bit(threads):
    X, y = texts(n=3000, d=200, density=0.1, dtype=np.float32)
    one, many = (probe_path(X, y, [1.0, 10.0], folds=2, n_jobs=n) for n in (1, threads))
    np.testing.assert_array_equal(one.coef_, many.coef_)
    np.testing.assert_array_equal(one.folds[1].log_loss_, many.folds[1].log_loss_)


@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "lil", "dok", "bsr"])
@pytest.mark.parametrize("make", [sp.csr_array, sp.csr_matrix])
def test_every_format_is_the_same_matrix_and_stays_as_it_is(make, kind):
    X, y = texts(n=60, d=40)
    given = make(X).asformat(kind)
    before = given.copy()
    probe = LinearProbe().fit(given, y)
    np.testing.assert_array_equal(probe.coef_, LinearProbe().fit(X, y).coef_)
    assert (given != before).nnz == 0
    assert given.format == kind
    assert probe.predict(given).shape == (60,)


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int64, np.bool_, np.float16])
def test_numbers_of_every_type(dtype):
    X, y = texts(n=60, d=40)
    counts = sp.csr_array((X > 0).astype(np.float32) * 2)
    given = counts.copy()
    given.data = given.data.astype(dtype)
    expected = counts.astype(np.float32 if dtype is np.float16 else np.float64)
    if dtype is np.bool_:
        expected.data[:] = 1
    np.testing.assert_array_equal(LinearProbe().fit(given, y).coef_, LinearProbe().fit(expected, y).coef_)


def test_duplicates_disorder_zeros_and_wide_indices_are_the_same_matrix():
    X, y = texts(n=60, d=40)
    parts = sp.coo_array(X)
    half = np.concatenate([parts.data / 2, parts.data / 2, [0.0]])
    rows, columns = (np.concatenate([at, at, [7]])[::-1] for at in (parts.row, parts.col))
    order = np.argsort(rows, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=60))])
    given = sp.csr_array((half[::-1][order], columns[order], starts), shape=X.shape)
    given.indices, given.indptr = given.indices.astype(np.int64), given.indptr.astype(np.int64)
    assert not given.has_canonical_format
    probe, plain = LinearProbe(tol=1e-10).fit(given, y), LinearProbe(tol=1e-10).fit(X, y)
    np.testing.assert_allclose(probe.coef_, plain.coef_, atol=1e-9)
    np.testing.assert_allclose(probe.decision_function(given), plain.decision_function(X), atol=1e-8)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("make", [LinearProbe, LinearSVMProbe])
def test_the_first_bad_number_is_named(make, value):
    X, y = texts(n=60, d=40)
    probe = make().fit(X, y)
    X.data[X.indptr[31] :] = value
    column = X.indices[X.indptr[31]]
    for call in (lambda: make().fit(X, y), lambda: probe.predict(X)):
        with pytest.raises(NonFiniteError, match=f"row 31, column {column}"):
            call()


def test_a_broken_matrix_is_refused():
    X, y = texts(n=60, d=40)
    for change in ({"indices": (3, -1)}, {"indices": (3, 40)}, {"indptr": (5, 10**6)}, {"indptr": (60, 3)}):
        ((name, (at, value)),) = change.items()
        broken = X.copy()
        getattr(broken, name)[at] = value
        with pytest.raises(InputError, match="no valid sparse matrix"):
            LinearProbe().fit(broken, y)
    place = sp.coo_array(X, copy=True)
    place.coords[1][0] = 40
    with pytest.raises(InputError, match="no valid sparse matrix"):
        LinearProbe().fit(place, y)
    with pytest.raises(DtypeError, match="Complex"):
        LinearProbe().fit(X.astype(complex), y)
    with pytest.raises(ShapeMismatchError, match="rows"):
        LinearProbe().fit(X, y[:-1])
    with pytest.raises(ValueError, match="40 features"):
        LinearProbe().fit(X, y).predict(X[:, :30])


@pytest.mark.parametrize("indices", [[0, -1], [0, 5], [2**31 - 1, 0]])
def test_the_core_follows_no_index_out_of_x(indices):
    task = ("logistic", 1, np.array([[1, -1]], np.int8), np.ones(2), None)
    X = (np.ones(2), np.array(indices, np.int32), np.array([0, 1, 2]), 5)
    with pytest.raises(ShapeMismatchError, match="column"):
        _core.solve_paths([(X, None, [task])], [1.0], tol=1e-4, max_iter=9, fit_intercept=True, threads=1)
    with pytest.raises(InputError, match="row numbers"):
        _core.solve_paths(
            [(X, np.arange(2), [task])], [1.0], tol=1e-4, max_iter=9, fit_intercept=True, threads=1
        )


def test_a_matrix_without_a_number_gives_the_class_shares():
    X, y = sp.csr_array((8, 5)), np.array([0, 0, 0, 0, 0, 1, 1, 1])
    probe = LinearProbe(tol=1e-9).fit(X, y)
    np.testing.assert_allclose(probe.predict_proba(X)[:, 1], 3 / 8, atol=1e-4)
    assert not probe.coef_.any()


def test_columns_far_from_zero_are_certified():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 6)) * [1e-3, 1, 1, 10, 1e3, 1] + [0, 1e3, 0, 1e4, 0, 0]
    y = (X[:, 2] + rng.normal(size=300) > 0).astype(int)
    for dtype in (np.float32, np.float64):
        probe = LinearProbe(1.0, tol=1e-6).fit(sp.csr_array(X.astype(dtype)), y)
        assert probe.converged_
        filled = LinearProbe(1.0, tol=1e-6).fit(X.astype(dtype), y)
        assert probe.objective_ == pytest.approx(filled.objective_, rel=2e-6)


@pytest.mark.parametrize(
    "make", [RidgeProbe, RidgeProbeCV, PreValProbe, KNeighborsProbe, NearestCentroidProbe]
)
def test_other_probes_refuse_and_say_how(make):
    X, y = texts(n=60, d=40)
    with pytest.raises(DtypeError, match="toarray"):
        make().fit(X, y)


def test_a_path_goes_on_where_it_was_for_the_same_entries_alone(tmp_path):
    X, y = texts(n=60, d=40)
    first = probe_path(X, y, [0.1, 1.0], resume=tmp_path / "path")
    again = probe_path(X, y, [0.1, 1.0, 10.0], resume=tmp_path / "path")
    np.testing.assert_array_equal(again.coef_[:2], first.coef_)
    X.data[3] *= 2
    with pytest.raises(RunFormatError, match="other data"):
        probe_path(X, y, [0.1, 1.0], resume=tmp_path / "path")


def test_a_saved_probe_predicts_sparse_rows(tmp_path):
    X, y = texts(n=60, d=40, dtype=np.float32)
    probe = LinearProbe().fit(X, y)
    loaded = from_pretrained(probe.save_pretrained(tmp_path / "probe"))
    np.testing.assert_array_equal(loaded.predict_proba(X), probe.predict_proba(X))
    np.testing.assert_allclose(loaded.predict_proba(X.toarray()), probe.predict_proba(X), atol=1e-5)


def test_as_csr_copies_nothing_that_is_in_order():
    X, _ = texts(n=60, d=40)
    assert np.shares_memory(as_csr(X).data, X.data)


def test_memory_is_that_of_the_entries():
    """20,000 x 50,000 at 0.1 %: 4 GB as float32; the solver's vectors and X take a twentieth."""
    script = """
        import resource
        import numpy as np, scipy.sparse as sp
        from tlengine.probes import LinearProbe
        rng = np.random.default_rng(0)
        n, d, each = 20_000, 50_000, 50
        columns = rng.integers(d, size=(n, each))
        values, starts = rng.random(n * each, dtype=np.float32), np.arange(n + 1) * each
        X = sp.csr_array((values, columns.ravel(), starts), (n, d))
        y = (columns < 1_000).any(axis=1)
        LinearProbe(0.01, tol=1e-2).fit(X[:100], y[:100])
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        probe = LinearProbe(0.01, tol=1e-2).fit(X, y)
        probe.predict_proba(X)
        assert probe.converged_
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    found = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    unit = 1024 if sys.platform == "linux" else 1
    assert int(found.stdout) * unit < 200e6
