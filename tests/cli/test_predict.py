import csv
import io
import json

import pytest


@pytest.fixture
def model(tl, texts, tmp_path):
    options = ("--label", "topic", "--strategies", "probe", "--budgets", "all", "--seeds", "1", "--quiet")
    assert tl("compare", texts, "--backbone", "raw", *options, "--out", tmp_path / "run")[0] == 0
    return tmp_path / "run" / "model"


def test_new_texts_get_labels_and_probabilities(tl, model, texts):
    code, text, err = tl("predict", model, texts.parent / "new.csv", "--quiet")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert code == 0, err
    assert [row["label"] for row in rows] == ["fruit", "tool", "fruit"]
    assert all(0.5 < float(row["probability"]) <= 1 for row in rows)
    assert list(rows[0]) == ["id", "label", "probability", "label_2", "probability_2"]


def test_json_and_files(tl, model, texts, tmp_path):
    new = texts.parent / "new.csv"
    code, document, _ = tl("predict", model, new, "--top-k", "1", "--json", "--quiet")
    assert code == 0
    assert (document["rows"], document["failed"], document["classes"]) == (3, 0, ["fruit", "tool"])
    assert [len(p["top"]) for p in document["predictions"]] == [1, 1, 1]
    for name in ("p.csv", "p.json"):
        code, out, _ = tl("predict", model, new, "--out", tmp_path / name, "--quiet")
        assert (code, out) == (0, "")
    assert (tmp_path / "p.csv").read_text().startswith("id,label,probability")
    assert json.loads((tmp_path / "p.json").read_text())[0]["label"] == "fruit"


def test_another_fingerprint_is_refused(tl, model, texts):
    from tlengine.evaluation import Model

    loaded = Model.load(model)
    Model(
        estimator=loaded.estimator,
        calibration=loaded.calibration,
        metadata={**loaded.metadata, "fingerprint": "00" * 32},
    ).save(model)
    code, out, err = tl("predict", model, texts.parent / "new.csv")
    assert (code, out) == (1, "")
    assert "fingerprint" in err
    assert "hint: " in err


def test_features_of_another_backbone_are_refused(tl, model, features):
    code, _, err = tl("predict", model, features)
    assert code == 1
    assert "fingerprint" in err


def test_a_folder_that_is_no_model_is_refused(tl, tmp_path, texts):
    code, _, err = tl("predict", tmp_path, texts)
    assert code == 1
    assert "hint: " in err
