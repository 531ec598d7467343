"""Nearest neighbours against a brute force in extended precision, and the vote on top of them."""

import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.utils.estimator_checks import parametrize_with_checks

import tlengine as tl
from tlengine.errors import (
    DtypeError,
    EmptyInputError,
    InputError,
    LabelError,
    NonFiniteError,
    ShapeMismatchError,
    SingleClassError,
)
from tlengine.probes import NeighborIndex, neighbor_votes

METRICS = ("cosine", "inner", "euclidean")


@parametrize_with_checks([tl.KNeighborsProbe(), tl.KNeighborsProbe(metric="euclidean", temperature=1.0)])
def test_scikit_learn_contract(estimator, check):
    check(estimator)


def reference(Q, X, metric):
    """Scores, larger is nearer, in extended precision."""
    Q, X = Q.astype(np.longdouble), X.astype(np.longdouble)
    if metric == "euclidean":
        return -np.sqrt(np.square(Q[:, None] - X).sum(axis=-1))
    products = np.einsum("id,jd->ij", Q, X)
    if metric == "inner":
        return products
    norms = np.sqrt(np.square(Q).sum(axis=1))[:, None] * np.sqrt(np.square(X).sum(axis=1))
    return np.divide(products, norms, out=np.zeros_like(products), where=norms > 0)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("rows", [1e140, 1e151, 1e200, 1e300, 1e-140, 1e-160, 1e-200, 1e-300, 1e-310])
@pytest.mark.parametrize("queries", [1.0, 1e200, 1e-200])
def test_any_size_of_float64(metric, rows, queries):
    rng = np.random.default_rng(5)
    X = rng.standard_normal((60, 7)) * rows
    Q = rng.standard_normal((9, 7)) * queries
    if metric == "inner":  # scores beyond float64 are told apart all the same
        plain = tl.nearest(Q / queries, X / rows, k=5, metric=metric)[0]
        np.testing.assert_array_equal(tl.nearest(Q, X, k=5, metric=metric)[0], plain)
    else:
        assert_nearest(Q, X, 5, metric)
    assert_nearest(X, X, 5, metric if metric != "inner" else "cosine")
    ids, scores = NeighborIndex(X, metric).search(k=3)
    there = reference(X, X, metric)
    np.fill_diagonal(there, -np.inf)
    np.testing.assert_array_equal(ids, np.argsort(-there, axis=1, kind="stable")[:, :3])
    assert not np.isnan(scores).any()


def test_directions_of_rows_of_all_sizes():
    rng = np.random.default_rng(6)
    X = rng.standard_normal((40, 5)) * 10.0 ** rng.uniform(-290, 290, (40, 1))
    Q = rng.standard_normal((8, 5)) * 10.0 ** rng.uniform(-290, 290, (8, 1))
    assert_nearest(Q, X, 4, "cosine")


@pytest.mark.parametrize("metric", ["inner", "euclidean"])
def test_one_query_of_another_size_changes_nothing_for_the_others(metric):
    X, _ = load_digits(return_X_y=True)
    plain = tl.nearest(X[:20], X[20:], k=3, metric=metric)
    for odd in (1e200, 1e-200):
        more = tl.nearest(np.vstack([X[:20], X[:1] * odd]), X[20:], k=3, metric=metric)
        for one, other in zip(plain, more, strict=True):
            np.testing.assert_array_equal(other[:20], one)


@pytest.mark.parametrize("metric", ["inner", "euclidean"])
@pytest.mark.parametrize("odd", [1e200, -1e-250])
def test_one_row_of_another_size_is_named(metric, odd):
    X = np.ones((50, 4)) * (1.0 if odd > 1 or odd < -1 else 1e200)
    X[7, 2] *= odd
    X[7, [0, 1, 3]] *= odd
    with pytest.raises(InputError, match=r"row .* 7|row 7|row 0") as caught:
        NeighborIndex(X, metric)
    assert "cosine" in str(caught.value)


def test_neighbours_vote_at_any_size():
    X, y = load_digits(return_X_y=True)
    plain = tl.KNeighborsProbe(metric="euclidean", temperature=10.0).fit(X, y)
    for size in (2.0**700, 2.0**-700):
        sized = tl.KNeighborsProbe(metric="euclidean", temperature=10.0 * size).fit(X * size, y)
        np.testing.assert_array_equal(sized.predict_proba(X[:90] * size), plain.predict_proba(X[:90]))


