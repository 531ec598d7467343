"""Fingerprints: equal exactly when the embeddings must be equal."""

import functools
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision import transforms

from tests.features.networks import PREPROCESS, TinyNet
from tlengine.errors import UnhashableRecipeError
from tlengine.features import Backbone
from tlengine.features.recipes import Fingerprint, describe, fingerprint


def to_grey(image: Any) -> Any:
    return image


@dataclass(frozen=True)
class Frozen:
    size: int = 3


def of(module: torch.nn.Module, preprocess: Any = PREPROCESS, revision: str = "") -> str:
    return fingerprint(module, describe(preprocess), revision)


def test_equal_backbones_have_equal_fingerprints() -> None:
    assert of(TinyNet()) == of(TinyNet())
    assert of(TinyNet()) == of(TinyNet().to(memory_format=torch.channels_last))  # type: ignore[call-overload]
    assert of(TinyNet()) == of(TinyNet().eval().requires_grad_(False))


def _flip_one_bit(net: TinyNet) -> None:
    net.conv.weight.data.view(torch.int32).view(-1)[5] ^= 1


def _add_buffer(net: TinyNet) -> None:
    net.register_buffer("scale", torch.ones(1), persistent=False)


def _rename(net: TinyNet) -> None:
    net.convolution = net.conv
    del net.conv


def _reshape(net: TinyNet) -> None:
    net.conv.weight = torch.nn.Parameter(net.conv.weight.data.reshape(8, 3, 9, 1))


CHANGES = {
    "a bit of a weight": _flip_one_bit,
    "a buffer": _add_buffer,
    "a name": _rename,
    "a shape": _reshape,
    "a dtype": lambda net: net.half(),
    "a layer without weights": lambda net: setattr(net, "dropout", torch.nn.ReLU()),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_the_network_changes_the_fingerprint(change: str) -> None:
    net = TinyNet()
    before = of(net)
    CHANGES[change](net)
    assert of(net) != before


FIELDS = {
    "resize": 17,
    "crop": 15,
    "interpolation": "box",
    "mean": (0.5, 0.456, 0.406),
    "std": (0.5, 0.224, 0.225),
}


@pytest.mark.parametrize("field", FIELDS)
def test_a_change_of_the_preprocessing_changes_the_fingerprint(field: str) -> None:
    net = TinyNet()
    changed = replace(PREPROCESS, **{field: FIELDS[field]})  # type: ignore[arg-type]
    assert of(net, changed) != of(net)
    assert of(net, revision="2") != of(net)


def test_every_field_of_the_preprocessing_is_tried() -> None:
    assert set(FIELDS) == {name for name in PREPROCESS.describe() if name != "kind"}


def test_all_dtypes_can_be_hashed() -> None:
    net = TinyNet()
    prints = {of(net.to(dtype)) for dtype in (torch.float32, torch.float16, torch.bfloat16, torch.float64)}
    assert len(prints) == 4


def test_what_is_described() -> None:
    assert describe({"a": (1, 2.5, None, True, "x")}) == {"a": [1, 2.5, None, True, "x"]}
    assert describe(Frozen(4)) == {"type": f"{__name__}.Frozen", "size": 4}
    assert describe(functools.partial(to_grey, 3)) != describe(functools.partial(to_grey, 4))
    assert describe(np.eye(2)) != describe(np.eye(2, dtype=np.float32))
    assert describe(Path("a")) == "a"
    resize = transforms.Compose([transforms.Resize(8), transforms.ToTensor()])
    assert describe(resize) == describe(resize)
    assert describe(resize) != describe(transforms.Compose([transforms.Resize(9), transforms.ToTensor()]))


def closure(size: int) -> Any:
    def inner(image: Any) -> Any:
        return image.resize((size, size))

    return inner


@pytest.mark.parametrize(
    "what",
    [
        lambda image: image,
        closure(3),
        object(),
        transforms.Compose([transforms.RandomCrop(4)]),
        transforms.Lambda(to_grey),
        transforms.Compose([to_grey]),
        {"deep": [lambda image: image]},
    ],
    ids=["lambda", "closure", "object", "random", "torchvision lambda", "function in compose", "nested"],
)
def test_what_cannot_be_described_says_how_to_name_it(what: Any) -> None:
    with pytest.raises(UnhashableRecipeError, match="preprocess_name="):
        describe(what)


def test_a_name_stands_for_what_cannot_be_described() -> None:
    def make(name: str | None) -> Backbone:
        return Backbone(
            TinyNet(),
            preprocess=lambda image: image,
            modality="image",
            name="x",
            embedding_dim=8,
            preprocess_name=name,
        )

    with pytest.raises(UnhashableRecipeError):
        make(None)
    assert make("one").fingerprint == make("one").fingerprint != make("two").fingerprint


def test_no_seed_of_the_interpreter_enters() -> None:
    code = "import tlengine as tl; print(tl.load_backbone('raw').fingerprint)"
    prints = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "LC_ALL": locale},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed, locale in (("0", "C"), ("7", "C.UTF-8"))
    }
    assert len(prints) == 1


GOLDEN = {
    "weights": "d7fae72ee5af5f56380f704bf87be3fcdb1ad84d6319ff91f7286870001e0cb7",
    "preprocess": "27da030537d111a339273db5d4784c59af2e8e47852ac72cb3a866ea7be1c99f",
    "structure": "0de9d6d9bf3bb5ffa1ba346e71d00cd965a71755617a504feb85b6622f218f88",
}


def test_the_digests_of_01_never_change() -> None:
    """Golden: of a network whose text is its own, so that no library can change it."""

    class Fixed(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.arange(6.0).reshape(2, 3))

        def __repr__(self) -> str:
            return "Fixed()"

    found = Fingerprint.of(Fixed(), {"kind": "image"}, "1")
    assert found.as_dict() == GOLDEN
    assert found.digest == "ab69f97c717b8a355da2366010a4b9e71573d054c78b43a36743f47643121c19"
