"""The conformance kit: it passes what keeps the promises, and names what does not."""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
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


class Deep(torch.nn.Module):
    """(n, 3, 8, 8) to (n, 12) by two layers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = torch.nn.Conv2d(3, 3, 2, 2)
        self.pool = torch.nn.AdaptiveAvgPool2d(2)
        self.last = torch.nn.Linear(12, 12)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.last(self.pool(self.first(images)).flatten(1))
        return out


def _deep_load(device: str) -> torch.nn.Module:
    return Deep().eval().to(device)


def _deep(**parts: Any) -> BackboneSpec:
    return replace(GOOD, load=_deep_load, **parts)


def _ones(module: torch.nn.Module, seed: int) -> None:
    for parameter in module.parameters():
        parameter.fill_(1.0)


def _draws(module: torch.nn.Module, seed: int) -> None:
    for parameter in module.parameters():
        parameter.normal_()


def _stacks(samples: Sequence[Any]) -> torch.Tensor:
    return torch.from_numpy(np.stack(samples))


class Jitter:
    """A collate that describes itself and is random."""

    def __call__(self, samples: Sequence[Any]) -> torch.Tensor:
        return _stacks(samples) + np.random.default_rng().random()

    def describe(self) -> str:
        return "jitter"


def _in_place(samples: Sequence[Any]) -> torch.Tensor:
    for sample in samples:
        sample *= 0.5
    return _stacks(samples)


class Bare:
    """A preprocessing that does not describe itself."""

    def __call__(self, image: Any) -> np.ndarray[Any, Any]:
        return ImagePreprocess(resize=8, crop=8)(image)


class Noise(Bare):
    """A preprocessing that describes itself and is random."""

    def __call__(self, image: Any) -> np.ndarray[Any, Any]:
        return super().__call__(image) + np.random.default_rng().random(dtype=np.float32)

    def describe(self) -> str:
        return "noise"


BAD: dict[str, BackboneSpec] = {
    "spec_is_picklable": replace(GOOD, load=lambda device: Pool().eval()),
    "preprocess_is_described": replace(GOOD, preprocess=Bare()),
    "evaluation_mode": replace(GOOD, load=lambda device: Pool().train()),
    "weights_stay": _changed(_drifts),
    "dimension_and_dtype": replace(GOOD, embedding_dim=13),
    "preprocess_is_deterministic": replace(GOOD, preprocess=Noise()),
    "import_is_light": GOOD,
    "deterministic": _changed(lambda pool, rows: rows + torch.rand_like(rows)),
    "independent_of_batch": _changed(lambda pool, rows: rows - rows.mean(dim=0)),
    "tells_samples_apart": _changed(lambda pool, rows: torch.ones_like(rows)),
    "fingerprint": replace(GOOD, load=_random_load),
    "blocks": _deep(blocks=[["last"], ["first"]]),
    "tokens": _deep(tokens="last"),
    "lora_targets": _deep(lora_targets=["pool"]),
    "initialise": _deep(initialise=_ones),
    "collate": _deep(collate=Jitter()),
}


def test_what_keeps_the_promises_passes(light: BackboneSpec) -> None:
    check_backbone(light)
    check_backbone(resolve_backbone("raw"))


class ImagesAlone(Bare):
    """Said to take texts as well."""

    def describe(self) -> str:
        return "images alone"


def test_a_backbone_for_any_modality_is_checked_on_texts_too() -> None:
    claimed = replace(GOOD, modality="any", preprocess=ImagesAlone())
    faults = {name: fault for name, fault in backbone_checks(claimed) if fault}
    assert "cannot preprocess a sample" in faults["dimension_and_dtype"]


@pytest.mark.parametrize("check", BAD)
def test_each_broken_promise_is_named(check: str) -> None:
    faults = {name: fault for name, fault in backbone_checks(BAD[check]) if fault}
    assert check in faults, f"not noticed; noticed: {faults}"
    with pytest.raises(AssertionError, match=f"'pool' fails .*\n(.*\n)*{check}: "):
        check_backbone(BAD[check])


LIGHT = """
def load(device):
    import torch

    return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten()).eval().to(device)
