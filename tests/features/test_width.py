"""A wrong ``embedding_dim``: nothing is left behind, the message has the way out, the corrected run works."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import tlengine as tl
from tests.plugins.conftest import Plant, Use, plant, use  # noqa: F401 - fixtures
from tlengine.errors import BackboneError, InputError, PluginError
from tlengine.features import EmbeddingCache, ImagePreprocess

PREP = ImagePreprocess(resize=8, crop=8)
IMAGES = [np.full((8, 8, 3), i, np.uint8) for i in range(5)]


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten())


def mine(dim: Any) -> tl.Backbone:
    return tl.Backbone(network(), preprocess=PREP, modality="image", name="mine", embedding_dim=dim)


def test_a_wrong_width_and_its_correction(tmp_path: Path) -> None:
    ds = tl.load_dataset(IMAGES)
    with EmbeddingCache(tmp_path) as cache:
        for wrong in (64, 47, 1):
            message = rf"'mine' \(your module\) returned shape \(5, 48\), expected \(5, {wrong}\)"
            with pytest.raises(BackboneError, match=message) as caught:
                tl.extract(ds, mine(wrong), cache=cache, progress=False)
            assert caught.value.hint == "say embedding_dim=48"
            assert cache.tables() == []
        embedded = [
            tl.extract(ds, mine(dim), cache=cache, progress=False).stats.embedded  # type: ignore[union-attr]
            for dim in (48, None, 48, np.int64(48))
        ]
        assert embedded == [5, 0, 0, 0]
        with pytest.raises(BackboneError, match="returned shape"):
            tl.extract(ds, mine(64), cache=cache, progress=False)
        assert tl.extract(ds, mine(48), cache=cache, progress=False).X.shape == (5, 48)


PLUGIN = """
import tlengine as tl
from tlengine.features import ImagePreprocess

def load(device):
    import torch
    return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten()).eval()

@tl.hookimpl
def tlengine_backbones():
    yield tl.BackboneSpec(name="wide", modality="image", embedding_dim=DIM, load=load,
                          preprocess=ImagePreprocess(resize=8, crop=8))
"""


def test_a_plugin_that_is_corrected_works(plant: Plant, use: Use, tmp_path: Path) -> None:  # noqa: F811
    ds = tl.load_dataset(IMAGES)
    use(plant("tlengine-wide", PLUGIN.replace("DIM", "1000")))
    with pytest.raises(PluginError, match=r"'wide' \(.*tlengine-wide .*\) returned shape") as caught:
        tl.extract(ds, "wide", cache=tmp_path / "cache", progress=False)
    assert "say embedding_dim=48" in str(caught.value.hint)
    assert "plugins check wide" in str(caught.value.hint)
    use(plant("tlengine-wide-mended", PLUGIN.replace("DIM", "48")))
    feats = tl.extract(ds, "wide", cache=tmp_path / "cache", progress=False)
    assert feats.X.shape == (5, 48)


@pytest.mark.parametrize("fault", [lambda x: x * torch.nan, lambda x: (x,), lambda x: x[:, :3].long()])
def test_other_wrong_outputs_leave_nothing_behind(fault: Any, tmp_path: Path) -> None:
    class Faulty(nn.Module):
        def forward(self, images: torch.Tensor) -> Any:
            return fault(images.flatten(1))

    bb = tl.Backbone(Faulty(), preprocess=PREP, modality="image", name="faulty", embedding_dim=192)
    with EmbeddingCache(tmp_path) as cache:
        with pytest.raises(BackboneError, match="faulty"):
            tl.extract(tl.load_dataset(IMAGES), bb, cache=cache, progress=False)
        assert cache.tables() == []


@pytest.mark.parametrize("dim", [0, -3, 4.5, "48", True, np.nan])
def test_what_is_no_width_is_refused_at_once(dim: Any) -> None:
    with pytest.raises(InputError, match="embedding_dim is"):
        mine(dim)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": ""}, "name ''"),
        ({"name": None}, "name None"),
        ({"revision": 2}, "revision is 2"),
        ({"preprocess_name": 3}, "preprocess_name is 3"),
    ],
)
def test_other_words_are_checked(options: dict[str, Any], message: str) -> None:
    fields = {"preprocess": PREP, "modality": "image", "name": "mine", **options}
    with pytest.raises(InputError, match=message):
        tl.Backbone(network(), **fields)


class Split(nn.Module):
    """Images and texts in rows of their own width: what the preprocessing made, as it comes."""

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return rows.flatten(1)


class Either:
    """An image as 3 numbers, a text as 5 or as ``text_columns``."""

    def __init__(self, text_columns: int = 5) -> None:
        self.text_columns = text_columns

    def __call__(self, sample: Any) -> Any:
        return np.full(self.text_columns if isinstance(sample, str) else 3, len(str(sample)), np.float32)

    def describe(self) -> Any:
        return {"text_columns": self.text_columns}


DIMS = {"image": 3, "text": 5}


def either(dims: Any = DIMS, text_columns: int = 5) -> tl.Backbone:
    return tl.Backbone(
        Split(), preprocess=Either(text_columns), modality="any", name="either", embedding_dim=dims
    )


def test_a_width_for_images_and_one_for_texts(tmp_path: Path) -> None:
    bb = either()
    assert repr(bb) == "Backbone(name='either', modality='any', embedding_dim={'image': 3, 'text': 5})"
    with pytest.raises(InputError, match=r"embedding_dim is \{'image': 3, 'text': 5\}") as caught:
        _ = bb.embedding_dim
    assert "for_modality('text')" in str(caught.value.hint)
    texts, images = tl.load_dataset(["a", "bc", "d"]), tl.load_dataset(IMAGES)
    with EmbeddingCache(tmp_path) as cache:
        assert tl.extract(texts, bb, cache=cache, progress=False).X.shape == (3, 5)
        assert tl.extract(images, bb, cache=cache, progress=False).X.shape == (5, 3)
        assert {table.dim for table in cache.tables()} == {3, 5}
    assert bb.for_modality("text").module is bb.module
    assert not bb.for_modality("text").takes("image")
    assert bb.copy().for_modality("image").embedding_dim == 3
    with pytest.raises(InputError, match="takes any, not features"):
        bb.for_modality("features")
    same = either({"image": 5, "text": 5})
    assert same.for_modality("text") is same, "nothing to settle"
    assert same.embedding_dim == 5


def test_another_width_than_either() -> None:
    with pytest.raises(BackboneError, match=r"returned shape \(1, 4\), expected \(1, 5\)"):
        tl.extract(tl.load_dataset(["a"]), either(text_columns=4), cache=None, progress=False)


@pytest.mark.parametrize("dims", [{"image": 3}, {"image": 3, "text": 0}, {"image": 3, "text": True}, {}])
def test_widths_that_are_none(dims: Any) -> None:
    with pytest.raises(InputError, match="embedding_dim is"):
        either(dims)


@pytest.mark.parametrize(
    ("modality", "dims"),
    [("image", DIMS), ("any", {"image": 3}), ("any", {"image": 3, "text": 0}), ("any", 0)],
)
def test_widths_of_a_record(modality: Any, dims: Any) -> None:
    with pytest.raises(InputError, match=r"backbone 'x': embedding_dim is"):
        tl.BackboneSpec(
            name="x", modality=modality, embedding_dim=dims, load=lambda device: Split(), preprocess=str
        )
