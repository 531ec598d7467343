"""Operations as counted by hand: a multiply-add is two, whatever torch's own counter makes of it."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils import flop_counter

from tlengine.errors import InputError
from tlengine.features import Backbone, ImagePreprocess
from tlengine.finetuning import flops
from tlengine.finetuning.flops import count_flops, row_flops

N, TOKENS, DIM, HIDDEN = 3, 5, 16, 32
BLOCK = 2 * N * (4 * TOKENS * DIM * DIM + 2 * TOKENS * TOKENS * DIM + 2 * TOKENS * DIM * HIDDEN)
"""Four projections, scores and the values they weigh, two layers."""
ATTENTION = 2 * N * 2 * TOKENS * TOKENS * DIM


class Block(nn.Module):
    """A block of a ViT by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(DIM), nn.LayerNorm(DIM)
        self.qkv, self.out = nn.Linear(DIM, 3 * DIM), nn.Linear(DIM, DIM)
        self.mlp = nn.Sequential(nn.Linear(DIM, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, DIM))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        qkv = self.qkv(self.first(x)).reshape(len(x), TOKENS, 3, 4, DIM // 4).permute(2, 0, 3, 1, 4)
        seen = nn.functional.scaled_dot_product_attention(*qkv).transpose(1, 2).reshape(x.shape)
        x = x + self.out(seen)
        return x + self.mlp(self.second(x))


@pytest.fixture
def without_attention_on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table of torch up to 2.13, which has no formula for it."""
    known = {op: f for op, f in flop_counter.flop_registry.items() if "for_cpu" not in str(op)}
    assert len(known) < len(flop_counter.flop_registry)
    monkeypatch.setattr(flop_counter, "flop_registry", known)


def tokens(**options: bool) -> torch.Tensor:
    return torch.rand(N, TOKENS, DIM, **options)


def test_a_linear_layer_forward_and_back() -> None:
    layer, rows = nn.Linear(8, 4), torch.rand(16, 8)
    once = 2 * 16 * 8 * 4
    assert count_flops(lambda: layer(rows)) == once
    assert count_flops(lambda: layer(rows).sum().backward()) == 2 * once, "no gradient of the rows"
    rows.requires_grad_()
    assert count_flops(lambda: layer(rows).sum().backward()) == 3 * once


@pytest.mark.parametrize("groups", [1, 4, 8])
def test_a_convolution_in_groups_costs_as_much_back_per_gradient_as_forward(groups: int) -> None:
    layer, images = nn.Conv2d(8, 16, 3, groups=groups, padding=1), torch.rand(2, 8, 6, 6, requires_grad=True)
    once = 2 * 2 * 6 * 6 * 16 * 9 * (8 // groups)
    assert count_flops(lambda: layer(images)) == once
    assert count_flops(lambda: layer(images).sum().backward()) == 3 * once
    images.requires_grad_(False)
    assert count_flops(lambda: layer(images).sum().backward()) == 2 * once


def test_a_transposed_convolution_with_stride() -> None:
    layer, images = (
        nn.ConvTranspose2d(8, 16, 3, groups=4, stride=2),
        torch.rand(2, 8, 6, 6, requires_grad=True),
    )
    once = 2 * 2 * 6 * 6 * 8 * 9 * 4
    assert count_flops(lambda: layer(images)) == once
    assert count_flops(lambda: layer(images).sum().backward()) == 3 * once


def test_a_block_of_a_vit_counts_its_attention_on_a_cpu() -> None:
    block, rows = Block(), tokens(requires_grad=True)
    assert count_flops(lambda: block(rows)) == BLOCK
    back = count_flops(lambda: block(rows).sum().backward())
    assert back == 3 * BLOCK + ATTENTION // 2, "the kernel works its scores out once more on the way back"


@pytest.mark.usefixtures("without_attention_on_cpu")
def test_a_torch_that_counts_no_attention_on_a_cpu_is_mended() -> None:
    block, rows = Block(), tokens(requires_grad=True)
    with flop_counter.FlopCounterMode(display=False) as own:
        block(rows)
    assert own.get_total_flops() == BLOCK - ATTENTION
    test_a_block_of_a_vit_counts_its_attention_on_a_cpu()


def test_the_fast_paths_of_attention_count_as_the_slow_ones() -> None:
    layer = nn.TransformerEncoderLayer(DIM, 4, HIDDEN, batch_first=True).eval()
    attention, rows = nn.MultiheadAttention(DIM, 4, batch_first=True).eval(), tokens()
    with torch.inference_mode():
        assert count_flops(lambda: layer(rows)) == BLOCK
        assert (
            count_flops(lambda: attention(rows, rows, rows, need_weights=False))
            == BLOCK - 4 * N * TOKENS * DIM * HIDDEN
        )
    assert count_flops(lambda: layer(rows)) == BLOCK, "with gradients it takes the slow path"


def test_frozen_weights_have_no_gradient_to_pay_for() -> None:
    """A low-rank pair beside a frozen layer: of that one the input's gradient alone."""
    frozen, down, up = nn.Linear(64, 64), nn.Linear(64, 2, bias=False), nn.Linear(2, 64, bias=False)
    frozen.requires_grad_(False)
    below, rows = nn.Linear(8, 64), torch.rand(10, 8)

    def step() -> None:
        x = below(rows)
        (frozen(x) + up(down(x))).sum().backward()

    first, large, small = 2 * 10 * 8 * 64, 2 * 10 * 64 * 64, 2 * 10 * 64 * 2
    assert count_flops(step) == 2 * first + 2 * large + 2 * 3 * small


def test_counting_changes_nothing_that_is_computed() -> None:
    torch.manual_seed(0)
    layer, rows = nn.TransformerEncoderLayer(DIM, 4, HIDDEN, batch_first=True).eval(), tokens()
    seen = []
    with torch.inference_mode():
        count_flops(lambda: seen.append(layer(rows)))
        assert torch.equal(seen[0], layer(rows))


def test_what_is_not_counted_is_unknown_and_an_error_is_raised() -> None:
    assert count_flops(lambda: torch.rand(3).exp()) is None

    def fails() -> None:
        raise InputError("no room")

    with pytest.raises(InputError, match="no room"):
        count_flops(fails)


class Words(nn.Module):
    """A text network of which a token costs so much."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.layer = nn.Embedding(10, 8), nn.Linear(8, 4)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.layer(self.embed(input_ids)).mean(1)


class Letters:
    """Ids by letter."""

    pad_id = 0

    def __call__(self, text: str) -> np.ndarray:
        return np.array([1 + ord(letter) % 8 for letter in text])


def test_a_row_of_texts_is_their_mean_and_of_images_what_their_size_takes() -> None:
    words = Backbone(Words(), preprocess=Letters(), modality="text", name="words", preprocess_name="letters")
    assert row_flops(words, ["ab", "abcd"]) == 2 * 8 * 4 * 3
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    images = Backbone(net, preprocess=ImagePreprocess(resize=8, crop=8), modality="image", name="net")
    picture = Image.new("RGB", (20, 12))
    assert row_flops(images, [picture]) == 2 * 8 * 8 * 4 * 9 * 3
    assert net.training, "the network is as it was"


def test_a_network_that_cannot_be_watched_has_no_figure() -> None:
    flat = Backbone(nn.Flatten(), preprocess=ImagePreprocess(resize=4, crop=4), modality="image", name="flat")
    assert row_flops(flat, [Image.new("RGB", (4, 4))]) is None, "nothing is multiplied"
    assert row_flops(flat, [b"no image"]) is None


def test_a_formula_that_torch_has_is_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "_scaled_dot_product_flash_attention_for_cpu"
    operation = getattr(torch.ops.aten, name)
    mended = flops._mended()
    assert (operation in mended) == (operation not in flop_counter.flop_registry)
    monkeypatch.setitem(flop_counter.flop_registry, operation, lambda *_, **__: 1)
    assert operation not in flops._mended()
