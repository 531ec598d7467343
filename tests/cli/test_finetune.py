"""``finetune`` keeps one network, goes on where it stopped, and ``predict`` and ``export`` take it."""

import csv
import io
import json

import pytest

from tests.finetuning.kept import LABELS, PICTURES
from tlengine.finetuning.loop import Training


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for place, (picture, label) in enumerate(zip(PICTURES, LABELS, strict=True)):
        (folder / label).mkdir(exist_ok=True)
        picture.save(folder / label / f"{place}.png")
    return folder


FAST = ("--set", "steps=2", "--set", "lp-ft.augment=none", "--quiet", "--no-cache")


def test_a_network_is_kept_and_names_new_pictures(tl, photos, tmp_path):
    out = tmp_path / "out"
    options = ("--backbone", "rcf", "--image-size", "32", "--out", out, *FAST)
    code, document, err = tl("finetune", photos, *options, "--json")
    assert code == 0, err
    assert (document["rows"], document["strategy"], document["test"]) == (12, "lp-ft", None)
    assert (document["settings"]["steps"], document["settings"]["augment"]) == (2, "none")
    assert json.loads((out / "finetune.json").read_text())["key"] == document["key"]
    code, text, err = tl("predict", out / "model", photos, "--quiet")
    assert code == 0, err
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 12
    assert {row["label"] for row in rows} <= {"dark", "light"}
    code, found, _ = tl("predict", out / "model", photos, "--top-k", "1", "--json", "--quiet")
    assert (code, found["rows"], found["failed"], found["classes"]) == (0, 12, 0, ["dark", "light"])
    code, text, err = tl("finetune", photos, *options[:-2], "--no-cache")
    assert code == 0
    assert "taken up" in err
    assert "not judged" in text


def test_texts_too(tl, texts, tmp_path):
    options = ("--label", "topic", "--backbone", "raw", "--strategy", "finetune", "--set", "steps=2")
    code, text, err = tl("finetune", texts, *options, "--out", tmp_path, "--quiet", "--no-cache")
    assert code == 0, err
    assert str(tmp_path / "model") in text
    code, text, _ = tl("predict", tmp_path / "model", texts.parent / "new.csv", "--quiet")
    assert code == 0
    assert len(text.splitlines()) == 4


def test_ctrl_c_ends_with_130_and_the_same_command_goes_on(tl, photos, tmp_path, monkeypatch):
    step, made = Training._step, []

    def interrupted(training, number):
        if number == 1 and 1 not in made:
            made.append(1)
            raise KeyboardInterrupt
        made.append(number)
        return step(training, number)

    monkeypatch.setattr(Training, "_step", interrupted)
    words = ("finetune", photos, "--backbone", "rcf", "--image-size", "32", "--out", tmp_path, *FAST)
    words = (*words, "--set", "checkpoint_seconds=0")
    code, out, err = tl(*words)
    assert (code, out) == (130, "")
    assert "run the same command to go on" in err
    assert tl(*words)[0] == 0
    assert made == [0, 1, 1]


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--strategy", "knn"), 1, "trains no network"),
        (("--strategy", "lpft"), 1, "lp-ft"),
        (("--set", "steps"), 2, "rate=1e-4"),
        (("--set", "probe.C=1"), 2, "not of the strategy"),
        (("--set", "speed=1"), 1, "does not take"),
        (("--set", "step=1"), 1, "there are steps"),
        (("--image-size", "8"), 2, "--image-size"),
        (("--backbone", "raw", "--image-size", "32"), 1, "cannot be set"),
        (("--backbone", "minilm"), 1, "takes text"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_trained(tl, photos, tmp_path, options, code, said):
    words = ("finetune", photos, "--out", tmp_path / "out", "--quiet", "--no-cache", "--backbone", "rcf")
    found, out, err = tl(*words, *options)
    assert (found, out) == (code, ""), err
    assert said in err
    assert not (tmp_path / "out" / "model").exists()


def test_features_are_no_samples_for_a_network(tl, features, photos, tmp_path):
    assert "samples" in tl("finetune", features, "--out", tmp_path)[2]
    words = ("finetune", photos, "--backbone", "rcf", "--image-size", "32", "--out", tmp_path, *FAST)
    assert tl(*words)[0] == 0
    code, _, err = tl("predict", tmp_path / "model", features)
    assert code == 1
    assert "network that takes samples" in err
    code, document, err = tl("export", tmp_path / "model", tmp_path / "m.onnx", "--json")
    assert code == 0, err
    assert (tmp_path / "m.onnx").stat().st_size == document["bytes"]
    assert tl("export", tmp_path / "model", tmp_path / "m.bin")[0] == 2


def test_a_probe_is_no_network_to_export(tl, features, tmp_path):
    assert tl("probe", features, "--out", tmp_path / "model", "--quiet")[0] == 0
    code, _, err = tl("export", tmp_path / "model", tmp_path / "m.onnx")
    assert code == 1
    assert "takes features" in err


def test_features_of_a_size_make_a_model_that_sees_pictures_of_that_size(tl, photos, tmp_path):
    file = tmp_path / "f.npz"
    options = ("--backbone", "rcf", "--image-size", "32", "--no-cache", "--quiet")
    assert tl("extract", photos, *options, "--out", file)[0] == 0
    code, _, err = tl("probe", file, "--out", tmp_path / "model", "--quiet", "--folds", "2")
    assert code == 0, err
    code, found, err = tl("predict", tmp_path / "model", photos, "--json", "--quiet", "--no-cache")
    assert code == 0, err
    assert found["rows"] == 12
