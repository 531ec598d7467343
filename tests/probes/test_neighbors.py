"""The classifier that neighbours make."""

import pickle

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.utils.estimator_checks import parametrize_with_checks

import tlengine as tl
from tlengine.errors import InputError, NonFiniteError


@parametrize_with_checks([tl.KNeighborsProbe(), tl.KNeighborsProbe(metric="euclidean", temperature=1.0)])
def test_scikit_learn_contract(estimator, check):
    check(estimator)


def test_neighbours_vote_at_any_size():
    X, y = load_digits(return_X_y=True)
    plain = tl.KNeighborsProbe(metric="euclidean", temperature=10.0).fit(X, y)
    for size in (2.0**700, 2.0**-700):
        sized = tl.KNeighborsProbe(metric="euclidean", temperature=10.0 * size).fit(X * size, y)
        np.testing.assert_array_equal(sized.predict_proba(X[:90] * size), plain.predict_proba(X[:90]))


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
