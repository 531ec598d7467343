"""Augmentation stays within what it says, and mirrors only where nothing is lost by it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.finetuning.networks import roles_of, view_of
from tlengine.features import Backbone, ImagePreprocess, load_backbone
from tlengine.finetuning.augment import Augmentation
from tlengine.finetuning.fitting import Fit
from tlengine.finetuning.settings import TrainSettings

PREP = ImagePreprocess(resize=16, crop=16)


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 2**63 - 1))
def test_parts_lie_within_the_picture_and_within_the_limits(width: int, height: int, seed: int) -> None:
    left, top, right, bottom = Augmentation()._box(width, height, np.random.default_rng(seed))
    w, h = right - left, bottom - top
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    # rounding moves a side by half a pixel
    assert (w - 0.5) / (h + 0.5) <= 4 / 3 + 1e-9
    assert (h - 0.5) / (w + 0.5) <= 4 / 3 + 1e-9
    if max(width, height) <= 4 / 3 * min(width, height):
        assert (w + 0.5) * (h + 0.5) >= 0.7 * width * height


def test_parts_of_pictures_far_from_square_differ_and_are_not_squeezed() -> None:
    boxes = {Augmentation()._box(400, 30, np.random.default_rng(seed)) for seed in range(20)}
    assert len(boxes) > 10
    assert {(right - left, bottom - top) for left, top, right, bottom in boxes} == {(40, 30)}


def test_half_of_the_views_are_mirrored_and_none_without_flip() -> None:
    halves = np.zeros((16, 16, 3), np.uint8)
    halves[:, :8] = 255
    image = Image.fromarray(halves)
    for flip, low, high in ((True, 0.4, 0.6), (False, 0.0, 0.0)):
        augmentation = Augmentation(flip=flip)
        views = [augmentation.view(image, PREP, bytes([i % 7]) * 32, i) for i in range(400)]
        share = np.mean([view[:, -1].mean() > view[:, 0].mean() for view in views])
        assert low <= share <= high


def test_a_view_is_a_function_of_the_key_and_its_number() -> None:
    image, augmentation = picture(40, 30), Augmentation(flip=True)

    def seen(key: bytes, number: int) -> bytes:
        return augmentation.view(image, PREP, key * 32, number).tobytes()

    first = {(key, number): seen(key, number) for key in (b"a", b"b") for number in range(3)}
    np.random.seed(7)
    for key, number in reversed(first):
        assert seen(key, number) == first[key, number]
    assert len(set(first.values())) == 6
    assert augmentation.view(image, PREP, b"a" * 32, -1).tobytes() == PREP.pixels(image).tobytes()


@pytest.mark.parametrize("box", [(0, 0, 40, 30), (3, 4, 33, 30), (10, 0, 40, 25)])
def test_a_part_is_scaled_as_torchvision_scales_it(box: tuple[int, int, int, int]) -> None:
    functional = pytest.importorskip("torchvision.transforms.v2.functional")
    image = picture(40, 30).resize((40, 30), Image.Resampling.BOX)
    smooth = Image.fromarray(np.asarray(image.resize((10, 8))).copy()).resize(
        (40, 30), Image.Resampling.BICUBIC
    )
    left, top, right, bottom = box
    expected = functional.resized_crop(
        smooth, top, left, bottom - top, right - left, [16, 16],
        interpolation=functional.InterpolationMode.BICUBIC, antialias=True,
    )  # fmt: skip
    found = np.asarray(PREP.part(smooth, box)).astype(int)
    difference = np.abs(found - np.asarray(expected))
    assert difference[1:-1, 1:-1].max() <= 1
    assert difference.mean() < 1, "at the edge the filter may see what lies outside of the part"


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (2, 3)])
def test_tiny_pictures_have_views(size: tuple[int, int]) -> None:
    for number in range(5):
        assert Augmentation(flip=True).view(picture(*size), PREP, b"k" * 32, number).shape == (16, 16, 3)


@pytest.mark.parametrize(
    "preprocess", [ImagePreprocess(resize=(12, 20), crop=None), ImagePreprocess(crop=(8, 12))]
)
def test_shapes_are_those_of_rows_as_they_are(preprocess: ImagePreprocess) -> None:
    plain = Augmentation().view(picture(40, 30), preprocess, b"k" * 32, -1)
    assert Augmentation().view(picture(40, 30), preprocess, b"k" * 32, 4).shape == plain.shape


def sided(symmetric: bool) -> tuple[np.ndarray, list[Any]]:
    """A bright patch left or right of the middle, or above and below it: its side is the label."""
    rng = np.random.default_rng(0)
    codes, found = np.arange(40) % 2, []
    for code in codes:
        pixels = rng.integers(0, 90, (32, 32, 3))
        across, down = int(rng.integers(2, 8)) + (0 if symmetric else 14 * code), 12
        if symmetric:
            across, down = int(rng.integers(2, 22)), 2 + 20 * code
        pixels[down : down + 8, across : across + 8] += 150
        found.append(pixels.astype(np.uint8))
    return codes, found


@pytest.mark.parametrize("symmetric", [True, False])
def test_mirroring_is_refused_where_the_label_has_a_side(symmetric: bool) -> None:
    codes, contents = sided(symmetric)
    rows, fold = np.arange(32), np.arange(32) // 2 % 4
    inner = tuple((rows[fold != i], rows[fold == i]) for i in range(4))
    roles = replace(roles_of(32, 40, 0), inner=inner)
    bb = position_features()
    view = view_of(bb, roles, codes, contents)
    fit = Fit(view=view, roles=roles, seed=0)
    assert fit.flip is symmetric
    found = fit.train(TrainSettings(steps=1))
    assert found.facts["augmentation"]["flip"] is symmetric
    assert found.facts["augmentation"]["area"] == 0.7


def position_features() -> Backbone:
    """Pixels in a coarse grid, which know where things lie."""
    from torch import nn

    network = nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(48, 24))
    prep = ImagePreprocess(resize=32, crop=32)
    return Backbone(
        network.eval().requires_grad_(False), preprocess=prep, modality="image", name="grid", embedding_dim=24
    )


def test_without_rows_held_out_nothing_is_mirrored() -> None:
    codes, contents = sided(True)
    roles = roles_of(32, 40, 0)
    assert Fit(view=view_of(position_features(), roles, codes, contents), roles=roles, seed=0).flip is False


def test_the_control_of_random_convolutions_knows_sides() -> None:
    """A network that others bring, at its own size."""
    codes, contents = sided(False)
    rows, fold = np.arange(32), np.arange(32) // 2 % 4
    roles = replace(roles_of(32, 40, 0), inner=tuple((rows[fold != i], rows[fold == i]) for i in range(4)))
    bb = load_backbone("rcf").at_size(32)
    fit = Fit(view=view_of(bb, roles, codes, contents), roles=roles, seed=0)
    assert isinstance(fit.flip, bool)
