"""Neighbours are those of a brute force in extended precision, whatever data, metric and codes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

import tlengine as tl
from tests.probes.brute_force import METRICS, assert_nearest, reference
from tlengine.probes import NeighborIndex


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