def assert_nearest(Q, X, k, metric, **options):
    ids, scores = tl.nearest(Q, X, k=k, metric=metric, **options)
    exact = reference(Q, X, metric)
    found = np.take_along_axis(exact, ids, axis=1)
    signed = -scores if metric == "euclidean" else scores
    unit = np.finfo(np.float64).eps * np.abs(exact).max(axis=1, keepdims=True) + 5e-324
    assert (np.abs(signed - found) <= unit).all()
    # Neighbours are sorted by score, equal scores by row, and nothing better was left out.
    step, order = np.diff(signed, axis=1), np.diff(ids, axis=1)
    assert ((step < 0) | ((step == 0) & (order > 0))).all()
    left = exact.copy()
    np.put_along_axis(left, ids, -np.inf, axis=1)
    assert (left.max(axis=1, keepdims=True) <= found[:, -1:] + unit).all()


def hard_cases():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((700, 24)).astype(np.float32)
    Q = rng.standard_normal((30, 24)).astype(np.float32)
    sizes = (10.0 ** rng.integers(-30, 31, (700, 1))).astype(np.float32)
    wide = X.copy()
    wide[:, 0] *= 1e6
    return {
        "plain": (Q, X),
        "offset": (Q + np.float32(1e4), X + np.float32(1e4)),
        "offset of the rows alone": (Q, X + np.float32(1e4)),
        "offset in float64": (Q + 1e6, X + 1e6),
        "two far clusters": (Q, X + 1e4 * np.sign(X[:, :1])),
        "one row": (Q, np.tile(X[:1], (700, 1))),
        "duplicates": (X[:30], X[rng.integers(0, 9, 700)]),
        "scaled duplicates": (Q, X[rng.integers(0, 9, 700)] * sizes),
        "norms": (Q, X * sizes),
        "tiny": (Q * np.float32(1e-30), X * np.float32(1e-30)),
        "huge": (Q * np.float32(1e30), X * np.float32(1e30)),
        "far queries": (Q * np.float32(1e20), X),
        "wide column": (Q, wide),
        "signs": (np.sign(Q), np.sign(X)),
        "zeros": (Q * (np.arange(30) % 2)[:, None], X * (np.arange(700) % 3)[:, None]),
    }


@pytest.mark.parametrize("case", hard_cases())
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_exact_on_hard_data(case, metric, precision):
    Q, X = hard_cases()[case]
    for k in (1, 20, 700):
        assert_nearest(Q, X, k, metric, precision=precision)


@pytest.mark.parametrize("misleading", [False, True])
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_a_wrong_guess_at_the_last_score_costs_no_neighbour(precision, misleading):
    """Most near rows lie among those that are scanned first: the guess made there is too high."""
    rng = np.random.default_rng(5)
    X = rng.integers(-1, 2, (9000, 512)).astype(np.float32)
    Q = np.sign(rng.standard_normal((250, 512))).astype(np.float32)
    if misleading:
        # Five rows of every 36th panel of 32 rows: in the sample, however panels make up blocks.
        near = np.flatnonzero(np.arange(9000) % (36 * 32) < 5)
        X[near] = 1.0
        X[near, np.arange(len(near))] = -1.0
        Q[:] = 1.0
        Q[:, 0] = rng.integers(0, 100, 250)
    want = np.argsort(-(Q.astype(np.float64) @ X.T), axis=1, kind="stable")
    for k in (20, 40, 60):
        ids, _ = tl.nearest(Q, X, k=k, metric="inner", precision=precision)
        np.testing.assert_array_equal(ids, want[:, :k])


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_exact_with_ties(data):
    """On small whole numbers float64 is exact, so ids are equal to those of a stable sort."""
    d, n, m = (data.draw(st.integers(1, high)) for high in (40, 90, 30))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    X, Q = (rng.integers(-3, 4, (rows, d)).astype(np.float32) for rows in (n, m))
    k = data.draw(st.integers(1, n))
    for metric, scores in (("inner", Q @ X.T), ("euclidean", -np.square(Q[:, None] - X).sum(-1))):
        want = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        for precision in ("float32", "bfloat16", "int8"):
            ids, _ = tl.nearest(Q, X, k=k, metric=metric, precision=precision)
            np.testing.assert_array_equal(ids, want)


