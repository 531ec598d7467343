"""The model that is kept: saved, loaded, and the same probabilities, whatever strategy won."""

import json
from dataclasses import replace

import numpy as np
import pytest

import tlengine as tl
from tests.evaluation.planted import plant
from tlengine.errors import BackboneError, HeadFormatError, InputError, ShapeMismatchError
from tlengine.evaluation import Model, compare, predictions_csv
from tlengine.probes import RidgeProbe
from tlengine.types import Features

QUICK = {"budgets": ["all"], "seeds": 1, "progress": False}


@pytest.fixture(scope="module", params=["knn", "probe", "ridge", "centroid", "svm", "preval"])
def model(request, digits):
    return compare((digits[0] / 16, digits[1]), strategies=[request.param], **QUICK).model


def features(X, fingerprint=None):
    return Features(X=X, ids=np.arange(len(X)).astype(str), fingerprint=fingerprint)


def same(model, X, folder):
    """The model from the disk says what the one in memory says."""
    again = tl.from_pretrained(model.save(folder))
    assert isinstance(again, Model)
    assert again.predict_proba(X) == pytest.approx(model.predict_proba(X), abs=1e-6)
    assert again.classes.tolist() == model.classes.tolist()
    assert again.calibration == model.calibration
    assert again.metadata == model.metadata
    return again


def test_a_saved_model_predicts_the_same(model, digits, tmp_path):
    X, y = digits[0] / 16, digits[1]
    again = same(model, X, tmp_path / "model")
    assert again.classes.tolist() == sorted(set(y.tolist()))
    found = again.predict(features(X))
    assert np.mean([p["label"] == label for p, label in zip(found, y, strict=True)]) > 0.75
    assert all(p["top"][0]["probability"] >= p["top"][1]["probability"] for p in found)
    assert len(found[0]["top"]) == 3
    assert Model.load(tmp_path / "model").metadata["strategy"] == model.metadata["strategy"]


def test_probabilities_are_calibrated(model, digits):
    proba = model.predict_proba(digits[0] / 16)
    assert proba.sum(axis=1) == pytest.approx(1)
    assert proba.min() > 0
    assert model.calibration["value"] > 0


def test_two_classes(digits, tmp_path):
    X, y = digits
    kept = np.isin(y, ["one", "two"])
    for name in ("probe", "ridge", "centroid", "knn", "svm"):
        run = compare((X[kept], y[kept]), strategies=[name], **QUICK)
        again = same(run.model, X[kept], tmp_path / name)
        right = again.classes[again.predict_proba(X[kept]).argmax(axis=1)] == y[kept]
        assert right.mean() > 0.9, name


LDA_WITH_ARRAYS = """
def save(lda):
    return {"coef": lda.coef_, "intercept": lda.intercept_}, {"binary": len(lda.classes_) == 2}

class Linear:
    def __init__(self, coef, intercept):
        self.coef, self.intercept = coef, intercept
    def predict_proba(self, X):
        s = X @ self.coef.T + self.intercept
        e = np.exp(s - s.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

def load(arrays, facts):
    assert not facts["binary"]
    return Linear(arrays["coef"], arrays["intercept"])

@tl.hookimpl
def tlengine_probes():
    yield ProbeSpec(name="lda", estimator=LDA, save=save, load=load)
"""


@pytest.fixture
def planted(tmp_path_factory, monkeypatch):
    plant(tmp_path_factory.mktemp("site"), monkeypatch, LDA_WITH_ARRAYS)


@pytest.mark.usefixtures("planted")
def test_the_probe_of_a_plugin_is_kept_by_its_own_save_and_load(digits, tmp_path):
    X, y = digits
    noise = np.random.default_rng(0).normal(size=X.shape).astype(np.float32)
    X = X + noise
    run = compare((X, y), strategies=["lda"], **QUICK)
    again = same(run.model, X, tmp_path / "model")
    assert type(again.estimator).__name__ == "Linear"
    assert (again.classes[again.predict_proba(X).argmax(axis=1)] == y).mean() > 0.9
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["probe"]["name"] == "lda"


def texts():
    rng = np.random.default_rng(0)
    words = {"fruit": ["apple", "pear", "plum", "fig"], "tool": ["saw", "axe", "file", "drill"]}
    labels = ["fruit", "tool"] * 40
    return [" ".join(rng.choice(words[label], 3)) + f" {i}" for i, label in enumerate(labels)], labels


def test_a_control_that_won_is_kept_like_any_other(tmp_path):
    """The statistics of texts weigh terms by the training rows: the weights are part of the model."""
    contents, labels = texts()
    ds = tl.load_dataset((contents, labels))
    ds = replace(ds, keys=None)
    run = compare(ds, "raw", strategies=["centroid"], controls=["stats"], **QUICK)
    if run.verdict.role != "control":
        pytest.fail("the case is made so that n-grams win")
    assert run.model.metadata["backbone"] == "stats"
    feats = tl.extract(ds, "stats", progress=False)
    again = same(run.model, feats.X, tmp_path / "model")
    found = again.predict(feats)
    assert np.mean([p["label"] == y for p, y in zip(found, labels, strict=True)]) > 0.95
    with pytest.raises(BackboneError, match="'raw' has fingerprint"):
        again.predict(tl.extract(ds, "raw", progress=False))


def test_another_fingerprint_or_width_is_refused(model, digits):
    with pytest.raises(BackboneError, match="fingerprint"):
        model.predict(features(digits[0], fingerprint="ab" * 32))
    with pytest.raises(ShapeMismatchError, match="64"):
        model.predict(features(digits[0][:, :10]))
    with pytest.raises(InputError, match="top-k"):
        model.predict(features(digits[0]), top_k=0)


def test_more_labels_than_there_are_is_all_of_them(model, digits):
    assert len(model.predict(features(digits[0][:2]), top_k=99)[0]["top"]) == 4


def test_a_probe_saved_on_its_own_is_no_model(tmp_path, digits):
    where = RidgeProbe().fit(*digits).save_pretrained(tmp_path / "probe", metadata={"a": 1})
    with pytest.raises(HeadFormatError, match="not the model of a run"):
        Model.load(where)


@pytest.mark.parametrize("cell", ["=1+1", "+cmd", "-2+3", "@SUM(A1)", "\tx", "\rx"])
def test_cells_are_never_formulas(cell):
    text = predictions_csv([{"id": cell, "top": [{"label": cell, "probability": 0.5}]}])
    row = text.splitlines()[1] if "\r" not in cell else text.split("\n", 1)[1]
    assert not row.startswith(cell[0])
    assert f"'{cell}" in text


def test_negative_numbers_stay_numbers():
    assert predictions_csv([{"id": "-3", "top": [{"label": "-1.5", "probability": 1}]}]).endswith(
        "-3,-1.5,1\n"
    )
