"""An index of neighbours: what it takes and refuses, each row left out, Ctrl-C, forks and threads."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import tlengine as tl
from tests.probes.brute_force import METRICS
from tlengine.errors import DtypeError, EmptyInputError, InputError, NonFiniteError, ShapeMismatchError
from tlengine.probes import NeighborIndex


@pytest.mark.parametrize("metric", ["inner", "euclidean"])
@pytest.mark.parametrize("odd", [1e200, -1e-250])
def test_one_row_of_another_size_is_named(metric, odd):
    X = np.ones((50, 4)) * (1.0 if odd > 1 or odd < -1 else 1e200)
    X[7, 2] *= odd
    X[7, [0, 1, 3]] *= odd
    with pytest.raises(InputError, match=r"row .* 7|row 7|row 0") as caught:
        NeighborIndex(X, metric)
    assert "cosine" in str(caught.value)


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
