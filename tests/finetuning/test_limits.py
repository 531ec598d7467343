"""At the ends of their range, settings come to what is known: frozen, plain fine-tuning, the start."""

from __future__ import annotations

import math
from contextlib import nullcontext
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.finetuning.networks import Case, assert_equal, weights_of
from tlengine.features.blocks import block_of
from tlengine.finetuning.fitting import Fit
from tlengine.finetuning.grouping import choose_parameters, groups_of
from tlengine.finetuning.session import Session
from tlengine.finetuning.settings import Recipe, TrainSettings, recipe_for

VAST = 1e30


def session_of(case: Case, **settings: object) -> Session:
    given = TrainSettings(augment="none", **settings)  # type: ignore[arg-type]
    return Session(Fit(view=case.view, roles=case.roles, seed=0), given)


@pytest.mark.parametrize("kind", ["cnn", "vit"])
def test_l2_sp_of_endless_strength_leaves_the_backbone_as_it_was(kind: str) -> None:
    case = Case.of(kind)
    trained = case.train("l2-sp", anchor_strength=VAST, head_strength=0.0)
    assert_equal(trained.backbone.module.state_dict(), case.view.backbone("cpu").module.state_dict())
    assert trained.outcome.losses[0] != trained.outcome.losses[-1]


def test_l2_sp_of_endless_strength_on_the_head_makes_it_zero() -> None:
    head = Case.of("cnn").train("l2-sp", head_strength=VAST).network.head
    assert all(not bool(one.any()) for one in head.parameters())


@pytest.mark.parametrize("kind", ["cnn", "vit"])
def test_l2_sp_without_strength_is_fine_tuning_bit_by_bit(kind: str) -> None:
    case = Case.of(kind)
    plain = case.train("finetune")
    assert_equal(weights_of(case.train("l2-sp", anchor_strength=0.0, head_strength=0.0)), weights_of(plain))
    pulled = case.train("l2-sp")
    assert distance(pulled, case) < distance(plain, case)


def distance(trained: object, case: Case) -> float:
    start = case.view.backbone("cpu").module.state_dict()
    now = trained.backbone.module.state_dict()  # type: ignore[attr-defined]
    return math.sqrt(sum(float((now[name].double() - start[name]).square().sum()) for name in start))


@pytest.mark.parametrize("kind", ["cnn", "vit"])
def test_wise_has_lp_ft_and_its_start_as_its_ends(kind: str) -> None:
    case = Case.of(kind)
    start, end = session_of(case, start="probe").network.state_dict(), weights_of(case.train("lp-ft"))
    assert_equal(weights_of(case.train("wise", mix=1.0)), end)
    assert_equal(weights_of(case.train("wise", mix=0.0)), start)
    middle = weights_of(case.train("wise", mix=0.25))
    for name, one in middle.items():
        if one.is_floating_point():
            assert torch.allclose(one, 0.75 * start[name] + 0.25 * end[name], atol=1e-6), name


