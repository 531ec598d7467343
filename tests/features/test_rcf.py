"""Random convolutional features against loops, and the same filters everywhere."""

import hashlib
import math
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import tlengine as tl
from tlengine.errors import InputError
from tlengine.features import RCF_DIM, RCF_PREPROCESS, EmbeddingCache
from tlengine.features.forward import Forward
from tlengine.features.rcf import load_rcf, random_filters
from tlengine.plugins import resolve_backbone
from tlengine.testing import check_backbone


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return load_rcf("cpu")


def _noise(*shape: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8))


def test_the_filters_are_the_same_bytes_everywhere() -> None:
    digest = hashlib.sha256()
    for weights, thresholds in random_filters():
        digest.update(weights.tobytes())
        digest.update(thresholds.tobytes())
    assert digest.hexdigest()[:16] == "ffe80a943665caa3", (
        "other filters need another revision of the backbone"
    )


def test_filters_have_the_moments_that_are_promised() -> None:
    for weights, thresholds in random_filters():
        side = weights.shape[-1]
        assert weights[1::2].std() * math.sqrt(3) * side == pytest.approx(1, abs=0.05)
        assert np.abs(weights[::2].mean(axis=(2, 3))).max() < 1e-4, "these see no brightness"
        assert np.abs(weights[1::2].mean(axis=(2, 3))).max() > 1e-2
        assert 0 <= thresholds.min() < 0.02
        assert 0.48 < thresholds.max() <= 0.5


def test_loading_draws_nothing(network: nn.Module) -> None:
    state = torch.get_rng_state()
    assert not any(parameter.isnan().any() for parameter in load_rcf("cpu").parameters())
    assert torch.equal(state, torch.get_rng_state())


def test_rows_are_those_of_a_loop(network: nn.Module) -> None:
    x = RCF_PREPROCESS(_noise(80, 100)).astype(np.float64)
    x[:, :, :30] += 1
    row = network(torch.from_numpy(x[None]).float())[0].numpy()
    normal = (x - x.mean()) / x.std()
    start = 0
    for weights, thresholds in random_filters():
        count, _, side, _ = weights.shape
        for k in (0, 1, count - 1):
            found = [
                float((weights[k] * normal[:, i : i + side, j : j + side]).sum())
                for i in range(64 - side + 1)
                for j in range(64 - side + 1)
            ]
            up = np.mean([max(r - thresholds[k], 0) for r in found])
            down = np.mean([max(-r - thresholds[k], 0) for r in found])
            assert row[start + k] == pytest.approx(up, abs=1e-5)
            assert row[start + count + k] == pytest.approx(down, abs=1e-5)
        start += 2 * count
    assert start == RCF_DIM


def test_exposure_and_contrast_do_not_matter_and_colour_does(network: nn.Module) -> None:
    x = torch.from_numpy(RCF_PREPROCESS(_noise(64, 64)))[None]
    rows = [network(x), network(0.3 * x + 0.2), network(x * torch.tensor([1.0, 0.5, 0.2]).view(1, 3, 1, 1))]
    assert torch.allclose(rows[0], rows[1], atol=1e-5)
    assert not torch.allclose(rows[0], rows[2], atol=1e-2)


STRANGE: dict[str, Any] = {
    "black": Image.new("RGB", (50, 40)),
    "one colour": Image.new("RGB", (50, 40), (10, 200, 30)),
    "one pixel": _noise(1, 1),
    "one column": _noise(1500, 1),
    "one row": _noise(1, 300),
    "almost black": Image.fromarray(np.eye(64, dtype=np.uint8)),
}


@pytest.mark.parametrize("name", STRANGE)
def test_every_image_gives_finite_numbers_of_moderate_size(name: str) -> None:
    bb = tl.load_backbone("rcf")
    with Forward(bb, "cpu", "float32") as forward:
        row = forward([np.asarray(RCF_PREPROCESS(STRANGE[name].convert("RGB")))])
    assert row.shape == (1, RCF_DIM)
    assert 0 <= row.min() <= row.max() < 10


def test_conformance() -> None:
    check_backbone(resolve_backbone("rcf"))


def test_images_alone_and_through_the_cache(cache: EmbeddingCache) -> None:
    ds = tl.load_dataset([_noise(30, 40), _noise(64, 64)])
    found, again = (tl.extract(ds, "rcf", cache=cache, progress=False) for _ in range(2))
    assert again.stats is not None
    assert again.stats.embedded == 0
    assert np.array_equal(found.X, again.X)
    with pytest.raises(InputError, match="backbone 'rcf' takes image"):
        tl.extract(tl.load_dataset(["a text", "another"]), "rcf", progress=False)
