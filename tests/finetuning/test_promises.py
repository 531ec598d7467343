"""A preset trains what its name says, byte for byte, and leaves the rest alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.finetuning.networks import KINDS, Case, DropPath
from tlengine.features.blocks import block_of
from tlengine.finetuning import PRESETS
from tlengine.finetuning.fitting import Fit
from tlengine.finetuning.grouping import choose_parameters
from tlengine.finetuning.loop import Training
from tlengine.finetuning.network import is_batch_norm
from tlengine.finetuning.session import Session
from tlengine.finetuning.settings import TrainSettings
from tlengine.plugins.contracts import Rows

KIND = tuple(KINDS)
WHOLE = ("finetune", "lp-ft", "gradual", "l2-sp", "wise", "scratch")


def promised(preset: str, case: Case, block: int | None) -> set[str]:
    """By the parameters' own names and the layers that they belong to."""
    depth = block_of(case.backbone)
    names = [name for name, _ in case.backbone.module.named_parameters()]
    if preset in WHOLE:
        return set(names)
    if preset == "last-block":
        return {name for name in names if depth[name] == len(case.backbone.blocks) - 1}
    if preset == "surgical":
        return {name for name in names if depth[name] == block}
    assert preset == "bitfit"
    norms = {
        name
        for name, part in case.backbone.module.named_modules()
        if isinstance(part, nn.BatchNorm2d | nn.LayerNorm)
    }
    return {name for name in names if name.endswith("bias") or name.rpartition(".")[0] in norms}


def changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.parametrize("kind", KIND)
@pytest.mark.parametrize("preset", [name for name in PRESETS if name != "lora"])
def test_the_parameters_that_change_are_those_that_the_name_promises(preset: str, kind: str) -> None:
    case = Case.of(kind)
    if preset == "scratch":
        before = case.view.backbone("cpu", weights="random", seed=0).module
    else:
        before = case.view.backbone("cpu").module
    trained = case.train(preset, steps=6)
    names = {name for name, _ in before.named_parameters()}
    found = changed(before.state_dict(), trained.backbone.module.state_dict())
    expected = promised(preset, case, trained.facts.get("block_number"))
    if kind == "bert":  # adding one number to all keys changes no attention: their gradient is rounding
        keys = {name for name in expected if name.endswith("key.bias")}
        found, expected = found - keys, expected - keys
    assert found & names == expected
    statistics = {name for name, _ in before.named_buffers() if "running" in name}
    assert found & statistics == (statistics if preset == "scratch" else set())
    assert not any(one.requires_grad or one.grad is not None for one in trained.network.parameters())
    assert not trained.network.training


@pytest.mark.parametrize("kind", KIND)
def test_lora_changes_the_layers_that_the_backbone_names_and_no_other(kind: str) -> None:
    pytest.importorskip("peft")
    from tlengine.finetuning.adapters import merge_adapters

    case = Case.of(kind)
    before = case.view.backbone("cpu").module.state_dict()
    trained = case.train("lora", steps=6)
    module = trained.backbone.module
    plain = {
        name.replace(".base_layer", ""): one
        for name, one in module.state_dict().items()
        if "lora_" not in name
    }
    assert changed(before, plain) == set()
    inputs = trained.inputs.batch(case.roles.test)
    with torch.no_grad():
        expected = trained.network(inputs)
        merge_adapters(module)
        assert torch.allclose(trained.network(inputs), expected, atol=1e-5)
    assert list(module.state_dict()) == list(before), "the structure is the one it had"
    named = {f"{name}.weight" for name, part in module.named_modules() if name.endswith(KINDS[kind].lora)}
    assert changed(before, module.state_dict()) == named
    assert named


def session_of(case: Case, **settings: object) -> Session:
    given = TrainSettings(augment="none", steps=12, **settings)  # type: ignore[arg-type]
    return Session(Fit(view=case.view, roles=case.roles, seed=0), given)


@pytest.mark.parametrize(
    ("settings", "step", "trained"),
    [
        ({}, 0, {"one", "two"}),
        ({"train": "last-block"}, 0, {"two"}),
        ({"train": "norms"}, 0, {"one", "two"}),
        ({"schedule": "gradual"}, 0, set()),
        ({"schedule": "gradual"}, 2, {"two"}),
        ({"schedule": "gradual"}, 6, {"one", "two"}),
        ({"weights": "random"}, 0, {"one", "two"}),
    ],
)
def test_drop_connect_is_on_in_trained_blocks_and_off_in_frozen_ones(
    settings: dict[str, object], step: int, trained: set[str]
) -> None:
    session = session_of(Case.of("cnn"), **settings)
    session.modes(step)
    module = session.backbone.module
    modes = {n.partition(".")[0]: p.training for n, p in module.named_modules() if isinstance(p, DropPath)}
    assert {name for name, on in modes.items() if on} == trained
    norms = [part.training for part in module.modules() if is_batch_norm(part)]
    assert all(norms) if settings.get("weights") == "random" else not any(norms)


def test_blocks_behind_the_surgical_one_are_frozen_too() -> None:
    session = session_of(Case.of("cnn"), train="surgical", start="probe")
    for block in range(3):
        session.choice = choose_parameters(session.settings, session.backbone, surgical=block)
        session.modes(0)
        drops = [session.backbone.module.one.drop.training, session.backbone.module.two.drop.training]
        assert drops == [block == 1, block == 2]


@pytest.mark.parametrize("preset", ["finetune", "gradual", "last-block", "surgical", "bitfit"])
def test_batch_normalisation_is_in_evaluation_mode_at_every_step(
    preset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []
    whole = Training._accumulate

    def watched(self: Training, rows: Rows, views: Rows) -> float:
        seen.extend(part.training for part in self.network.modules() if is_batch_norm(part))
        return whole(self, rows, views)

    monkeypatch.setattr(Training, "_accumulate", watched)
    Case.of("cnn").train(preset, steps=8)
    assert len(seen) == 24
    assert not any(seen)


def test_dropout_differs_between_steps_and_depends_on_the_seed() -> None:
    losses = [Case.of("vit").train("finetune", seed=seed).outcome.losses for seed in (0, 0, 1)]
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]
