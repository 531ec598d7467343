"""Any registered head is trained on a backbone: rows or tokens, from a probe or not."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import tlengine as tl
from tlengine.errors import InputError, TlengineWarning
from tlengine.features import Backbone, ImagePreprocess
from tlengine.finetuning import FineTuning, build_head, head_from_probe, tokens_of
from tlengine.finetuning.network import Network

PREPROCESS = ImagePreprocess(resize=8, crop=8)


class Pooled(nn.Module):
    """(n, 3, 8, 8) to (n, 6), the mean of 16 tokens."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.patches = nn.Conv2d(3, 6, 2, 2)

    def forward(self, images):
        return self.patches(images).mean(dim=(2, 3))


@pytest.fixture
def backbone():
    return Backbone(Pooled(), preprocess=PREPROCESS, modality="image", name="pooled", tokens="patches")


def test_a_network_with_a_head_for_tokens_has_rows_and_logits_in_one_pass(backbone):
    coef, intercept = np.random.default_rng(0).normal(size=(3, 6)), np.arange(3.0)
    head = head_from_probe("attention-pool", coef, intercept)
    network = Network(backbone.module, head, partial(tokens_of, backbone))
    images = torch.randn(4, 3, 8, 8)
    features, logits = network.outputs(images)
    assert torch.equal(features, backbone.module(images))
    probe = features.detach().numpy() @ coef.T + intercept
    assert np.abs(logits.detach().numpy() - probe).max() < 1e-5
    assert torch.equal(network(images), logits)
    logits.sum().backward()
    assert all(one.grad is not None for one in network.parameters())
    assert set(network.state_dict()) == {
        "backbone.patches.weight", "backbone.patches.bias", "head.query", "head.output.weight",
        "head.output.bias",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["linear", "mlp", "cosine", "attention-pool"])
def test_every_head_learns_to_tell_two_kinds_of_pictures(backbone, name):
    torch.manual_seed(0)
    tokens = name == "attention-pool"
    head = build_head(name, (16, 6) if tokens else 6, 2)
    network = Network(backbone.module, head, partial(tokens_of, backbone) if tokens else None)
    y = torch.arange(40) % 2
    images = torch.randn(40, 3, 8, 8) * 0.3 + y[:, None, None, None]
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.02)
    for _ in range(60):
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(images), y).backward()
        optimiser.step()
    network.eval()
    assert (network(images).argmax(dim=1) == y).float().mean() > 0.95


def compared(tmp_path, backbone, strategy, head, start, **given):
    rng, y = np.random.default_rng(0), np.arange(60) % 2
    for i, code in enumerate(y):
        (tmp_path / f"k{code}").mkdir(exist_ok=True)
        pixels = rng.integers(0, 120, (8, 8, 3)) + 100 * code
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / f"k{code}" / f"{i}.png")
    settings = {strategy: {"head": head, "start": start, "steps": 5, **given}}
    return tl.compare(
        tl.load_dataset(tmp_path), backbone, strategies=[strategy], controls=[], budgets=[8], seeds=1,
        settings=settings, cache=None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("strategy", "head", "start"),
    [("finetune", "cosine", "means"), ("lp-ft", "attention-pool", "probe"), ("lp-ft", "linear", "probe")],
)
def test_a_strategy_takes_a_head_by_its_name_and_where_it_starts(tmp_path, backbone, strategy, head, start):
    run = compared(tmp_path, backbone, strategy, head, start)
    (accuracy,) = (one["value"] for one in run.document["results"] if one["metric"] == "accuracy")
    assert accuracy > 0.95, "it tells them apart from the start: five steps change little"


@pytest.mark.parametrize(
    ("tokens", "head", "start", "message"),
    [
        ("patches", "mlp", "probe", "'mlp' cannot start from a probe"),
        ("patches", "linear", "means", "'linear' cannot start from class means"),
        ("", "attention-pool", "random", "names no tokens"),
    ],
)
def test_a_head_that_cannot_be_had_is_said(tmp_path, backbone, tokens, head, start, message):
    backbone.tokens = tokens
    """Before anything is trained; here nothing else takes part."""
    left_out = pytest.warns(TlengineWarning, match="is left out")
    with left_out, pytest.raises(InputError, match=message):
        compared(tmp_path, backbone, "finetune", head, start)


def test_a_strategy_takes_settings_of_its_head_and_tells_them():
    from tests.finetuning.networks import Case
    from tlengine.cli.assigned import assignments

    words = ["head=mlp", 'head_settings={"hidden": 5, "dropout": 0.25}']
    given = {key: value for _, key, value in assignments(words, "rate=1e-4")}
    case, strategy = Case.of("cnn"), FineTuning("finetune", steps=1, augment="none", **given)
    strategy.check(case.view)
    fitted = strategy.fit(case.view, case.roles, seed=0)
    head = fitted.trained.network.head
    assert (head.hidden.out_features, head.dropout.p) == (5, 0.25)
    assert strategy.settings()["head_settings"] == {"hidden": 5, "dropout": 0.25}
    assert FineTuning("finetune").settings()["head_settings"] == {}


def test_settings_of_a_head_are_the_strategys_own():
    mine = {"hidden": 5}
    strategy = FineTuning("finetune", head="mlp", head_settings=mine)
    mine["hidden"] = 6
    assert strategy.settings()["head_settings"] == {"hidden": 5}


@pytest.mark.parametrize(
    ("head", "settings", "message", "hint"),
    [
        ("mlp", {"hiden": 5}, "'mlp' has no setting 'hiden'", "did you mean hidden"),
        ("linear", {"hidden": 5}, "'linear' has no setting 'hidden'", "its settings: dropout"),
        ("attention-pool", {"drop": 0.5}, "has no setting 'drop'", "did you mean dropout"),
        ("mlp", {"hidden": 0}, "hidden is 0", "1 or more"),
    ],
)
def test_settings_that_a_head_does_not_take_are_said(tmp_path, backbone, head, settings, message, hint):
    """Before anything is trained."""
    view = SimpleNamespace(backbone=lambda device: backbone, classes=2)
    with pytest.raises(InputError, match=message) as raised:
        FineTuning("finetune", head=head, head_settings=settings).check(view)
    assert hint in raised.value.hint
    left_out = pytest.warns(TlengineWarning, match="is left out")
    with left_out, pytest.raises(InputError, match=message):
        compared(tmp_path, backbone, "finetune", head, "random", head_settings=settings)


def test_tokens_are_the_same_in_training_and_afterwards():
    """A normalisation that is folded into a convolution would show in what a head reads there."""
    from tests.finetuning.networks import Case
    from tlengine.finetuning.fitting import Fit
    from tlengine.finetuning.session import Session
    from tlengine.finetuning.settings import TrainSettings

    case = Case.of("cnn", tokens="two.conv", drop=0.0)
    session = Session(
        Fit(view=case.view, roles=case.roles, seed=0), TrainSettings(head="attention-pool", augment="none")
    )
    network, inputs = session.network.eval(), session.inputs.batch(case.roles.test)
    expected = network(inputs)
    with session.frozen_statistics():
        folded = [name for name, one in network.backbone.named_modules() if "forward" in vars(one)]
        assert folded == ["norm", "one.norm"]
        assert torch.allclose(network(inputs), expected, atol=1e-5)
