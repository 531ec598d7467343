import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlengine.errors import ShapeMismatchError
from tlengine.statistics import Outcome, pool


def an_outcome(seed, m=30, k=4, counts=(5, 1, 20, 4)):
    rng = np.random.default_rng(seed)
    proba = rng.dirichlet(np.ones(k), m)
    return Outcome.of(rng.permutation(100)[:m], rng.integers(0, k, m), proba, counts=counts)


@given(st.integers(0, 1_000))
def test_prior_free_decisions_are_the_argmax_over_class_shares(seed):
    o = an_outcome(seed)
    pi = np.array([5, 1, 20, 4]) / 30
    assert o.prior_free.tolist() == [int(np.argmax([p[k] / pi[k] for k in range(4)])) for p in o.proba]
    assert o.balanced.sum(axis=1) == pytest.approx(1)


def test_equal_class_shares_change_no_decision():
    o = an_outcome(1, counts=[7, 7, 7, 7])
    assert o.prior_free.tolist() == o.predicted.tolist()
    np.testing.assert_allclose(o.balanced, o.proba, rtol=1e-6)


def test_the_whole_probabilities_are_kept_in_float32():
    o = an_outcome(2)
    assert o.proba.shape == (30, 4)
    assert o.proba.dtype == np.float32
    assert o.seen_as("natural").dtype == np.float64
    assert o.seen_as("prior_free").argmax(axis=1).tolist() == o.prior_free.tolist()


def test_pooled_folds_keep_the_class_shares_of_their_own_fit():
    a, b = an_outcome(3, counts=[1, 1, 1, 97]), an_outcome(4, counts=[97, 1, 1, 1])
    both = pool([pool([a, b]), a])
    assert both.prior_free.tolist() == [*a.prior_free, *b.prior_free, *a.prior_free]
    assert both.rows.tolist() == [*a.rows, *b.rows, *a.rows]
    assert len(both.shares) == 3


def test_a_class_that_was_not_fitted_is_never_decided_for():
    o = Outcome.of(np.arange(2), np.array([2, 0]), np.array([[0.95, 0.05, 0], [0, 1.0, 0]]), counts=[9, 1, 0])
    assert np.isfinite(o.balanced).all()
    assert o.prior_free.tolist() == [0, 1]
    odd = Outcome.of(np.arange(1), np.array([0]), np.array([[0.0, 1.0]]), counts=[1, 0])
    assert odd.balanced.tolist() == [[0, 1]]


@pytest.mark.parametrize(
    ("m", "proba", "counts"), [(2, (3, 2), [1, 1]), (3, (3, 2), [1, 1, 1]), (3, (3,), [1, 1])]
)
def test_shapes_that_do_not_fit_are_an_error(m, proba, counts):
    with pytest.raises(ShapeMismatchError, match=f"{m} rows"):
        Outcome.of(np.arange(m), np.zeros(m, int), np.ones(proba), counts=counts)
