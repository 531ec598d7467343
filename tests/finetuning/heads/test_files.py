"""A head comes back from its files as it was, or not at all."""

import json
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from tests.plugins.conftest import plant, use  # noqa: F401
from tlengine.errors import (
    HeadFormatError,
    InputError,
    MissingPackageError,
    UnknownNameError,
    UnsafeArtifactError,
)
from tlengine.finetuning import HEADS, HeadConfig, load_head, save_head

MLP = HeadConfig(name="mlp", dim=6, classes=3, settings={"hidden": 4, "dropout": 0.5})


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    return save_head(MLP.build(), MLP, tmp_path / "head")


@pytest.mark.parametrize("spec", HEADS, ids=lambda spec: spec.name)
def test_every_head_comes_back_bit_by_bit(tmp_path, spec):
    dim = (None, 6) if spec.input == "tokens" else 6
    config = HeadConfig(name=spec.name, dim=dim, classes=4)
    head = config.build()
    again, found = load_head(save_head(head, config, tmp_path))
    assert found == config
    assert not again.training
    assert all(map(torch.equal, head.state_dict().values(), again.state_dict().values()))


def test_files_are_safetensors_and_json(folder):
    assert sorted(file.name for file in folder.iterdir()) == ["head.json", "head.safetensors"]
    document = json.loads((folder / "head.json").read_text())
    assert (document["head"], document["dim"], document["classes"]) == ("mlp", 6, 3)
    assert document["settings"] == {"hidden": 4, "dropout": 0.5}
    assert set(load_file(folder / "head.safetensors")) == set(MLP.build().state_dict())
    assert load_head(folder / "head.safetensors")[1] == MLP


def test_every_type_and_shape_of_tensor_is_kept(tmp_path):
    config = HeadConfig(name="cosine", dim=4, classes=2)  # log_scale is a number
    head = config.build().to(torch.bfloat16)
    again, _ = load_head(save_head(head, config, tmp_path))
    assert torch.equal(again.weight.detach(), head.weight.detach().float())


def test_every_flipped_byte_is_found(folder):
    file = folder / "head.safetensors"
    whole = file.read_bytes()
    for place in np.random.default_rng(0).choice(len(whole), 60, replace=False):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises((HeadFormatError, UnsafeArtifactError)):
            load_head(folder)
    for length in (0, 7, 8, 100, len(whole) - 1):
        file.write_bytes(whole[:length])
        with pytest.raises(HeadFormatError) as caught:
            load_head(folder)
        assert caught.value.hint


def test_a_pickle_is_not_opened(folder):
    file = folder / "head.safetensors"
    file.write_bytes(pickle.dumps({"weight": [1.0]}))
    with pytest.raises(UnsafeArtifactError):
        load_head(folder)
    torch.save({"weight": torch.ones(2)}, file)
    with pytest.raises(UnsafeArtifactError):
        load_head(folder)


def test_nothing_there_and_other_files(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_head(tmp_path)
    save_file({"weight": torch.ones(2)}, tmp_path / "head.safetensors")
    with pytest.raises(HeadFormatError, match="no saved head"):
        load_head(tmp_path)


def test_the_number_of_classes_is_checked(folder):
    assert load_head(folder, classes=3)[1].classes == 3
    with pytest.raises(HeadFormatError, match="for 3 classes, 5 are asked for"):
        load_head(folder, classes=5)


def rewritten(folder, **changed):
    """The files with another configuration and its digest, as a program would write them."""
    from tlengine.finetuning.heads.files import _digest

    document = {**json.loads((folder / "head.json").read_text()), **changed}
    tensors = load_file(folder / "head.safetensors")
    text = json.dumps(document)
    save_file(
        tensors,
        folder / "head.safetensors",
        metadata={"tlengine": text, "digest": _digest(text, tensors)},
    )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"classes": 4}, r"does not fit the head 'mlp': output\.weight is \(3, 4\), not \(4, 4\)"),
        ({"settings": {"hidden": 0}}, "hidden is 0"),
        ({"settings": {"width": 1}}, "has no setting 'width'"),
        ({"settings": None}, "configuration that does not fit"),
        ({"dim": "6"}, "dim is '6'"),
        ({"head": "cosine", "settings": {}}, "does not fit the head 'cosine'"),
        ({"version": 2}, "version 2; this tlengine reads"),
        ({"format": "other"}, "format 'other'"),
    ],
)
def test_a_configuration_that_does_not_fit_is_named(folder, changed, message):
    rewritten(folder, **changed)
    with pytest.raises(HeadFormatError, match=message):
        load_head(folder)


def test_a_head_of_a_plugin_that_is_not_here(folder):
    rewritten(folder, head="deep", plugin="tlengine-deep 1.0")
    with pytest.raises(MissingPackageError, match="needs the head 'deep'") as caught:
        load_head(folder)
    assert "tlengine-deep" in caught.value.hint


class Counting(nn.Dropout):
    def get_extra_state(self):
        return {"calls": 1}


def test_what_cannot_be_saved(tmp_path):
    other = HeadConfig(name="mlp", dim=6, classes=4, settings=MLP.settings)
    with pytest.raises(InputError, match=r"output\.weight is \(3, 4\), not \(4, 4\)"):
        save_head(MLP.build(), other, tmp_path / "a")
    with pytest.raises(UnknownNameError):
        save_head(MLP.build(), HeadConfig(name="deep", dim=6, classes=3), tmp_path / "a")
    head = MLP.build()
    head.dropout = Counting()
    with pytest.raises(InputError, match="_extra_state', which is no tensor"):
        save_head(head, MLP, tmp_path / "a")
    assert not (tmp_path / "a").exists()


TIED = """
import tlengine as tl

def build(dim, classes):
    from torch import nn
    module = nn.Sequential(nn.Linear(dim, dim), nn.Linear(dim, dim), nn.Linear(dim, classes))
    module[1].weight = module[0].weight
    return module

@tl.hookimpl
def tlengine_heads():
    yield tl.HeadSpec(name="tied", build=build)
"""


def test_tied_weights_come_back_tied(plant, use, tmp_path):  # noqa: F811
    use(plant("tlengine-tied", TIED))
    config = HeadConfig(name="tied", dim=3, classes=2)
    head = config.build()
    again, _ = load_head(save_head(head, config, tmp_path / "head"))
    assert again[0].weight is again[1].weight
    assert torch.equal(again[0].weight, head[0].weight)
