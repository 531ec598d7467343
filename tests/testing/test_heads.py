"""The conformance kit of heads: each broken promise is named, and nothing else."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from tlengine.plugins import HeadSpec
from tlengine.testing import HEAD_CHECKS, check_head, head_checks


class Row(nn.Module):
    """A linear layer whose output ``change`` changes."""

    def __init__(self, dim: int, classes: int, change: str) -> None:
        super().__init__()
        self.layer = nn.Linear(dim, classes)
        self.unused = nn.Parameter(torch.zeros(3)) if change == "unused" else None
        self.kept = torch.rand(classes) if change == "kept" else 0.0
        self.change = change

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.layer(rows) + self.kept
        if self.change == "batch":
            return out - out.mean(dim=0)
        return out.half() if self.change == "half" else out[:, :2] if self.change == "narrow" else out


class Pool(nn.Module):
    """The mean token through a linear layer, the mask left aside where ``masked`` is False."""

    def __init__(self, dim: int, classes: int, masked: bool) -> None:
        super().__init__()
        self.layer = nn.Linear(dim, classes)
        self.masked = masked

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        if mask is None or not self.masked:
            return self.layer(tokens.mean(dim=1))  # type: ignore[no-any-return]
        weights = mask.unsqueeze(2).float()
        return self.layer((tokens * weights).sum(1) / weights.sum(1))  # type: ignore[no-any-return]


def build(dim: Any, classes: int, *, change: str = "") -> nn.Module:
    return Row(dim, classes, change)


def build_pool(dim: Any, classes: int, *, masked: bool = True) -> nn.Module:
    return Pool(dim[1], classes, masked)


def start(coef: Any, intercept: Any) -> Any:
    return {"layer.weight": coef, "layer.bias": intercept}


def start_twice(coef: Any, intercept: Any) -> Any:
    return {"layer.weight": 2 * coef, "layer.bias": intercept}


def start_wide(means: Any) -> Any:
    return {"layer.weight": means.T}


GOOD = HeadSpec(name="row", build=build, from_probe=start)
TOKENS = HeadSpec(name="pool", build=build_pool, from_probe=start, input="tokens")


def _changed(change: str) -> HeadSpec:
    return replace(GOOD, build=partial(build, change=change))


BAD: dict[str, tuple[HeadSpec, str]] = {
    "spec_is_picklable": (replace(GOOD, build=lambda dim, classes: nn.Linear(dim, classes)), "pickle"),
    "import_is_light": (GOOD, "loads torch"),
    "logits": (_changed("narrow"), "logits of shape (6, 2), expected (6, 3)"),
    "independent_of_batch": (_changed("batch"), "alone, a row differs"),
    "all_parameters_learn": (_changed("unused"), "unused gets no gradient"),
    "masked_tokens_do_not_count": (
        replace(TOKENS, build=partial(build_pool, masked=False)),
        "change the logits",
    ),
    "from_probe": (replace(GOOD, from_probe=start_twice), "differ from the probe's"),
    "from_means": (replace(GOOD, from_means=start_wide), "layer.weight has shape (3, 8)"),
    "saved": (_changed("kept"), "other logits"),
}


@pytest.mark.parametrize("check", BAD)
def test_each_broken_promise_is_named(check: str) -> None:
    spec, message = BAD[check]
    assert message in str(dict(head_checks(spec))[check])
    with pytest.raises(AssertionError, match=f"fails .*\n(.*\n)*{check}: "):
        check_head(spec)


def test_every_check_is_tried() -> None:
    assert set(BAD) == {check.__name__.removeprefix("check_") for check in HEAD_CHECKS}


@pytest.mark.parametrize("spec", [GOOD, TOKENS], ids=lambda spec: spec.name)
def test_what_keeps_the_promises_passes(spec: HeadSpec) -> None:
    faults = {name: fault for name, fault in head_checks(spec) if fault}
    assert set(faults) == {"import_is_light"}, "this module imports torch"


def test_another_dtype_and_no_module_are_named() -> None:
    assert "logits are torch.float16" in str(dict(head_checks(_changed("half")))["logits"])
    none = HeadSpec(name="none", build=lambda dim, classes: None)  # type: ignore[arg-type, return-value]
    assert "build returned a NoneType" in str(dict(head_checks(none))["logits"])
