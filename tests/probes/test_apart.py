import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlengine.errors import InputError, ShapeMismatchError
from tlengine.probes import apart, nearest, neighbor_votes


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 9_999),
    st.integers(4, 40),
    st.sampled_from(["cosine", "euclidean"]),
    st.sampled_from([1, 2, 64]),
)
def test_the_neighbours_of_other_units_equal_a_search_among_them_alone(seed, n, metric, large):
    rng = np.random.default_rng(seed)
    X = rng.integers(-3, 4, size=(n, 3)).astype(np.float32)
    units = rng.integers(0, max(2, n // 2), n)
    units[0] = units.max() + 1
    own, sizes = apart.check_units(units, n)
    k = min(3, n - int(sizes.max()))
    index = apart.NeighborIndex(X, metric)
    before, apart._LARGE = apart._LARGE, large
    try:
        ids, scores = apart.search_apart(index, X, own, sizes, k)
    finally:
        apart._LARGE = before
    for row in range(n):
        others = np.flatnonzero(units != units[row])
        expected, expected_scores = nearest(X[row : row + 1], X[others], k=k, metric=metric)
        assert ids[row].tolist() == others[expected[0]].tolist()
        np.testing.assert_array_equal(scores[row], expected_scores[0])


def test_twins_do_not_vote_for_each_other():
    rng = np.random.default_rng(0)
    X = np.repeat(rng.normal(size=(200, 8)), 2, axis=0)
    y = np.repeat(rng.integers(0, 2, 200), 2)
    units = np.repeat(np.arange(200), 2)
    leaked, apart_ = (
        (neighbor_votes(None, X, y, k=[1], units=u).predict()[0, 0] == y).mean() for u in (None, units)
    )
    assert leaked == 1
    assert abs(apart_ - 0.5) < 0.12


def test_units_that_are_rows_change_nothing():
    X = np.random.default_rng(0).normal(size=(30, 4))
    y = np.arange(30) % 3
    one, other = (neighbor_votes(None, X, y, k=[1, 5, 99], units=u) for u in (None, np.arange(30)))
    assert one.k == other.k == (1, 5, 29)
    np.testing.assert_array_equal(one.proba, other.proba)


def test_units_that_cannot_be():
    X, y = np.eye(4), [0, 1, 0, 1]
    with pytest.raises(InputError, match="all 4 rows are of one unit"):
        neighbor_votes(None, X, y, units=[7, 7, 7, 7])
    with pytest.raises(ShapeMismatchError, match="units have shape"):
        neighbor_votes(None, X, y, units=[0, 1])
    with pytest.raises(InputError, match="not for queries"):
        neighbor_votes(X, X, y, units=[0, 1, 2, 3])
