"""Backbones by name and of one's own."""

from typing import Any

import numpy as np
import pytest
import torch

from tests.features.networks import PREPROCESS, TinyNet
from tests.plugins.conftest import Plant, Use, plant, use  # noqa: F401 - fixtures
from tlengine.errors import BackboneError, InputError, MissingPackageError, PluginError
from tlengine.features import Backbone, default_backbone, load_backbone
from tlengine.features.raw import RawPreprocess


def test_the_fingerprint_follows_the_weights(backbone: Backbone, net: TinyNet) -> None:
    before = backbone.fingerprint
    with torch.no_grad():
        net.conv.bias += 1  # type: ignore[operator]
    assert backbone.fingerprint != before


def test_the_recipe_tells_precision_and_name(net: TinyNet, backbone: Backbone) -> None:
    other = Backbone(net, preprocess=PREPROCESS, modality="image", name="other")
    recipes = [backbone.recipe(), backbone.recipe("bf16"), other.recipe()]
    assert len({str(sorted(recipe.items())) for recipe in recipes}) == 3


def test_the_dimension_is_found_out(backbone: Backbone, net: TinyNet) -> None:
    assert backbone.embedding_dim == 8
    assert net.training, "asking for the dimension must not change the user's module"


@pytest.mark.parametrize(
    ("options", "message"),
    [({"module": print}, "no torch.nn.Module"), ({"modality": "smell"}, "modality 'smell'")],
)
def test_bad_modules(net: TinyNet, options: dict[str, Any], message: str) -> None:
    fields = {"module": net, "preprocess": PREPROCESS, "modality": "image", "name": "x", **options}
    with pytest.raises(InputError, match=message):
        Backbone(**fields)


PLUGIN = """
import tlengine as tl
from tlengine.errors import MissingPackageError
from tlengine.features import ImagePreprocess

def missing(device):
    raise MissingPackageError("it needs the package scent", hint="pip install ./plugins/tlengine-scent")

def broken(device):
    raise OSError("the weights are gone")

@tl.hookimpl
def tlengine_backbones():
    for name, load in (("missing", missing), ("broken", broken), ("number", lambda device: 7)):
        yield tl.BackboneSpec(name=name, modality="image", embedding_dim=2, load=load,
                              preprocess=ImagePreprocess(), default=name == "broken")
"""


def test_backbones_that_do_not_load(plant: Plant, use: Use) -> None:  # noqa: F811
    use(plant("tlengine-scent", PLUGIN))
    with pytest.raises(MissingPackageError, match=r"pip install \./plugins/tlengine-scent"):
        load_backbone("missing")
    with pytest.raises(BackboneError, match="'broken' cannot be loaded: OSError: the weights are gone"):
        load_backbone("broken")
    with pytest.raises(PluginError, match="load returned a int"):
        load_backbone("number")


def test_defaults(plant: Plant, use: Use) -> None:  # noqa: F811
    use(plant("tlengine-scent", PLUGIN))
    assert default_backbone("image") == "broken"
    with pytest.raises(BackboneError, match=r"pip install \./plugins/tlengine-minilm"):
        default_backbone("text")
    with pytest.raises(BackboneError, match="no backbone for features"):
        default_backbone("features")


def test_raw_takes_both_modalities() -> None:
    raw = load_backbone("raw")
    assert raw.takes("image")
    assert raw.takes("text")
    assert not raw.takes("features")
    text = RawPreprocess()("The cat, the CAT!")
    assert np.array_equal(text, RawPreprocess()("cat the the cat"))
    assert np.count_nonzero(text) == 2
