import numpy as np
import pytest

from tlengine.errors import BackboneError, HeadFormatError, InputError, ShapeMismatchError
from tlengine.evaluation import Model, compare, predictions_csv
from tlengine.probes import RidgeProbe
from tlengine.types import Features


@pytest.fixture(scope="module", params=["knn", "probe", "ridge", "centroid"])
def model(request, digits):
    options = {"strategies": [request.param], "budgets": ["all"], "seeds": 1, "progress": False}
    return compare(digits, **options).model


def features(X, fingerprint=None):
    return Features(X=X, ids=np.arange(len(X)).astype(str), fingerprint=fingerprint)


def test_a_saved_model_predicts_the_same(model, digits, tmp_path):
    X, y = digits
    again = Model.load(model.save(tmp_path / "model"))
    assert again.predict_proba(X) == pytest.approx(model.predict_proba(X), abs=1e-6)
    assert again.classes.tolist() == sorted(set(y.tolist()))
    assert again.metadata["strategy"] == model.metadata["strategy"]
    found = again.predict(features(X))
    assert np.mean([p["label"] == label for p, label in zip(found, y, strict=True)]) > 0.75
    assert all(p["top"][0]["probability"] >= p["top"][1]["probability"] for p in found)
    assert len(found[0]["top"]) == 3


def test_another_fingerprint_or_width_is_refused(model, digits):
    with pytest.raises(BackboneError, match="fingerprint"):
        model.predict(features(digits[0], fingerprint="ab" * 32))
    with pytest.raises(ShapeMismatchError, match="64"):
        model.predict(features(digits[0][:, :10]))
    with pytest.raises(InputError, match="top-k"):
        model.predict(features(digits[0]), top_k=0)


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
