"""The conformance kit: it passes what keeps the promises, and names what does not."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tlengine.features import ImagePreprocess
from tlengine.plugins import BackboneSpec, resolve_backbone
from tlengine.testing import BACKBONE_CHECKS, backbone_checks, check_backbone


class Pool(torch.nn.Module):
    """(n, 3, 8, 8) to (n, 12)."""

    def __init__(self, change: Callable[["Pool", torch.Tensor], torch.Tensor] | None = None) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(1))
        self.change = change

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        pooled = torch.nn.functional.adaptive_avg_pool2d(images, 2).flatten(1) * self.scale
        return pooled if self.change is None else self.change(self, pooled)


def load(device: str) -> torch.nn.Module:
    return Pool().eval().to(device)


GOOD = BackboneSpec(
    name="pool", modality="image", embedding_dim=12, load=load, preprocess=ImagePreprocess(resize=8, crop=8)
)


def _random_load(device: str) -> torch.nn.Module:
    pool = Pool().eval()
    pool.scale = torch.rand(1)
    return pool


def _changed(change: Callable[[Pool, torch.Tensor], torch.Tensor]) -> BackboneSpec:
    return replace(GOOD, load=lambda device: Pool(change).eval())


def _drifts(pool: Pool, rows: torch.Tensor) -> torch.Tensor:
    pool.scale = pool.scale + 1
    return rows


class Bare:
    """A preprocessing that does not describe itself."""

    def __call__(self, image: Any) -> np.ndarray[Any, Any]:
        return ImagePreprocess(resize=8, crop=8)(image)


BAD: dict[str, BackboneSpec] = {
    "spec_is_picklable": replace(GOOD, load=lambda device: Pool().eval()),
    "preprocess_is_described": replace(GOOD, preprocess=Bare()),
    "evaluation_mode": replace(GOOD, load=lambda device: Pool().train()),
    "weights_stay": _changed(_drifts),
    "dimension_and_dtype": replace(GOOD, embedding_dim=13),
    "deterministic": _changed(lambda pool, rows: rows + torch.rand_like(rows)),
    "independent_of_batch": _changed(lambda pool, rows: rows - rows.mean(dim=0)),
    "tells_samples_apart": _changed(lambda pool, rows: torch.ones_like(rows)),
    "fingerprint": replace(GOOD, load=_random_load),
}


def test_what_keeps_the_promises_passes() -> None:
    check_backbone(GOOD)
    check_backbone(resolve_backbone("raw"))


@pytest.mark.parametrize("check", BAD)
def test_each_broken_promise_is_named(check: str) -> None:
    faults = {name: fault for name, fault in backbone_checks(BAD[check]) if fault}
    assert check in faults, f"not noticed; noticed: {faults}"
    with pytest.raises(AssertionError, match=f"'pool' fails .*\n(.*\n)*{check}: "):
        check_backbone(BAD[check])


def test_every_check_is_tried() -> None:
    assert set(BAD) == {check.__name__.removeprefix("check_") for check in BACKBONE_CHECKS}


def test_a_backbone_that_does_not_load_fails_its_checks() -> None:
    def refuse(device: str) -> torch.nn.Module:
        raise OSError("the weights are gone")

    faults = [fault for _, fault in backbone_checks(replace(GOOD, load=refuse)) if fault]
    assert "OSError: the weights are gone" in faults
