"""Tokens are what the named submodule returned, with the mask of the texts; what is none is said."""

import pytest
import torch
from torch import nn

import tlengine as tl
from tlengine.errors import BackboneError
from tlengine.features import Backbone, ImagePreprocess
from tlengine.features.forward import batch_of
from tlengine.finetuning import build_head, tokens_of

PREPROCESS = ImagePreprocess(resize=8, crop=8)


class Words(nn.Module):
    """(n, tokens) ids to (n, 5), the mean over the mask."""

    def __init__(self, tokens_as=lambda out: out):
        super().__init__()
        self.table = nn.Embedding(20, 5)
        self.layer = nn.Identity()
        self.tokens_as = tokens_as
        self.layer.register_forward_hook(lambda module, inputs, out: tokens_as(out))

    def forward(self, input_ids, attention_mask):
        tokens = self.table(input_ids)
        self.layer(tokens)
        mask = attention_mask.unsqueeze(2)
        return (tokens * mask).sum(1) / mask.sum(1)


def words(**options):
    return Backbone(
        Words(**options), preprocess=len, preprocess_name="ids", modality="text", name="words",
        embedding_dim=5, tokens="layer",
    )  # fmt: skip


IDS = {
    "input_ids": torch.tensor([[1, 2, 3, 0], [4, 5, 0, 0]]),
    "attention_mask": torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]]),
}


@pytest.mark.parametrize("tokens_as", [lambda out: out, lambda out: (out, None), lambda out: [out]])
def test_texts_have_tokens_and_their_mask(tokens_as):
    bb = words(tokens_as=tokens_as)
    values, mask = tokens_of(bb, IDS)
    assert torch.equal(values, bb.module.table(IDS["input_ids"]))
    assert torch.equal(mask, IDS["attention_mask"] == 1)
    head = build_head("attention-pool", (None, 5), 2)
    loss = head(values, mask).sum()
    loss.backward()
    assert not bb.module.table.weight.grad[0].any(), "the padded token learns nothing"
    assert bb.module.table.weight.grad[1:6].any(dim=1).all(), "gradients reach the network"


def mapped(**options):
    net = nn.Sequential(nn.Conv2d(3, 6, 2, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4))
    return Backbone(net, preprocess=PREPROCESS, modality="image", name="mapped", **options)


def test_a_feature_map_becomes_tokens_row_by_row():
    bb = mapped(tokens="0")
    images = torch.randn(2, 3, 8, 8)
    values, mask = tokens_of(bb, images)
    there = bb.module[0](images)
    assert mask is None
    assert values.shape == (2, 16, 6)
    assert torch.equal(values[1, 1 * 4 + 3], there[1, :, 1, 3])


def test_the_last_call_counts_and_no_hook_stays():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.act = nn.ReLU()

        def forward(self, images):
            return self.act(-self.act(images + 1)).mean(dim=(2, 3))

    bb = Backbone(Twice(), preprocess=PREPROCESS, modality="image", name="twice", tokens="act")
    images = torch.full((1, 3, 8, 8), -3.0)
    assert not tokens_of(bb, images).values.any()
    assert not bb.module.act._forward_hooks
    with pytest.raises(RuntimeError):
        tokens_of(mapped(tokens="0"), torch.zeros(1, 5, 8, 8))


def test_a_part_of_the_network_may_run_in_its_place():
    bb = mapped(tokens="0")
    halves = torch.ones(2, 3, 8, 8)
    values, _ = tokens_of(bb, halves, run=lambda inputs: bb.module[0](inputs))
    assert torch.equal(values, tokens_of(bb, halves).values)


@pytest.mark.parametrize(
    ("backbone", "inputs", "message"),
    [
        (lambda: mapped(), torch.zeros(2, 3, 8, 8), "names no tokens"),
        (lambda: mapped(tokens="9"), torch.zeros(2, 3, 8, 8), "has no submodule '9'"),
        (lambda: mapped(tokens="2"), torch.zeros(2, 3, 8, 8), r"has \(2, 6\) at '2'"),
        (lambda: words(tokens_as=lambda out: {"a": out}), IDS, "has dict at 'layer'"),
        (lambda: words(tokens_as=lambda out: out[:, 1:]), IDS, r"\(2, 3, 5\) at 'layer' for a mask \(2, 4\)"),
        (lambda: words(tokens_as=lambda out: out[:1]), IDS, r"\(1, 4, 5\) at 'layer' for a mask"),
    ],
)
def test_what_has_no_tokens_says_so(backbone, inputs, message):
    with pytest.raises(BackboneError, match=message) as caught:
        tokens_of(backbone(), inputs)
    assert caught.value.hint


def test_a_submodule_that_is_not_called_says_so():
    bb = Backbone(nn.MultiheadAttention(8, 2), preprocess=PREPROCESS, modality="image", name="mha",
                  embedding_dim=8, tokens="out_proj")  # fmt: skip
    x = torch.zeros(3, 2, 8)
    with pytest.raises(BackboneError, match="does not call 'out_proj'"):
        tokens_of(bb, x, run=lambda inputs: bb.module(inputs, inputs, inputs))


def test_the_shipped_network_s_tokens_have_its_features_as_their_mean():
    pytest.importorskip("efficientnet_lite_pytorch")
    bb = tl.load_backbone("efficientnet-lite0")
    images = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        values, _ = tokens_of(bb, images)
        rows = bb.module(images)
    assert values.shape == (1, 9, 1280)
    assert (values.mean(dim=1) - rows).abs().max() < 1e-5


def test_the_shipped_encoder_s_tokens_have_its_features_as_their_mean_direction():
    pytest.importorskip("tlengine_minilm")
    bb = tl.load_backbone("minilm")
    ids = [bb.preprocess(text) for text in ("a film", "wheat prices rise again")]
    inputs = batch_of(bb, ids, torch.device("cpu"))
    with torch.no_grad():
        values, mask = tokens_of(bb, inputs)
        rows = bb.module(**inputs)
    weights = mask.unsqueeze(2).float()
    mean = nn.functional.normalize((values * weights).sum(1), dim=1)
    assert (mean - rows).abs().max() < 1e-5