def test_many_queries_and_rows():
    rng = np.random.default_rng(1)
    X, Q = (rng.standard_normal((n, 40)).astype(np.float32) for n in (9000, 1100))
    for precision in ("auto", "float", "float32", "bfloat16", "int8"):
        ids, scores = tl.nearest(Q, X, k=7, precision=precision)
        exact = reference(Q[::50], X, "cosine")
        np.testing.assert_array_equal(ids[::50], np.argsort(-exact, axis=1, kind="stable")[:, :7])
        for some in (slice(0, 1), slice(3, 8), slice(100, 190)):
            again = tl.nearest(Q[some], X, k=7, precision=precision)
            np.testing.assert_array_equal(again[0], ids[some])
            np.testing.assert_array_equal(again[1], scores[some])


def test_data_that_8_bits_cannot_tell_apart_are_searched_in_floating_point():
    rng = np.random.default_rng(2)
    X = rng.standard_normal((5000, 8)).astype(np.float32)
    X[:, 0] *= 1e5
    X[:, 0] = np.round(X[:, 0], -5)
    assert_nearest(X[:200], X, 5, "euclidean")


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("metric", METRICS)
def test_leave_one_out(metric, precision):
    rng = np.random.default_rng(3)
    X = rng.integers(-2, 3, (300, 6)).astype(np.float32)
    ids, scores = NeighborIndex(X, metric, precision=precision).search(k=11)
    everyone, all_scores = tl.nearest(X, X, k=12, metric=metric)
    for row in range(300):
        want = [int(i) for i in everyone[row] if i != row][:11]
        assert ids[row].tolist() == want
        assert set(scores[row]) <= set(all_scores[row])


@pytest.mark.parametrize(
    "change",
    [
        np.asfortranarray,
        lambda a: a[::-1],
        lambda a: np.repeat(a, 2, axis=1)[:, ::2],
        lambda a: a.astype(">f4"),
        lambda a: a.astype(np.float16),
        lambda a: a.astype(np.int64),
        lambda a: a.astype(np.int8),
        lambda a: a.astype(np.float64),
        lambda a: a.astype(np.longdouble),
        lambda a: a.tolist(),
        lambda a: a.view(np.memmap),
    ],
)
def test_layouts_and_types(change):
    rng = np.random.default_rng(4)
    X = rng.integers(-9, 10, (60, 5)).astype(np.float32)
    Q = rng.integers(-9, 10, (7, 5)).astype(np.float32)
    given_X, given_Q = change(X), change(Q)
    before = np.array(given_X, copy=True)
    if isinstance(given_X, np.ndarray):
        given_X.flags.writeable = False
    ids, scores = tl.nearest(given_Q, given_X, k=4)
    plain = tl.nearest(np.array(given_Q, dtype=np.float32), np.array(given_X, dtype=np.float32), k=4)
    np.testing.assert_array_equal(ids, plain[0])
    np.testing.assert_array_equal(scores, plain[1])
    assert ids.dtype == np.int64
    assert scores.dtype == np.float64
    np.testing.assert_array_equal(given_X, before)


def test_float64_queries_of_a_float32_index_keep_their_digits():
    X = np.array([[1.0, 0.0], [1.0, 2e-8]], dtype=np.float32)
    Q = np.array([[1.0, 1.2e-8]], dtype=np.float64)
    assert NeighborIndex(X, "euclidean").search(Q, k=1)[0].tolist() == [[1]]
    assert tl.nearest(Q, X, k=1, metric="euclidean")[0].tolist() == [[1]]


def test_no_queries():
    ids, scores = tl.nearest(np.empty((0, 3)), np.eye(3), k=2)
    assert ids.shape == scores.shape == (0, 2)


SPARSE = type("Sparse", (), {"toarray": None, "shape": (3, 3)})()


