"""A new version of a library changes the text of a network, not its numbers: the model goes on; or not."""

import csv
import io

import numpy as np
import pytest
from PIL import Image

from tests.plugins.conftest import plant, use  # noqa: F401 - fixtures

PLUGIN = """
import os
import tlengine as tl
from tlengine.features import ImagePreprocess

def load(device):
    import torch

    class Layer(torch.nn.Linear):
        def extra_repr(self):
            return "version " + os.environ["LAYER_VERSION"]

        def forward(self, rows):
            sign = -1 if os.environ["LAYER_VERSION"] == "3" else 1
            return sign * super().forward(rows)

    torch.manual_seed(int(os.environ["LAYER_VERSION"] == "4"))
    return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten(), Layer(12, 5)).eval()

@tl.hookimpl
def tlengine_backbones():
    yield tl.BackboneSpec(name="layered", modality="image", embedding_dim=5, load=load,
                          preprocess=ImagePreprocess(resize=8, crop=8))
"""


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    for index in range(40):
        folder = tmp_path / "photos" / ("dark", "bright")[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = (rng.integers(0, 100, (12, 12, 3)) + 120 * (index % 2)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:02}.png")
    return tmp_path / "photos"


@pytest.fixture
def model(tl, photos, plant, use, monkeypatch, tmp_path):  # noqa: F811
    use(plant("tlengine-layered", PLUGIN))
    monkeypatch.setenv("LAYER_VERSION", "1")
    options = ("--backbone", "layered", "--Cs", "5", "--quiet")
    assert tl("probe", photos, *options, "--out", tmp_path / "m")[0] == 0
    return tmp_path / "m"


def test_equal_embeddings_are_accepted(tl, model, photos, monkeypatch, tmp_path):
    before = tl("predict", model, photos, "--quiet")
    monkeypatch.setenv("LAYER_VERSION", "2")
    assert tl("predict", model, photos, "--quiet") == before
    assert len(list(csv.DictReader(io.StringIO(before[1])))) == 40
    npz = tmp_path / "new.npz"
    assert tl("extract", photos, "--backbone", "layered", "--out", npz, "--quiet")[0] == 0
    assert tl("predict", model, npz, "--quiet")[0] == 0


@pytest.mark.parametrize(
    ("version", "why"), [("3", "embeddings of 3 kept samples differ"), ("4", "what changed: weights")]
)
def test_other_embeddings_are_refused(version, why, tl, model, photos, monkeypatch, tmp_path):
    monkeypatch.setenv("LAYER_VERSION", version)
    code, out, err = tl("predict", model, photos, "--quiet")
    assert (code, out) == (1, "")
    assert why in err
    npz = tmp_path / "new.npz"
    assert tl("extract", photos, "--backbone", "layered", "--out", npz, "--quiet")[0] == 0
    assert tl("predict", model, npz, "--quiet")[0] == 1
