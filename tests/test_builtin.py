"""The built-in plugins: registered as anybody's would be, and usable as they are."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone

from tlengine.plugins import probes, resolve, strategies
from tlengine.plugins.contracts import Roles
from tlengine.probes import from_pretrained, offered_scores, save_with
from tlengine.testing import ArrayView

PROBES = ("preval", "svm")
ON_FEATURES = ("centroid", "knn", "probe", "ridge")
NETWORKS = ("bitfit", "finetune", "gradual", "l2-sp", "last-block", "lora", "lp-ft", "surgical", "wise")
CONTROLS = {"raw": "raw", "stats": "stats", "rcf": "rcf", "random": "random", "scratch": "backbone"}
METRICS = (
    "accuracy", "auroc", "average_precision", "balanced_accuracy", "brier", "ece", "log_loss",
    "macro_f1", "top5",
)  # fmt: skip


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    codes = np.arange(90) % 3
    return (rng.normal(size=(90, 5)) + 2 * np.eye(3, 5)[codes]).astype(np.float32), codes


@pytest.mark.parametrize("name", PROBES)
def test_every_probe_fits_scores_and_is_saved(name, data, tmp_path):
    X, codes = data
    spec = probes()[name]
    fitted = spec.estimator().fit(X, codes)
    kind, scores = offered_scores(fitted, X, [0, 1, 2], 4)
    assert kind == "logits"
    assert (scores.argmax(axis=1) == codes).mean() > 0.8
    again = from_pretrained(save_with(spec, fitted, tmp_path))
    assert np.array_equal(offered_scores(again, X, [0, 1, 2], 4)[1], scores)


@pytest.mark.parametrize("name", [*ON_FEATURES, *(name for name in CONTROLS if name != "scratch")])
def test_every_strategy_fits_with_held_out_scores_and_is_kept(name, data, tmp_path):
    X, codes = data
    rows = np.arange(60)
    roles = Roles(train=rows, test=np.arange(60, 90), inner=((rows[:30], rows[30:]), (rows[30:], rows[:30])))
    view = ArrayView(X, codes, roles)
    spec = strategies()[name]
    for modality in spec.modalities:
        check_strategy(spec.maker(modality)(), view, roles, data, tmp_path / modality)


def check_strategy(strategy, view, roles, data, folder):
    (X, codes), rows = data, roles.train
    fitted = strategy.fit(view, roles, seed=0)
    assert fitted.held_out.shape == (60, 3)
    scores = fitted.scores(view, roles.test)
    assert scores.shape == (30, 3)
    assert (scores.argmax(axis=1) == codes[60:]).mean() >= 0.7
    labels = np.array(["a", "b", "c"])[codes[rows]]
    kept = fitted.estimator(view, rows, labels)
    again = from_pretrained(kept.save_pretrained(folder))
    assert again.classes_.tolist() == ["a", "b", "c"]
    assert (again.predict(X) == kept.predict(X)).all()


def test_roles_and_views_are_data():
    found = strategies()
    assert {name for name, spec in found.items() if spec.role == "strategy"} == {*ON_FEATURES, *NETWORKS}
    assert {name: spec.view for name, spec in found.items() if spec.role == "control"} == CONTROLS
    assert {name: spec.default for name, spec in found.items() if spec.role == "control"} == {
        "raw": True, "stats": True, "rcf": True, "random": "networks", "scratch": "networks",
    }  # fmt: skip
    assert [name for name in NETWORKS if found[name].default] == []


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_is_registered_and_measures(name):
    proba = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]])
    assert np.isfinite(resolve("metric", name).score(np.array([0, 1, 0, 1]), proba))


@pytest.mark.parametrize("name", [*PROBES, *ON_FEATURES, *NETWORKS, *CONTROLS])
def test_a_spec_is_picklable(name):
    spec = (probes() | strategies())[name]
    again = pickle.loads(pickle.dumps(spec))  # noqa: S301 - our own bytes
    made = [s.estimator() if name in PROBES else s.maker(s.modalities[0])() for s in (spec, again)]
    assert type(made[0]) is type(made[1])


@pytest.mark.parametrize("name", PROBES)
def test_a_spec_does_not_pretend_to_be_a_classifier(name):
    assert not hasattr(probes()[name].estimator, "decision_function")


@pytest.mark.parametrize("name", PROBES)
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


@pytest.mark.parametrize("name", PROBES)
def test_features_that_are_all_alike_have_candidates(name):
    assert probes()[name].candidates_for(10, 3, 0.0)