def test_gradual_begins_with_the_head_and_unfreezes_from_the_output_down(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = Case.of("cnn")
    session = session_of(case, schedule="gradual", steps=12)
    depth, start = block_of(session.backbone), {n: p.clone() for n, p in session.network.named_parameters()}
    first: dict[object, int] = {}

    def told(step: int, loss: float) -> None:
        for name, one in session.network.named_parameters():
            where: object = "head" if name.startswith("head.") else depth[name.removeprefix("backbone.")]
            if not torch.equal(one, start[name]):
                first.setdefault(where, step)

    monkeypatch.setattr("tlengine.finetuning.session.step_bar", lambda steps, name: nullcontext(told))
    session.run()
    assert first == {"head": 1, 2: 3, 1: 5, 0: 7}, "half of the steps, block by block"


@pytest.mark.parametrize("kind", ["cnn", "vit", "bert"])
def test_the_surgical_block_is_the_one_of_the_largest_relative_gradient(kind: str) -> None:
    case = Case.of(kind)
    session = session_of(case, train="surgical", start="probe")
    network = session_of(case, start="probe").network.eval().requires_grad_(True)
    depth = block_of(session.backbone)
    logits = network(session.inputs.batch(case.roles.train))
    functional.cross_entropy(logits, torch.from_numpy(case.view.codes(case.roles.train))).backward()
    ratios: dict[int, list[float]] = {}
    for name, one in network.backbone.named_parameters():
        assert one.grad is not None
        if norm := float(one.detach().norm()):
            ratios.setdefault(depth[name], []).append(float(one.grad.norm()) / norm)
    means = {block: float(np.mean(found)) for block, found in ratios.items()}
    assert session.surgical == max(means, key=means.__getitem__)
    assert session.fit.train(session.settings).facts["block_number"] == session.surgical


def test_each_block_learns_at_its_own_rate_and_vectors_do_not_decay() -> None:
    session = session_of(Case.of("cnn"), layer_decay=0.5, weight_decay=0.1, rate=1.0)
    choice = choose_parameters(session.settings, session.backbone)
    groups = groups_of(session.network, choice, session.settings, session.recipe)
    names = {id(one): name for name, one in session.network.named_parameters()}
    depth = block_of(session.backbone)
    for group in groups[:-1]:
        for one in group.parameters:
            name = names[id(one)].removeprefix("backbone.")
            assert group.scale == 0.5 ** (3 - depth[name])
            assert group.weight_decay == (0.1 if one.ndim > 1 else 0.0)
    assert groups[-1].scale == 1.0
    assert sum(len(group.parameters) for group in groups) == len(names)


def test_the_rate_rises_over_the_warm_up_and_falls_by_a_cosine() -> None:
    recipe = Recipe(rate=1.0, weight_decay=0.0, layer_decay=1.0, batch=1, steps=100, warmup=0.1)
    factors = [recipe.factor(step) for step in range(100)]
    assert factors[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert factors[10] == 1.0
    assert factors[55] == pytest.approx(0.5)
    assert all(a > b > 0 for a, b in pairwise(factors[10:]))


@pytest.mark.parametrize(
    ("labels", "batch", "steps"),
    [(2, 2, 60), (60, 16, 60), (400, 16, 300), (401, 32, 150), (9_000, 32, 500)],
)
def test_steps_are_12_epochs_within_60_and_500(labels: int, batch: int, steps: int) -> None:
    recipe = recipe_for(TrainSettings(), "cnn", labels)
    assert (recipe.batch, recipe.steps) == (batch, steps)
    scratch = recipe_for(TrainSettings(weights="random", stretch=3.0), "cnn", labels)
    assert scratch.steps == 3 * steps
    cut = recipe_for(TrainSettings(fraction=0.5), "cnn", labels)
    assert (cut.steps, cut.cut) == (round(steps / 2), True)


def test_the_first_steps_of_adam_are_no_longer_than_the_rate_and_the_gradient_no_longer_than_the_clip(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    norms = []
    clip = torch.nn.utils.clip_grad_norm_

    def watched(parameters: list[torch.Tensor], largest: float) -> torch.Tensor:
        found = clip(parameters, largest)
        norms.append(math.sqrt(sum(float(one.grad.square().sum()) for one in parameters)))  # type: ignore[union-attr]
        return found

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", watched)
    case = Case.of("cnn", drop=0.0)
    trained = case.train(
        "finetune", clip=1e-3, steps=1, warmup=0.0, rate=1e-2, layer_decay=1.0, weight_decay=0.0
    )
    assert norms == pytest.approx([1e-3], rel=1e-3)
    start = case.view.backbone("cpu").module.state_dict()
    for name, one in trained.backbone.module.named_parameters():
        assert float((one - start[name]).abs().max()) <= 1e-2 * (1 + 1e-4), name
