"""A saved model knows its backbone again, by digests and, where a text changed, by three embeddings."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import tlengine as tl
from tlengine.errors import BackboneError, HeadFormatError, InputError
from tlengine.evaluation import Model
from tlengine.features import ImagePreprocess, with_check_rows


class Renamed(nn.Linear):
    """What a new version of a library might make of a layer: the same numbers under another text."""

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, version=2"


class Negated(Renamed):
    """The same weights, another result."""

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return -super().forward(rows)


class Mean(nn.Module):
    """Letters of a text: a mean over the mask."""

    def __init__(self, last: type[nn.Linear]) -> None:
        super().__init__()
        self.table = nn.Embedding(256, 6)
        self.last = last(6, 5)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        mask = attention_mask.unsqueeze(-1)
        mean = (self.table(input_ids) * mask).sum(1) / mask.sum(1).clamp(min=1)
        return self.last(mean)  # type: ignore[no-any-return]


class Letters:
    pad_id = 0

    def __call__(self, text: str) -> Any:
        return np.frombuffer(text.encode(), np.uint8).astype(np.int64)

    def describe(self) -> dict[str, str]:
        return {"kind": "letters"}


def backbone(modality: str, last: type[nn.Linear] = nn.Linear, seed: int = 0, crop: int = 8) -> tl.Backbone:
    torch.manual_seed(seed)
    if modality == "text":
        net: nn.Module = Mean(last)
        return tl.Backbone(net, preprocess=Letters(), modality="text", name="net")
    net = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), last(12, 5))
    return tl.Backbone(net, preprocess=ImagePreprocess(resize=8, crop=crop), modality="image", name="net")


def dataset(modality: str) -> tl.Dataset:
    rng = np.random.default_rng(0)
    y = ["ab"[i % 2] for i in range(40)]
    if modality == "text":
        return tl.load_dataset(([f"{'xyz' if i % 2 else 'abc'} {i}" for i in range(40)], y))
    rows = [(rng.integers(0, 128, (9, 9, 3)) + 100 * (i % 2)).astype(np.uint8) for i in range(40)]
    return tl.load_dataset((rows, y))


@pytest.fixture(params=["image", "text"])
def modality(request: Any) -> str:
    return str(request.param)


@pytest.fixture
def model(modality: str, tmp_path: Path) -> Model:
    ds, bb = dataset(modality), backbone(modality)
    feats = with_check_rows(tl.extract(ds, bb, progress=False), ds, bb)
    made = Model(
        estimator=tl.LinearProbe().fit(feats.X, ds.labels()),
        calibration={"kind": "logits", "value": 1.0, "reading": "decision_function"},
        metadata={"backbone": "net", "fingerprint": feats.fingerprint, "recipe": dict(feats.recipe)},
        check_rows=feats.check_rows,
    )
    loaded: Model = tl.from_pretrained(made.save(tmp_path / "model"))
    return loaded


@pytest.mark.filterwarnings("ignore::tlengine.errors.TlengineWarning")
def test_the_model_of_a_run_carries_them(modality: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"strategies": ["probe"], "budgets": ["all"], "seeds": 1, "progress": False}
    result = tl.compare(dataset(modality), backbone(modality), **options)
    loaded = tl.from_pretrained(result.save(tmp_path)["model"])
    assert loaded.check_rows is not None
    assert {"weights", "structure", "preprocess", "layer"} < loaded.metadata["recipe"].keys()


def test_a_model_is_loaded_with_its_calibration_and_samples(model: Model, modality: str) -> None:
    assert isinstance(model, tl.Model)
    assert model.calibration == {"kind": "logits", "value": 1.0, "reading": "decision_function"}
    assert model.check_rows is not None
    assert model.check_rows.X.shape == (3, 5)
    ds = dataset(modality)
    found = model.predict(tl.extract(ds, backbone(modality), progress=False))
    assert np.mean([p["label"] == y for p, y in zip(found, ds.labels(), strict=True)]) > 0.8


def test_equal_fingerprints_need_no_pass(model: Model, modality: str) -> None:
    assert model.for_backbone(backbone(modality)) is model
    assert replace(model, check_rows=None).for_backbone(backbone(modality)).check_rows is None


def test_another_text_of_equal_weights_is_tried_and_accepted(model: Model, modality: str) -> None:
    other = backbone(modality, Renamed)
    assert other.fingerprint != model.fingerprint
    feats = tl.extract(dataset(modality), other, progress=False)
    with pytest.raises(BackboneError, match="fingerprint"):
        model.predict(feats)
    accepted = model.for_backbone(other)
    assert len(accepted.predict(feats)) == 40
    assert model.fingerprint != accepted.fingerprint == other.fingerprint


def test_another_result_of_equal_weights_is_refused(model: Model, modality: str) -> None:
    with pytest.raises(BackboneError, match=r"embeddings of 3 kept samples differ by .*limit 0\.0001"):
        model.for_backbone(backbone(modality, Negated))


def test_other_weights_and_preprocessing_are_refused_by_name(model: Model, modality: str) -> None:
    with pytest.raises(BackboneError, match="what changed: weights;"):
        model.for_backbone(backbone(modality, seed=1))
    with pytest.raises(BackboneError, match="what changed: weights, structure"):
        model.for_backbone(backbone(modality, Renamed, seed=1))
    if modality == "image":
        with pytest.raises(BackboneError, match="what changed: preprocess"):
            model.for_backbone(backbone(modality, crop=6))


@pytest.mark.parametrize("damage", ["missing", "cut", "foreign"])
def test_damaged_samples_are_not_believed_and_the_model_still_works(
    damage: str, model: Model, modality: str, tmp_path: Path
) -> None:
    file = tmp_path / "model" / "check.safetensors"
    data = file.read_bytes()
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(data[:-1] if damage == "cut" else data[:-1] + b"\x01")
    loaded = tl.from_pretrained(tmp_path / "model")
    assert loaded.check_rows is None
    assert loaded.for_backbone(backbone(modality)) is loaded
    with pytest.raises(BackboneError, match="structure, and the model's kept samples are missing"):
        loaded.for_backbone(backbone(modality, Renamed))


def test_large_samples_are_left_out() -> None:
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    prep = ImagePreprocess(resize=1500, crop=1500)
    bb = tl.Backbone(net, preprocess=prep, modality="image", name="large")
    ds = dataset("image").take(range(3))
    feats = with_check_rows(tl.extract(ds, bb, progress=False), ds, bb)
    assert feats.check_rows is not None
    assert len(feats.check_rows.inputs) == 1, "6.75 MB each, 8 MiB in all"


def test_arrays_say_not_where_they_come_from(model: Model) -> None:
    with pytest.raises(InputError, match="predict_proba"):
        model.predict(np.zeros((2, 5)))  # type: ignore[arg-type]


def test_a_probe_saved_alone_is_an_estimator(tmp_path: Path) -> None:
    clf = tl.RidgeProbe().fit(np.eye(4, dtype=np.float32), ["a", "a", "b", "b"])
    again = tl.from_pretrained(clf.save_pretrained(tmp_path))
    assert isinstance(again, tl.RidgeProbe)
    assert isinstance(tl.from_pretrained(tmp_path / "model.safetensors"), tl.RidgeProbe)


@pytest.mark.parametrize(("precision", "noise"), [("bf16", 1e-2), ("fp16", 2e-3)])
def test_half_precision_has_a_limit_of_its_own(
    model: Model, modality: str, precision: str, noise: float
) -> None:
    """Rows that were embedded in another batch are the same to the precision, and no more."""
    assert model.check_rows is not None
    recipe = {**model.metadata["recipe"], "precision": precision}

    def moved(by: float) -> Model:
        assert model.check_rows is not None
        X = model.check_rows.X * np.float32(1 + by)
        kept = replace(model.check_rows, X=X)
        return replace(model, metadata={**model.metadata, "recipe": recipe}, check_rows=kept)

    other = backbone(modality, Renamed)
    assert moved(noise).for_backbone(other).fingerprint == other.fingerprint
    with pytest.raises(BackboneError, match="kept samples differ"):
        moved(0.1).for_backbone(other)
    with pytest.raises(BackboneError, match="kept samples differ"):
        replace(moved(noise), metadata=model.metadata).for_backbone(other)


def test_a_model_of_an_earlier_build_says_so(model: Model, modality: str) -> None:
    recipe = {key: value for key, value in model.metadata["recipe"].items() if key != "layer"}
    earlier = replace(model, metadata={**model.metadata, "fingerprint": "0" * 64, "recipe": recipe})
    with pytest.raises(BackboneError, match="saved by an earlier tlengine, whose keys were of another kind"):
        earlier.for_backbone(backbone(modality))


@pytest.mark.parametrize("calibration", [{"kind": "temperature", "value": 1.0}, None, "logits"])
def test_a_model_with_a_calibration_of_another_build_is_no_bare_probe(
    calibration: Any, model: Model, tmp_path: Path
) -> None:
    """As one it would neither calibrate nor refuse features of another backbone."""
    kept = {**model.metadata, "format": "tlengine-model", "calibration": calibration}
    where = model.estimator.save_pretrained(tmp_path / "earlier", metadata=kept)
    with pytest.raises(HeadFormatError, match="calibration"):
        tl.from_pretrained(where)
