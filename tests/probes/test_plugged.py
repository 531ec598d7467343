"""A plugin's probe is saved and comes back through its plugin; what could not come back is not written."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis as LDA  # noqa: N817
from sklearn.ensemble import RandomForestClassifier

import tlengine as tl
from tests.plugins.conftest import Plant, Use, plant, use  # noqa: F401 - fixtures
from tlengine.errors import HeadFormatError, InputError, MissingPackageError, PluginError
from tlengine.plugins import registry
from tlengine.probes import from_pretrained, load_with, save_with

CODE = """
import tlengine as tl
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis as LDA

def save(lda):
    return {"coef": lda.coef_, "intercept": lda.intercept_}, {"solver": lda.solver}

def load(arrays, facts):
    lda = LDA(solver=facts["solver"])
    lda.coef_, lda.intercept_ = arrays["coef"], arrays["intercept"]
    return lda

@tl.hookimpl
def tlengine_probes():
    yield tl.ProbeSpec(name="lda", estimator=LDA, save=save, load=load)
"""
rng = np.random.default_rng(0)
LABELS = {
    "text": np.array(["b", "a", "ü"])[np.arange(30) % 3],
    "numbers": np.array([3, 1, 7])[np.arange(30) % 3],
    "two": np.array(["no", "yes"])[np.arange(30) % 2],
}
X = rng.normal(size=(30, 4)).astype(np.float32) + (np.arange(30) % 3 + np.arange(30) % 2)[:, None]


def save(lda):
    return {"coef": lda.coef_, "intercept": lda.intercept_}, {}


def load(arrays, facts):
    lda = LDA()
    lda.coef_, lda.intercept_ = arrays["coef"], arrays["intercept"]
    return lda


def own(**changes):
    return tl.ProbeSpec(**{"name": "mine", "estimator": LDA, "save": save, "load": load, **changes})


@pytest.mark.parametrize("kind", LABELS)
def test_a_registered_probe_comes_back(plant: Plant, use: Use, tmp_path: Path, kind: str) -> None:  # noqa: F811
    use(plant("tlengine-lda", CODE))
    y = LABELS[kind]
    fitted = LDA(solver="lsqr").fit(X, y)
    spec = pickle.loads(pickle.dumps(registry.resolve_probe("lda")))  # noqa: S301 - as in a worker
    where = save_with(spec, fitted, tmp_path / "model", {"backbone": "raw"})
    again = tl.from_pretrained(where)
    assert np.array_equal(again.predict_proba(X), fitted.predict_proba(X))
    assert np.array_equal(again.predict(X), fitted.predict(X))
    assert again.classes_.dtype == fitted.classes_.dtype
    assert (again.n_features_in_, again.solver, again.metadata_) == (4, "lsqr", {"backbone": "raw"})
    config = json.loads((where / "config.json").read_text())
    assert config["probe"] == {"name": "lda", "plugin": "tlengine-lda (tlengine-lda 1.0)"}
    assert sorted(file.name for file in where.iterdir()) == ["config.json", "model.safetensors"]


def test_without_its_plugin_it_says_what_to_install(plant: Plant, use: Use, tmp_path: Path) -> None:  # noqa: F811
    use(plant("tlengine-lda", CODE))
    save_with(registry.resolve_probe("lda"), LDA().fit(X, LABELS["text"]), tmp_path)
    use()
    with pytest.raises(MissingPackageError, match="the probe 'lda', which no plugin here offers") as caught:
        from_pretrained(tmp_path)
    assert caught.value.hint == "install tlengine-lda (tlengine-lda 1.0)"
    use(plant("other", "import tlengine as tl\n@tl.hookimpl\ndef tlengine_probes():\n"
                       "    yield tl.ProbeSpec(name='lda', estimator=dict)\n"))  # fmt: skip
    with pytest.raises(MissingPackageError, match="the probe 'lda', which cannot load here"):
        from_pretrained(tmp_path)


def test_a_users_own_probe_is_loaded_with_its_spec(tmp_path: Path) -> None:
    fitted = LDA().fit(X, LABELS["text"])
    save_with(own(), fitted, tmp_path)
    assert np.array_equal(load_with(own(), tmp_path).predict_proba(X), fitted.predict_proba(X))
    with pytest.raises(MissingPackageError, match="the probe 'mine'") as caught:
        from_pretrained(tmp_path)
    assert "load_with" in caught.value.hint
    with pytest.raises(HeadFormatError, match="holds the probe 'mine', not 'other'"):
        load_with(own(name="other"), tmp_path)


def test_tlengine_s_own_classes_save_themselves(tmp_path: Path) -> None:
    spec = tl.ProbeSpec(name="svm", estimator=tl.LinearSVMProbe)
    fitted = tl.LinearSVMProbe(C=1e-2).fit(X, LABELS["text"])
    again = tl.from_pretrained(save_with(spec, fitted, tmp_path, {"a": 1}))
    assert isinstance(again, tl.LinearSVMProbe)
    assert np.array_equal(again.decision_function(X), fitted.decision_function(X))
    assert again.metadata_ == {"a": 1}
    with pytest.raises(HeadFormatError, match="does not hold the probe of a plugin"):
        load_with(spec, tmp_path)


def nothing(arrays, facts):
    return None


class Mute:
    """Fits, and has neither classes_ nor n_features_in_."""


CANNOT = {
    "no pair": ({"save": None, "load": None}, None, "LinearDiscriminantAnalysis has no format of tlengine's"),
    "save raises": ({"save": lambda lda: 1 / 0}, None, "its save failed: ZeroDivisionError"),
    "save exits": ({"save": lambda lda: exit("no")}, None, "its save failed: SystemExit: no"),
    "not a pair": ({"save": lambda lda: {"coef": lda.coef_}}, None, "its save failed: "),
    "objects": ({"save": lambda lda: ({"a": np.array([lda])}, {})}, None, "array 'a' is of object"),
    "text": ({"save": lambda lda: ({"a": lda.classes_}, {})}, None, "array 'a' is of <U1; text and objects"),
    "facts": ({"save": lambda lda: ({}, {"lda": lda})}, None, "its save failed: TypeError: .*JSON"),
    "nan facts": ({"save": lambda lda: ({}, {"a": float("nan")})}, None, "its save failed: ValueError"),
    "load raises": ({"load": lambda arrays, facts: arrays["no"]}, None, "its load failed: KeyError: 'no'"),
    "load returns nothing": ({"load": nothing}, None, "its load returned a NoneType"),
    "load forgets": ({"load": lambda arrays, facts: LDA()}, None, "predicts something else"),
    "load garbles": (
        {"load": lambda arrays, facts: load({**arrays, "coef": -arrays["coef"]}, facts)},
        None,
        "predicts something else",
    ),
    "load mixes": (
        {"load": lambda arrays, facts: LDA().fit(X, LABELS["numbers"])},
        None,
        "gives back other classes_",
    ),
    "not fitted": ({}, LDA(), "its fitted LinearDiscriminantAnalysis has no classes_"),
    "no width": ({}, Mute(), "its fitted Mute has no classes_"),
    "forest": (
        {"save": None, "load": None},
        RandomForestClassifier(),
        "RandomForestClassifier has no format",
    ),
}


@pytest.mark.parametrize("kind", CANNOT)
def test_what_cannot_be_saved_is_refused_and_nothing_written(tmp_path: Path, kind: str) -> None:
    changes, estimator, message = CANNOT[kind]
    fitted = estimator if estimator is not None else LDA().fit(X, LABELS["text"])
    with pytest.raises(InputError, match=f"probe 'mine' cannot be saved: .*{message}") as caught:
        save_with(own(**changes), fitted, tmp_path / "model")
    assert "save= and load=" in str(caught.value.hint)
    assert not (tmp_path / "model").exists()


def test_metadata_that_json_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="metadata that JSON cannot hold"):
        save_with(own(), LDA().fit(X, LABELS["text"]), tmp_path / "model", {"a": np.zeros(2)})
    assert not (tmp_path / "model").exists()


def test_arrays_keep_their_shapes_and_types(tmp_path: Path) -> None:
    kept = {
        "classes": np.arange(6, dtype=np.uint8)[::2],
        "scalar": np.array(0.5),
        "empty": np.zeros((0, 3), dtype=np.float16),
        "turned": np.arange(6.0).reshape(2, 3).T,
        "big": np.array([1, 2], dtype=">i4"),
        "yes": np.array([True, False]),
    }
    seen: list[dict] = []
    fitted = LDA().fit(X, LABELS["text"])

    def back(arrays, facts):
        seen.append(arrays)
        return load(arrays, facts)

    spec = own(save=lambda lda: ({**kept, **save(lda)[0]}, {"deep": {"list": [1, None, "ü"]}}), load=back)
    save_with(spec, fitted, tmp_path)
    load_with(spec, tmp_path)
    for name, array in kept.items():
        again = seen[-1][name]
        assert (again.shape, again.dtype.newbyteorder("=")) == (array.shape, array.dtype.newbyteorder("="))
        assert np.array_equal(again, array)


def test_another_version_of_the_plugin_that_cannot_load_is_named(tmp_path: Path) -> None:
    save_with(own(), LDA().fit(X, LABELS["text"]), tmp_path)
    with pytest.raises(PluginError, match="probe 'mine': its load failed: KeyError: 'weights'"):
        load_with(own(load=lambda arrays, facts: arrays["weights"]), tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"probe": {"name": 3}},
        {"probe": "mine"},
        {"facts": 3},
        {"fitted": {"n_features_in_": "four"}},
        {"fitted": {}},
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, changes: dict) -> None:
    from safetensors.numpy import save as dump

    from tlengine.probes import container

    save_with(own(), LDA().fit(X, LABELS["text"]), tmp_path)
    config, tensors = container.read(tmp_path / "model.safetensors")
    text = json.dumps(config | changes)
    header = {"tlengine": text, "digest": container._digest(text, tensors)}
    (tmp_path / "model.safetensors").write_bytes(dump(tensors, metadata=header))
    with pytest.raises(HeadFormatError):
        load_with(own(), tmp_path)