@pytest.mark.parametrize(
    ("Q", "X", "options", "error"),
    [
        (np.eye(3), np.eye(3), {"k": 4}, InputError),
        (np.eye(3), np.eye(3), {"k": 0}, InputError),
        (np.eye(3), np.eye(3), {"k": 1, "metric": "cosin"}, InputError),
        (np.eye(3), np.eye(3), {"k": 1, "precision": "bf16"}, InputError),
        (np.eye(3), np.eye(3), {"k": 1, "n_jobs": 0}, InputError),
        (np.eye(3), np.eye(4), {"k": 1}, ShapeMismatchError),
        (np.ones(3), np.eye(3), {"k": 1}, ShapeMismatchError),
        (np.eye(3), np.empty((0, 3)), {"k": 1}, EmptyInputError),
        (np.empty((3, 0)), np.empty((3, 0)), {"k": 1}, EmptyInputError),
        (np.eye(3), np.array([["a"]]), {"k": 1}, DtypeError),
        (np.eye(3), np.eye(3) * 1j, {"k": 1}, DtypeError),
        (np.eye(3), SPARSE, {"k": 1}, DtypeError),
        (np.eye(3), np.ma.masked_array(np.eye(3), np.eye(3)), {"k": 1}, NonFiniteError),
    ],
)
def test_bad_input(Q, X, options, error):
    with pytest.raises(error) as caught:
        tl.nearest(Q, X, **options)
    assert str(caught.value).strip()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["Q", "X"])
def test_not_finite(name, value):
    arrays = {"Q": np.ones((9000, 3), np.float32), "X": np.ones((9000, 3), np.float32)}
    arrays[name][5000, 2] = arrays[name][8999, 0] = value
    with pytest.raises(NonFiniteError) as caught:
        tl.nearest(**arrays, k=1)
    assert (caught.value.context["row"], caught.value.context["column"]) == (5000, 2)
    assert str(caught.value).startswith(f"{name} contains NaN or infinity")


def test_vote_is_that_of_dino():
    rng = np.random.default_rng(5)
    X, Q = (rng.standard_normal((n, 16)).astype(np.float32) for n in (400, 50))
    y = rng.integers(0, 7, 400)
    ks, temperatures = (200, 5, 5000), (0.07, 1.0)
    votes = neighbor_votes(Q, X, y, k=ks, temperature=temperatures)
    assert votes.k == (200, 5, 400)
    assert votes.proba.shape == (2, 3, 50, 7)
    similarity = np.asarray(reference(Q, X, "cosine"), dtype=np.float64)
    order = np.argsort(-similarity, axis=1, kind="stable")
    for t, temperature in enumerate(temperatures):
        for i, k in enumerate(votes.k):
            top = np.take_along_axis(similarity, order[:, :k], axis=1)
            weights = np.exp((top - top[:, :1]) / temperature)
            shares = (weights[..., None] * np.eye(7)[y[order[:, :k]]]).sum(axis=1) / weights.sum(1)[:, None]
            expected = (shares * k + 1 / 7) / (k + 1)
            np.testing.assert_allclose(votes.proba[t, i], expected, rtol=1e-9)
            probe = tl.KNeighborsProbe(k=ks[i], temperature=temperature).fit(X, y)
            np.testing.assert_array_equal(probe.predict_proba(Q), votes.proba[t, i])
            np.testing.assert_array_equal(probe.predict(Q), votes.predict()[t, i])


def test_large_scores_do_not_overflow():
    X = np.array([[1e4, 0.0], [-1e4, 0.0], [0.0, 1e4]])
    votes = neighbor_votes(X, X, [0, 1, 2], k=[3], temperature=[1e-8], metric="euclidean")
    assert votes.predict()[0, 0].tolist() == [0, 1, 2]
    assert np.isfinite(votes.proba).all()


def test_digits():
    X, y = load_digits(return_X_y=True)
    train, test = np.arange(0, 1400), np.arange(1400, 1797)
    probe = tl.KNeighborsProbe(k=10).fit(X[train], y[train])
    assert probe.score(X[test], y[test]) > 0.94
    proba = probe.predict_proba(X[test])
    assert proba.min() > 0
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    assert log_loss(y[test], proba) < 0.4
    ids, scores = probe.nearest(X[test][:3], k=2)
    assert ids.shape == scores.shape == (3, 2)


