"""The built-in plugins: registered as anybody's would be, and usable as they are."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone

from tlengine.plugins import probes
from tlengine.probes import from_pretrained, offered_scores, save_with

NAMES = ("centroid", "knn", "preval", "probe", "ridge", "svm")


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    codes = np.arange(90) % 3
    return (rng.normal(size=(90, 5)) + 2 * np.eye(3, 5)[codes]).astype(np.float32), codes


@pytest.mark.parametrize("name", NAMES)
def test_every_probe_fits_scores_and_is_saved(name, data, tmp_path):
    X, codes = data
    spec = probes()[name]
    fitted = spec.estimator().fit(X, codes)
    kind, scores = offered_scores(fitted, X, [0, 1, 2], 4)
    assert kind == "logits"
    assert (scores.argmax(axis=1) == codes).mean() > 0.8
    again = from_pretrained(save_with(spec, fitted, tmp_path))
    assert np.array_equal(offered_scores(again, X, [0, 1, 2], 4)[1], scores)


@pytest.mark.parametrize("name", NAMES)
def test_a_spec_is_picklable_and_does_not_pretend_to_be_a_classifier(name):
    spec = probes()[name]
    assert not hasattr(spec.estimator, "decision_function")
    again = pickle.loads(pickle.dumps(spec))  # noqa: S301 - our own bytes
    assert type(again.estimator()) is type(spec.estimator())


@pytest.mark.parametrize("name", ["svm", "preval"])
def test_candidates_do_not_depend_on_the_unit_of_the_features(name, data):
    X, codes = data
    spec = probes()[name]

    def predicted(factor):
        features = (X * np.float32(factor)).astype(np.float64)
        scale = float(features.var(axis=0).sum())
        return [
            clone(spec.estimator(**options)).fit(features, codes).predict(features)
            for options in spec.candidates_for(len(X), X.shape[1], scale)
        ]

    small, large = predicted(1), predicted(1024)
    assert len(small) >= 5
    assert all(np.array_equal(one, other) for one, other in zip(small, large, strict=True))
    assert len({tuple(one) for one in small}) > 1


@pytest.mark.parametrize("name", ["svm", "preval"])
def test_features_that_are_all_alike_have_candidates(name):
    assert probes()[name].candidates_for(10, 3, 0.0)
