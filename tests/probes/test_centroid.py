"""The nearest class mean against its definition."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.neighbors import NearestCentroid
from sklearn.utils.estimator_checks import parametrize_with_checks

import tlengine as tl
from tlengine.errors import InputError, NonFiniteError, SingleClassError


@parametrize_with_checks([tl.NearestCentroidProbe(), tl.NearestCentroidProbe(metric="euclidean")])
def test_scikit_learn_contract(estimator, check):
    check(estimator)


def test_euclidean_predicts_as_scikit_learn():
    X, y = load_digits(return_X_y=True)
    X = X + np.random.default_rng(0).uniform(0, 0.01, X.shape)  # theirs warns of constant columns
    ours = tl.NearestCentroidProbe(metric="euclidean").fit(X[:900], y[:900])
    theirs = NearestCentroid().fit(X[:900], y[:900])
    np.testing.assert_allclose(ours.centroids_, theirs.centroids_)
    np.testing.assert_array_equal(ours.predict(X[900:]), theirs.predict(X[900:]))


def test_cosine_ignores_the_size_of_rows():
    X, y = load_digits(return_X_y=True)
    sizes = np.random.default_rng(0).uniform(1e-3, 1e3, (len(X), 1))
    plain = tl.NearestCentroidProbe().fit(X, y)
    scaled = tl.NearestCentroidProbe().fit(X * sizes, y)
    np.testing.assert_allclose(scaled.centroids_, plain.centroids_)
    np.testing.assert_allclose(scaled.predict_proba(X), plain.predict_proba(X * sizes))
    assert plain.score(X, y) > 0.85


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("classes", [2, 5])
def test_scores_probabilities_and_labels_agree(metric, classes):
    rng = np.random.default_rng(1)
    y = rng.integers(0, classes, 80)
    X = rng.standard_normal((80, 6)) + np.eye(classes, 6)[y] * 2
    probe = tl.NearestCentroidProbe(metric=metric).fit(X, y)
    scores, proba, labels = probe.decision_function(X), probe.predict_proba(X), probe.predict(X)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    if classes == 2:
        assert scores.shape == (80,)
        np.testing.assert_array_equal(labels, (scores > 0).astype(int))
        np.testing.assert_allclose(proba[:, 1], 1 / (1 + np.exp(-scores / probe.temperature)))
    else:
        np.testing.assert_array_equal(labels, scores.argmax(axis=1))
        np.testing.assert_array_equal(labels, proba.argmax(axis=1))


def test_constant_rows_are_harmless():
    probe = tl.NearestCentroidProbe(metric="euclidean").fit(np.zeros((4, 2)), [0, 0, 1, 1])
    np.testing.assert_array_equal(probe.predict_proba(np.zeros((1, 2))), [[0.5, 0.5]])


SIZES = [1.0, 1e150, 1e200, 1e300, 1e-150, 1e-200, 1e-300, 1e-310]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_the_size_of_the_data_changes_nothing(metric, size):
    rng = np.random.default_rng(3)
    y = np.repeat(["a", "b", "c"], 40)
    X = rng.standard_normal((120, 6)) + 1.5 * np.eye(3, 6)[np.repeat(np.arange(3), 40)]
    plain = tl.NearestCentroidProbe(metric=metric).fit(X, y)
    sized = tl.NearestCentroidProbe(metric=metric).fit(X * size, y)
    np.testing.assert_allclose(sized.predict_proba(X * size), plain.predict_proba(X), rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(sized.predict(X * size), plain.predict(X))
    assert np.isfinite(sized.decision_function(X * size)).all()


@pytest.mark.parametrize("offset", [1e4, 1e8, -1e8])
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_an_offset_costs_no_digits(metric, offset):
    """Against 80-bit arithmetic, on the same rounded rows."""
    rng = np.random.default_rng(4)
    codes = np.repeat(np.arange(3), 40)
    X = rng.standard_normal((120, 6)) + 1.5 * np.eye(3, 6)[codes] + offset
    wide = X.astype(np.longdouble)
    if metric == "cosine":
        wide /= np.sqrt(np.square(wide).sum(axis=1, keepdims=True))
    means = np.stack([wide[codes == c].mean(axis=0) for c in range(3)])
    if metric == "cosine":
        means /= np.sqrt(np.square(means).sum(axis=1, keepdims=True))
    distances = np.square(wide[:, None] - means).sum(axis=2)
    probe = tl.NearestCentroidProbe(metric=metric).fit(X, codes)
    order = np.sort(distances, axis=1)
    clear = order[:, 1] - order[:, 0] > 1e-6 * order[:, 0]
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(probe.predict(X)[clear], distances.argmin(axis=1)[clear])


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_one_huge_row_changes_nothing_for_the_others(metric):
    X, y = load_digits(return_X_y=True)
    probe = tl.NearestCentroidProbe(metric=metric).fit(X, y)
    together = np.vstack([X[:50], np.full((1, 64), 1e300), np.full((1, 64), 1e-300)])
    np.testing.assert_array_equal(probe.predict_proba(together)[:50], probe.predict_proba(X[:50]))
    assert np.isfinite(probe.predict_proba(together)).all()


@pytest.mark.parametrize("options", [{"metric": "manhattan"}, {"temperature": 0.0}])
def test_bad_parameters(options):
    with pytest.raises(InputError):
        tl.NearestCentroidProbe(**options).fit(np.eye(2), [0, 1])


def test_bad_data():
    with pytest.raises(SingleClassError):
        tl.NearestCentroidProbe().fit(np.eye(2), ["a", "a"])
    with pytest.raises(NonFiniteError):
        tl.NearestCentroidProbe().fit([[0.0, np.nan], [1.0, 0.0]], ["a", "b"])


def test_saved(tmp_path):
    X, y = load_digits(return_X_y=True)
    probe = tl.NearestCentroidProbe(metric="euclidean").fit(X, y)
    other = tl.from_pretrained(probe.save_pretrained(tmp_path / "centroid"))
    np.testing.assert_array_equal(other.predict_proba(X), probe.predict_proba(X))


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_log_probabilities_are_exact_where_probabilities_underflow(metric):
    rng = np.random.default_rng(0)
    X, y = (
        np.vstack([rng.normal(size=(5, 4)) * 1e-3 + shift for shift in 5 * np.eye(4)[:3]]),
        np.repeat([0, 1, 2], 5),
    )
    probe = tl.NearestCentroidProbe(metric=metric, temperature=1.0).fit(X, y)
    np.testing.assert_allclose(np.exp(probe.predict_log_proba(X)), probe.predict_proba(X), atol=1e-15)
    sharp = tl.NearestCentroidProbe(metric=metric, temperature=1e-6).fit(X, y)
    logits = sharp.similarities(X) / 1e-6
    found = sharp.predict_log_proba(X)
    assert (sharp.predict_proba(X) == 0).any()
    np.testing.assert_allclose(found, logits - logits.max(axis=1, keepdims=True), rtol=1e-9, atol=1e-6)
    assert sharp.predict_log_proba(X).shape == (15, 3)
