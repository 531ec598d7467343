"""A fine-tuned network comes back as it was saved, and nothing else is taken for it."""

import json
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import tlengine as tl
from tests.finetuning.kept import LABELS, PICTURES, PREPROCESS, cnn, trained, transformer
from tlengine.errors import BackboneError, HeadFormatError, InputError, UnknownNameError, UnsafeArtifactError
from tlengine.features import Backbone
from tlengine.features.forward import batch_of
from tlengine.finetuning import NetworkModel
from tlengine.finetuning.network_file import read_network, write_network

# A few steps need not learn anything: what is kept of them is looked at here.
pytestmark = pytest.mark.filterwarnings("ignore:the training loss of .* is no better")

TRAINED = {
    "lp-ft": {"one", "norm1", "two", "norm2"},
    "last-block": {"two", "norm2"},
    "bitfit": {"one", "norm1", "two", "norm2"},
    "lora": {"two"},
    "scratch": {"one", "norm1", "two", "norm2"},
}


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A model of the last block, and the folder that it was saved in."""
    model = trained(cnn(), "last-block").model
    return model, model.save_pretrained(tmp_path_factory.mktemp("model"), metadata={"note": "mine"})


def changed(folder, tmp_path, edit):
    """A copy of the model whose facts and tensors ``edit`` changes, with a digest that fits."""
    _, facts, tensors = read_network(folder)
    edit(facts, tensors)
    facts = {name: facts[name] for name in facts if name not in ("format", "version")}
    return write_network(tmp_path / "changed", facts, tensors)


@pytest.mark.parametrize("strategy", TRAINED)
def test_it_gives_the_same_logits_after_it_was_saved(strategy, tmp_path):
    model = trained(cnn(), strategy).model
    again = tl.from_pretrained(model.save_pretrained(tmp_path), backbone=cnn())
    assert isinstance(again, NetworkModel)
    assert np.abs(again.logits(PICTURES) - model.logits(PICTURES)).max() < 1e-6
    assert again.classes.tolist() == ["dark", "light"]
    saved = {n.split(".")[1] for n in load_file(tmp_path / "model.safetensors") if n.startswith("backbone.")}
    assert saved == TRAINED[strategy]


def test_adapters_of_a_transformer_are_kept_alone(tmp_path):
    model = trained(transformer(), "lora").model
    again = tl.from_pretrained(model.save_pretrained(tmp_path), backbone=transformer())
    assert np.abs(again.logits(PICTURES) - model.logits(PICTURES)).max() < 1e-6
    names = [n for n in load_file(tmp_path / "model.safetensors") if n.startswith("backbone.")]
    assert names
    assert all("lora_" in name for name in names)


def test_the_settings_of_a_head_are_kept(tmp_path):
    model = trained(cnn(), "finetune", settings={"head": "mlp", "head_settings": {"hidden": 3}}).model
    again = tl.from_pretrained(model.save_pretrained(tmp_path), backbone=cnn())
    assert again.network.head.hidden.out_features == 3
    assert np.abs(again.logits(PICTURES) - model.logits(PICTURES)).max() < 1e-6


READERS = {
    "cnn": (cnn, "two", "lp-ft"),
    "cnn, a part": (cnn, "norm2", "last-block"),
    "transformer": (transformer, "norm", "finetune"),
    "adapters": (transformer, "layers.1", "lora"),
}


@pytest.mark.parametrize("reader", READERS)
def test_a_head_that_reads_tokens_is_kept(reader, tmp_path):
    make, tokens, strategy = READERS[reader]
    model = trained(make(tokens=tokens), strategy, settings={"head": "attention-pool"}).model
    again = tl.from_pretrained(model.save_pretrained(tmp_path), backbone=make(tokens=tokens))
    logits = model.logits(PICTURES)
    assert np.abs(again.logits(PICTURES) - logits).max() < 1e-6
    assert [one["label"] for one in again.predict(PICTURES)] == [
        one["label"] for one in model.predict(PICTURES)
    ]
    rows = np.stack([np.asarray(model.backbone.preprocess(one)) for one in PICTURES])
    with torch.no_grad():
        wanted = again.network(batch_of(model.backbone, list(rows), torch.device("cpu"))).numpy()
    assert np.abs(logits - wanted).max() < 1e-5


def test_a_head_that_reads_tokens_of_texts_is_kept(tmp_path):
    texts = ["good film", "bad film of last year", "a good book", "bad book"] * 3
    settings = {"steps": 2, "head": "attention-pool"}
    model = tl.finetune(
        (texts, ["yes", "no"] * 6),
        "minilm",
        strategy="bitfit",
        settings=settings,
        progress=False,
        cache=False,
    ).model
    again = tl.from_pretrained(model.save_pretrained(tmp_path))
    assert np.abs(again.logits(texts) - model.logits(texts)).max() < 1e-6


@pytest.mark.parametrize("tokens", ["", "norm1"])
def test_tokens_of_another_place_are_refused(tokens, tmp_path):
    model = trained(cnn(tokens="norm2"), settings={"head": "attention-pool"}).model
    folder = model.save_pretrained(tmp_path)
    with pytest.raises(BackboneError, match="for the tokens at 'norm2'") as error:
        tl.from_pretrained(folder, backbone=cnn(tokens=tokens))
    assert "tokens=" in error.value.hint


def test_the_logits_are_those_of_the_fit_itself():
    model = trained(cnn()).model
    with torch.no_grad():
        batch = np.stack([PREPROCESS(picture) for picture in PICTURES])
        pixels = PREPROCESS.normalized(torch.from_numpy(batch)) if batch.dtype == np.uint8 else batch
        wanted = model.network(torch.as_tensor(pixels).float()).numpy()
    assert np.abs(model.logits(PICTURES) - wanted).max() < 1e-5


def test_probabilities_are_calibrated_and_named(kept):
    model, _ = kept
    warm = model.described({"kind": "logits", "value": 4.0}, {})
    proba = warm.predict_proba(PICTURES)
    assert proba == pytest.approx(
        torch.softmax(torch.from_numpy(model.logits(PICTURES)) / 4.0, dim=1).numpy(), abs=1e-6
    )
    found = warm.predict(PICTURES[:3], top_k=9)
    assert [one["id"] for one in found] == ["0", "1", "2"]
    assert [len(one["top"]) for one in found] == [2, 2, 2]
    assert found[0]["probability"] == pytest.approx(proba[0].max(), abs=1e-6)


def test_labels_come_back_as_the_user_wrote_them(tmp_path):
    numbers = [-5 if label == "dark" else 7 for label in LABELS]
    found = tl.finetune(
        (PICTURES, numbers), cnn(), strategy="last-block", settings={"steps": 1}, cache=False, progress=False
    )
    again = tl.from_pretrained(found.model.save(tmp_path), backbone=cnn())
    assert again.classes.tolist() == [-5, 7]
    assert again.classes.dtype.kind == "i"


def test_metadata_and_words_for_people_are_beside_it(kept):
    _, folder = kept
    again = tl.from_pretrained(folder / "model.safetensors", backbone=cnn())
    assert again.metadata == {"note": "mine"}
    told = json.loads((folder / "config.json").read_text())
    assert told["backbone"]["name"] == "small-cnn"
    assert told["trained"] == {"tensors": 4, "of": 14}


def test_other_frozen_weights_are_refused(kept):
    with pytest.raises(BackboneError, match="the model was fitted with") as error:
        tl.from_pretrained(kept[1], backbone=cnn(seed=1))
    assert "weights" in error.value.hint


def test_another_size_of_pictures_is_refused(kept):
    with pytest.raises(BackboneError) as error:
        tl.from_pretrained(kept[1], backbone=cnn().at_size(24))
    assert "preprocess" in error.value.hint


def test_a_structure_that_is_only_told_otherwise_is_taken_if_the_logits_are_the_same(kept):
    class Renamed(nn.Module):
        def __init__(self, module, off):
            super().__init__()
            self.one, self.norm1, self.two, self.norm2 = module.one, module.norm1, module.two, module.norm2
            self.off = off

        def forward(self, x):
            x = torch.relu(self.norm1(self.one(x)))
            return torch.relu(self.norm2(self.two(x))).mean(dim=(2, 3)) + self.off

    def updated(off):
        return Backbone(Renamed(cnn().module, off), preprocess=PREPROCESS, modality="image", name="small-cnn")

    again = tl.from_pretrained(kept[1], backbone=updated(0.0))
    assert again.fingerprint == updated(0.0).fingerprint
    with pytest.raises(BackboneError, match="has fingerprint") as error:
        tl.from_pretrained(kept[1], backbone=updated(1.0))
    assert "differ by" in error.value.hint


def test_a_backbone_that_nobody_registers_is_asked_for(kept):
    with pytest.raises(UnknownNameError, match="small-cnn") as error:
        tl.from_pretrained(kept[1])
    assert "backbone=" in error.value.hint


@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_a_damaged_file_is_refused(kept, tmp_path, damage):
    for file in kept[1].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    path = tmp_path / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes({"flip": bytes(data), "cut": bytes(data[:-100]), "empty": b""}[damage])
    with pytest.raises(HeadFormatError):
        tl.from_pretrained(tmp_path, backbone=cnn())


def test_a_pickle_under_its_name_is_not_opened(kept, tmp_path):
    (tmp_path / "config.json").write_bytes((kept[1] / "config.json").read_bytes())
    (tmp_path / "model.safetensors").write_bytes(pickle.dumps({"a": 1}, protocol=4))
    with pytest.raises(UnsafeArtifactError):
        tl.from_pretrained(tmp_path)


def test_foreign_tensors_are_refused(kept, tmp_path):
    (tmp_path / "config.json").write_bytes((kept[1] / "config.json").read_bytes())
    save_file({"conv.weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    with pytest.raises(HeadFormatError, match="not written by save_pretrained"):
        tl.from_pretrained(tmp_path)


def _another_shape(facts, tensors):
    tensors["backbone.two.weight"] = torch.zeros(8, 8, 1, 1)


def _another_network(facts, tensors):
    tensors["backbone.layers.0.weight"] = torch.zeros(2)


def _a_class_more(facts, tensors):
    facts["head"]["classes"] = 3


def _a_head_of_three(facts, tensors):
    tensors["head.weight"], tensors["head.bias"] = torch.zeros(3, 8), torch.zeros(3)


def _wider_rows(facts, tensors):
    facts["head"]["dim"] = 9


def _no_head(facts, tensors):
    del tensors["head.weight"]


def _no_labels(facts, tensors):
    del tensors["labels"]


def _cold(facts, tensors):
    facts["calibration"] = {"kind": "logits", "value": 0.0}


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (_another_shape, "two.weight"),
        (_another_network, "layers.0"),
        (_a_class_more, "3 classes"),
        (_a_head_of_three, r"head\.bias is .*\(3,\)"),
        (_wider_rows, "9 columns"),
        (_no_head, "lacks head.weight"),
        (_no_labels, "no class labels"),
        (_cold, "calibration"),
    ],
)
def test_what_does_not_fit_together_is_refused(kept, tmp_path, edit, said):
    folder = changed(kept[1], tmp_path, edit)
    with pytest.raises(HeadFormatError, match=said):
        tl.from_pretrained(folder, backbone=cnn())


def test_the_users_backbone_is_left_as_it_was(kept):
    mine = cnn()
    before = mine.fingerprint
    tl.from_pretrained(kept[1], backbone=mine)
    assert mine.fingerprint == before


def test_features_and_other_data_are_no_samples(kept):
    model, _ = kept
    features = tl.extract(tl.load_dataset(PICTURES), cnn(), cache=False, progress=False)
    with pytest.raises(BackboneError, match="8 columns"):
        model.predict(features)
    with pytest.raises(InputError, match="text"):
        model.predict_proba(["a text"])
    with pytest.raises(InputError, match="top-k"):
        model.predict(PICTURES, top_k=0)


def test_metadata_that_json_cannot_hold_is_refused(kept, tmp_path):
    with pytest.raises(InputError, match="JSON"):
        kept[0].save_pretrained(tmp_path, metadata={"when": object()})
    assert not list(tmp_path.iterdir())
