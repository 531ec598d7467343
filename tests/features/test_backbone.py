"""Backbones of one's own: what they tell of themselves."""

from typing import Any

import numpy as np
import pytest
import torch

from tests.features.networks import PREPROCESS, TinyNet
from tlengine.errors import InputError
from tlengine.features import Backbone, load_backbone
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


def test_raw_takes_both_modalities() -> None:
    raw = load_backbone("raw")
    assert raw.takes("image")
    assert raw.takes("text")
    assert not raw.takes("features")
    text = RawPreprocess()("The cat, the CAT!")
    assert np.array_equal(text, RawPreprocess()("cat the the cat"))
    assert np.count_nonzero(text) == 2
