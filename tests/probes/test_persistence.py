import json
import os
import pickle
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin

from tlengine.errors import HeadFormatError, InputError, UnsafeArtifactError
from tlengine.probes import container, persistence
from tlengine.probes.persistence import PretrainedMixin, from_pretrained


class Toy(PretrainedMixin, ClassifierMixin, BaseEstimator):
    """A probe with one tensor and one scalar, to test the mixin by itself."""

    _tensors: ClassVar = {"coef_": ("classes", "features")}
    _scalars = ("score_",)

    def __init__(self, C=1.0, cv=None):
        self.C = C
        self.cv = cv

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.n_features_in_ = X.shape[1]
        self.coef_ = np.arange(len(self.classes_) * X.shape[1], dtype=X.dtype).reshape(-1, X.shape[1])
        self.score_ = np.float64(0.5)
        return self


@pytest.fixture(autouse=True)
def known(monkeypatch):
    monkeypatch.setitem(persistence._HOMES, "Toy", __name__)
    monkeypatch.setattr(
        persistence, "import_module", lambda name: __import__("types").SimpleNamespace(Toy=Toy)
    )


@pytest.fixture
def saved(tmp_path):
    return Toy(C=2.0).fit(np.eye(3, dtype=np.float32), ["b", "a", "ü"]).save_pretrained(tmp_path / "model")


def test_round_trip(saved):
    again = Toy.from_pretrained(saved)
    assert (again.C, again.score_, again.metadata_, again.n_features_in_) == (2.0, 0.5, {}, 3)
    assert again.classes_.tolist() == ["a", "b", "ü"]
    assert again.coef_.dtype == np.float32
    assert again.coef_.tolist() == np.arange(9.0).reshape(3, 3).tolist()


def test_config_is_readable_and_from_any_path(saved):
    assert json.loads((saved / "config.json").read_text())["estimator"] == "Toy"
    assert from_pretrained(saved / "model.safetensors").C == 2.0
    assert from_pretrained(saved / "config.json").C == 2.0
    assert sorted(p.name for p in saved.iterdir()) == ["config.json", "model.safetensors"]


@pytest.mark.parametrize(
    "labels", [[3, 1, 2], [0.5, 1.5, 2.5], [True, False, True], np.array(["x", "y", "z"], object)]
)
def test_labels_keep_their_type(tmp_path, labels):
    clf = Toy().fit(np.eye(3), labels)
    again = from_pretrained(clf.save_pretrained(tmp_path))
    assert again.classes_.dtype == clf.classes_.dtype
    assert again.classes_.tolist() == clf.classes_.tolist()


def test_a_param_that_json_cannot_hold_is_named_and_left_at_its_default(tmp_path):
    where = Toy(cv=object()).fit(np.eye(3), [0, 1, 2]).save_pretrained(tmp_path)
    assert "cv" in json.loads((where / "config.json").read_text())["params_left_out"]
    assert from_pretrained(where).cv is None


def test_metadata(tmp_path):
    clf = Toy().fit(np.eye(3), [0, 1, 2])
    assert from_pretrained(clf.save_pretrained(tmp_path, metadata={"a": [1, "é"]})).metadata_ == {
        "a": [1, "é"]
    }
    with pytest.raises(InputError, match="metadata that JSON cannot hold"):
        clf.save_pretrained(tmp_path, metadata={"a": np.zeros(2)})


class Stranger(Toy):
    """A class that no saved model can name."""


def test_what_could_not_be_loaded_is_not_written(tmp_path):
    with pytest.raises(InputError, match="Stranger is no class of tlengine") as caught:
        Stranger().fit(np.eye(3), [0, 1, 2]).save_pretrained(tmp_path / "model")
    assert "ProbeSpec" in caught.value.hint
    assert not (tmp_path / "model").exists()