def test_leave_one_out_votes_ignore_the_own_label():
    X = np.array([[1.0, 0.0], [1.0, 0.01], [1.0, 0.03], [0.0, 1.0]])
    votes = neighbor_votes(None, X, ["a", "b", "b", "b"], k=[1])
    assert votes.predict()[0, 0].tolist() == ["b", "a", "b", "b"]


def test_labels_of_any_kind():
    X = np.eye(4)
    for y in (
        ["x", "y", "x", "y"],
        [3, -7, 3, -7],
        [True, False, True, False],
        np.array(["é", "è"] * 2, object),
    ):
        assert tl.KNeighborsProbe(k=1).fit(X, y).predict(X).tolist() == list(y)


def test_many_classes():
    X = np.random.default_rng(6).standard_normal((100_000, 3)).astype(np.float32)
    probe = tl.KNeighborsProbe(k=1).fit(X, np.arange(100_000))
    assert probe.predict(X[:5]).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("y", "error"),
    [
        (["a", "a", "a"], SingleClassError),
        ([0.1, 0.2, 0.3], LabelError),
        ([0, 1], ShapeMismatchError),
        ([["a", "b"], ["b", "b"], ["c", "a"]], LabelError),
        (np.array(["a", None, "b"], dtype=object), LabelError),
        ([0.0, 1.0, np.nan], LabelError),
    ],
)
def test_bad_labels(y, error):
    with pytest.raises(error):
        neighbor_votes(np.eye(3), np.eye(3), y, k=[1])


@pytest.mark.parametrize(
    "options",
    [{"k": 0}, {"k": 1.5}, {"k": True}, {"temperature": 0}, {"temperature": np.nan}, {"metric": "inner"}],
)
def test_bad_parameters(options):
    with pytest.raises(InputError):
        tl.KNeighborsProbe(**options).fit(np.eye(3), [0, 1, 2])


def test_not_finite_rows_of_a_probe():
    X = np.eye(3)
    probe = tl.KNeighborsProbe(k=1).fit(X, [0, 1, 2])
    X = X.copy()
    X[1, 2] = np.nan
    with pytest.raises(NonFiniteError):
        probe.predict(X)
    with pytest.raises(NonFiniteError):
        tl.KNeighborsProbe().fit(X, [0, 1, 2])


def test_saved_and_pickled(tmp_path):
    X, y = load_digits(return_X_y=True)
    probe = tl.KNeighborsProbe(k=3, temperature=0.1).fit(X[:500].astype(np.float32), y[:500])
    wanted = probe.predict_proba(X[500:600])
    probe.save_pretrained(tmp_path / "knn")
    for other in (tl.from_pretrained(tmp_path / "knn"), pickle.loads(pickle.dumps(probe))):  # noqa: S301
        np.testing.assert_array_equal(other.predict_proba(X[500:600]), wanted)


INTERRUPTED = """
import _thread, threading, numpy as np
from tlengine.probes import NeighborIndex
X = np.random.default_rng(0).standard_normal((60_000, 256)).astype("f4")
index = NeighborIndex(X, n_jobs=1)
threading.Timer(0.2, _thread.interrupt_main).start()
try:
    while True:
        index.search(k=20)
except KeyboardInterrupt:
    print("interrupted", len(index.search(X[:1], k=3)[0]))
"""


def test_ctrl_c_ends_a_search_and_the_index_lives_on():
    outcome = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, check=False)
    assert outcome.stdout == "interrupted 1\n", outcome.stderr


FORKED = """
import os, numpy as np
from tlengine.probes import NeighborIndex
X = np.random.default_rng(0).standard_normal((3000, 16)).astype("f4")
index = NeighborIndex(X)
want = index.search(k=5)[0]
child = os.fork()
if not child:
    os._exit(int(not (index.search(k=5)[0] == want).all()))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_an_index_works_after_a_fork():
    outcome = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, check=False)
    assert outcome.stdout == "0\n", outcome.stderr


def test_threads_may_share_an_index():
    rng = np.random.default_rng(7)
    X = rng.standard_normal((4000, 16)).astype(np.float32)
    index = NeighborIndex(X)
    want = index.search(X, k=5)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: index.search(X, k=5), range(8)):
            np.testing.assert_array_equal(found, want)
