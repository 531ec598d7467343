"""What is exported computes what torch computes, for batches and texts of any length, or is not written."""

import importlib.util
import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import tlengine as tl
from tests.finetuning.kept import PICTURES, PREPROCESS, Cnn, cnn, trained, transformer
from tlengine.errors import BackboneError, InputError, MissingPackageError
from tlengine.features import Backbone
from tlengine.features.forward import batch_of

# A few steps need not learn anything: what is kept of them is looked at here.
pytestmark = pytest.mark.filterwarnings("ignore:the training loss of .* is no better")


def outputs(path, **inputs):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return dict(
        zip(("logits", "probabilities"), session.run(["logits", "probabilities"], inputs), strict=True)
    )


def pixels(model, pictures):
    rows = [np.asarray(model.backbone.preprocess(picture)) for picture in pictures]
    return batch_of(model.backbone, rows, torch.device("cpu")).numpy()


@pytest.mark.parametrize(("backbone", "strategy"), [(cnn, "lp-ft"), (transformer, "lora")])
def test_it_agrees_with_torch_on_batches_of_any_size(backbone, strategy, tmp_path):
    model = trained(backbone(), strategy).model.described({"kind": "logits", "value": 2.5}, {})
    path = model.export_onnx(tmp_path / "sub" / "model.onnx")
    for count in (1, 2, 7):
        found = outputs(path, pixels=pixels(model, PICTURES[:count]))
        assert np.abs(found["logits"] - model.logits(PICTURES[:count])).max() < 1e-4
        assert np.abs(found["probabilities"] - model.predict_proba(PICTURES[:count])).max() < 1e-4
    told = {prop.key: prop.value for prop in onnx.load(path).metadata_props}
    assert json.loads(told["classes"]) == ["dark", "light"]
    assert (told["fingerprint"], told["temperature"]) == (model.fingerprint, "2.5")
    assert "crop" in told["preprocess"]


def test_the_model_is_as_it_was_after_its_adapters_were_merged_for_the_file(tmp_path):
    model = trained(transformer(), "lora").model
    before = model.logits(PICTURES)
    model.export_onnx(tmp_path / "model.onnx")
    assert (model.logits(PICTURES) == before).all()


def test_texts_may_have_any_number_of_tokens(tmp_path):
    texts = ["good film", "bad film of last year", "a good book", "bad book"] * 3
    model = tl.finetune(
        (texts, ["yes", "no"] * 6), "minilm", strategy="bitfit", settings={"steps": 1}, progress=False,
        cache=False,
    ).model  # fmt: skip
    path = model.export_onnx(tmp_path / "model.onnx")
    new = ["one", "a film that is much longer than any of those that it was exported with, by far", "two"]
    rows = [np.asarray(model.backbone.preprocess(text)) for text in new]
    batch = batch_of(model.backbone, rows, torch.device("cpu"))
    found = outputs(path, **{name: one.numpy() for name, one in batch.items()})
    assert np.abs(found["logits"] - model.logits(new)).max() < 1e-4


@pytest.mark.parametrize(("make", "tokens"), [(cnn, "two"), (transformer, "norm")])
def test_a_head_that_reads_tokens_is_exported(make, tokens, tmp_path):
    model = trained(make(tokens=tokens), settings={"head": "attention-pool"}).model
    path = model.export_onnx(tmp_path / "model.onnx")
    for count in (1, 5):
        found = outputs(path, pixels=pixels(model, PICTURES[:count]))
        assert np.abs(found["logits"] - model.logits(PICTURES[:count])).max() < 1e-4


class Settled(Cnn):
    """Its forward fixes the number of rows."""

    def forward(self, x):
        return super().forward(x) * torch.ones(len(x), 1)


class Untraceable(Cnn):
    """Its forward depends on a value."""

    def forward(self, x):
        return super().forward(x) * (2.0 if float(x.detach().mean()) > 0 else 1.0)


@pytest.mark.parametrize("kind", [Settled, Untraceable])
def test_a_network_that_cannot_be_exported_is_refused_and_nothing_is_written(kind, tmp_path):
    torch.manual_seed(0)
    backbone = Backbone(kind(), preprocess=PREPROCESS, modality="image", name="odd")
    model = trained(backbone).model
    with pytest.raises(InputError, match="'odd'") as error:
        model.export_onnx(tmp_path / "model.onnx")
    assert error.value.hint
    assert not list(tmp_path.iterdir())


def test_other_numbers_than_torchs_are_not_written(tmp_path, monkeypatch):
    from tlengine.finetuning import onnx as exporting

    run = exporting._run
    monkeypatch.setattr(
        exporting, "_run", lambda *given: [one + 1e-2 * max(1.0, np.abs(one).max()) for one in run(*given)]
    )
    with pytest.raises(BackboneError, match="differ by 1"):
        trained(cnn()).model.export_onnx(tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("missing", ["onnx", "onnxscript", "onnxruntime"])
def test_a_package_that_is_missing_is_named(missing, tmp_path, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else found(name))
    with pytest.raises(MissingPackageError, match=missing) as error:
        trained(cnn()).model.export_onnx(tmp_path / "model.onnx")
    assert "tlengine[onnx]" in error.value.hint