class Canary:
    def __reduce__(self):
        return os.system, ("touch canary-was-run",)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "probe.pkl"])
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_pickle_is_refused_and_never_run(saved, monkeypatch, name, protocol):
    monkeypatch.chdir(saved)
    (saved / name).write_bytes(pickle.dumps(Canary(), protocol=protocol))
    for path in [saved / name, *([saved] if name != "probe.pkl" else [])]:
        with pytest.raises(UnsafeArtifactError, match="not loaded"):
            from_pretrained(path)
    assert not (saved / "canary-was-run").exists()


def test_a_directory_with_only_a_pickle(tmp_path):
    (tmp_path / "clf.joblib").write_bytes(pickle.dumps([1]))
    with pytest.raises(UnsafeArtifactError):
        from_pretrained(tmp_path)


@settings(max_examples=150, deadline=None)
@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_every_flipped_bit_is_found(tmp_path_factory, position, bit):
    where = Toy().fit(np.eye(3), ["b", "a", "c"]).save_pretrained(tmp_path_factory.mktemp("flip"))
    file = where / "model.safetensors"
    raw = bytearray(file.read_bytes())
    raw[int(position * len(raw))] ^= 1 << bit
    file.write_bytes(raw)
    try:
        found = from_pretrained(where)
    except (HeadFormatError, UnsafeArtifactError):
        return
    assert found.coef_.tolist() == np.arange(9.0).reshape(3, 3).tolist()
    assert found.classes_.tolist() == ["a", "b", "c"]


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 100, -1])
def test_truncation_is_found(saved, size):
    file = saved / "model.safetensors"
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(HeadFormatError):
        from_pretrained(saved)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"garbage",
        b"[]",
        b'{"a":1,"a":2}',
        b"[" * 100_000,
        (1 << 62).to_bytes(8, "little") + b"{}",
        os.urandom(200),
    ],
)
@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_garbage_is_refused(saved, raw, name):
    (saved / name).write_bytes(raw)
    with pytest.raises((HeadFormatError, UnsafeArtifactError)):
        from_pretrained(saved)


def resave(where, **changes):
    """Writes the model again with changed tensors or configuration and a digest that fits."""
    from safetensors.numpy import save

    config, tensors = container.read(where / "model.safetensors")
    tensors.update(changes.pop("tensors", {}))
    text = json.dumps(config | changes)
    header = {"tlengine": text, "digest": container._digest(text, tensors)}
    (where / "model.safetensors").write_bytes(save(tensors, metadata=header))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tensors": {"coef_": np.full((3, 3), np.nan)}}, "NaN"),
        ({"tensors": {"coef_": np.zeros((2, 3))}}, "shape"),
        ({"tensors": {"coef_": np.zeros((3, 4))}}, "shape"),
        ({"tensors": {"extra": np.zeros(1)}}, "tensors"),
        ({"estimator": "os.system"}, "unknown estimator"),
        ({"estimator": ["Toy"]}, "unknown estimator"),
        ({"version": 2}, "version 2"),
        ({"params": {"no_such": 1}}, "configuration"),
        ({"params": 3}, "configuration"),
        ({"fitted": 3}, "configuration"),
    ],
)
def test_a_wrong_model_is_refused(saved, changes, message):
    resave(saved, **changes)
    with pytest.raises(HeadFormatError, match=message):
        from_pretrained(saved)


def test_missing_and_other_files(tmp_path, saved):
    with pytest.raises(FileNotFoundError):
        from_pretrained(tmp_path / "nothing")
    with pytest.raises(HeadFormatError, match=r"no config\.json"):
        from_pretrained(tmp_path)
    other = tmp_path / "notes.txt"
    other.write_text("hello")
    with pytest.raises(HeadFormatError, match="not a saved probe"):
        from_pretrained(other)


def test_a_failed_save_keeps_the_old_model(saved, monkeypatch):
    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        Toy(C=9.0).fit(np.eye(3), [0, 1, 2]).save_pretrained(saved)
    monkeypatch.undo()
    monkeypatch.setitem(persistence._HOMES, "Toy", __name__)
    monkeypatch.setattr(
        persistence, "import_module", lambda name: __import__("types").SimpleNamespace(Toy=Toy)
    )
    assert from_pretrained(saved).C == 2.0
    assert len(list(saved.iterdir())) == 2