"""


@pytest.fixture
def light(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BackboneSpec:
    """A backbone whose module imports torch when it is needed."""
    (tmp_path / "light_plugin.py").write_text(LIGHT)
    monkeypatch.syspath_prepend(str(tmp_path))
    return replace(GOOD, load=importlib.import_module("light_plugin").load)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16, torch.int64])
def test_another_dtype_is_named(dtype: torch.dtype) -> None:
    """An extraction casts it; the check is about what the network returns."""
    faults = dict(backbone_checks(_changed(lambda pool, rows: rows.to(dtype))))
    assert str(dtype).removeprefix("torch.") in str(faults["dimension_and_dtype"])


def test_one_cause_is_told_once_with_its_place_and_way_out() -> None:
    faults = [fault for _, fault in backbone_checks(replace(GOOD, embedding_dim=13)) if fault]
    assert [fault for fault in faults if "returned shape" in fault] == [faults[-1]]
    assert "your module" not in faults[-1]
    assert "say embedding_dim=12" in faults[-1]


def test_a_preprocess_that_fails_is_told_once_as_its_own() -> None:
    faults = [fault for _, fault in backbone_checks(replace(GOOD, preprocess=_fails)) if fault]
    assert len(faults) == 1
    assert "cannot preprocess a sample: ZeroDivisionError" in faults[0]


def _fails(image: Any) -> Any:
    return 1 / 0


def test_a_load_that_returns_nothing_is_told_once() -> None:
    def nothing(device: str) -> Any:
        return None

    faults = [fault for name, fault in backbone_checks(replace(GOOD, load=nothing)) if fault]
    assert "returned a NoneType, not a torch.nn.Module" in faults[-1]
    assert sum("NoneType" in fault for fault in faults) == 1


def test_a_preprocess_that_reads_a_file_in_secret_is_named() -> None:
    faults = dict(backbone_checks(replace(GOOD, preprocess=_reads)))
    assert "_reads calls open" in str(faults["preprocess_is_described"])


def _reads(image: Any) -> Any:
    with open("size.txt") as file:
        return image.resize((int(file.read()),) * 2)


PARTS: dict[str, Any] = {
    "blocks": [["first"], ["last"]],
    "tokens": "first",
    "lora_targets": ["last"],
    "initialise": _draws,
    "collate": _stacks,
}


def test_parts_that_are_as_they_are_said_to_be_pass() -> None:
    faults = {name: fault for name, fault in backbone_checks(_deep(**PARTS)) if fault}
    assert not faults.keys() & PARTS.keys(), faults


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"blocks": [["last"], ["first"]]}, "last of block 0 is called after first of block 1"),
        ({"blocks": [["first"]]}, "has last.weight in no block"),
        ({"tokens": "body"}, "has no submodule 'body'"),
        ({"tokens": "last"}, "has (4, 12) at 'last'"),
        ({"lora_targets": ["query"]}, "no submodule for the lora target 'query'"),
        ({"initialise": _ones}, "two seeds give the same network"),
        ({"initialise": lambda module, seed: None}, "initialise fills no parameter"),
        ({"collate": Jitter()}, "the batch is another one the second time"),
        ({"collate": _in_place}, "collate changes the samples in place"),
    ],
)
def test_each_part_that_is_not_as_said_is_named(parts: dict[str, Any], message: str) -> None:
    (word,) = parts
    assert message in str(dict(backbone_checks(_deep(**parts)))[word])


def test_a_collate_that_cannot_be_described_ends_the_checks() -> None:
    faults = [fault for _, fault in backbone_checks(_deep(collate=lambda samples: _stacks(samples))) if fault]
    assert "collate" in faults[-1]
    assert len(faults) == 2, "it cannot be pickled, either"


def test_every_check_is_tried() -> None:
    assert set(BAD) == {check.__name__.removeprefix("check_") for check in BACKBONE_CHECKS}


def test_a_backbone_that_does_not_load_fails_its_checks() -> None:
    def refuse(device: str) -> torch.nn.Module:
        raise OSError("the weights are gone")

    faults = [fault for _, fault in backbone_checks(replace(GOOD, load=refuse)) if fault]
    assert "OSError: the weights are gone" in faults
