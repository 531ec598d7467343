"""A network cut in two is the network: its numbers, its gradients; or the cut is refused, and says why."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from tests.finetuning.cut_networks import (
    CNN,
    CNN_BLOCKS,
    VIT_BLOCKS,
    Encoder,
    ViT,
    randomised,
    text_batch,
)
from tlengine.errors import CutRefused, InputError, InternalError
from tlengine.finetuning.cut import Cut

ENCODER_BLOCKS = (("embed", "place"), ("layers.0",), ("layers.1",), ("layers.2",))
IMAGES = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))

Made = tuple[nn.Module, tuple[tuple[str, ...], ...], Any, list[int] | None]


def cnn() -> Made:
    return CNN(), CNN_BLOCKS, IMAGES, None


def vit() -> Made:
    return ViT(), VIT_BLOCKS, IMAGES, None


def resnet() -> Made:
    import torchvision

    network = torchvision.models.resnet18(weights=None)
    network.fc = nn.Identity()
    blocks = (("conv1", "bn1"), *((f"layer{i}",) for i in range(1, 5)))
    return network, blocks, torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(2)), None


def encoder() -> Made:
    lengths = [9, 3, 6]
    return Encoder(), ENCODER_BLOCKS, text_batch(lengths), lengths


MAKERS = [cnn, vit, resnet, encoder]


def called(network: nn.Module, inputs: Any) -> Any:
    return network(**inputs) if isinstance(inputs, Mapping) else network(inputs)


def trainable(network: nn.Module, blocks: Any, first: int) -> list[nn.Parameter]:
    network.requires_grad_(False)
    found: list[nn.Parameter] = []
    for name in [name for block in blocks[first:] for name in block]:
        found += network.get_submodule(name).requires_grad_(True).parameters()
    return found


@pytest.mark.parametrize("make", MAKERS)
def test_parts_are_the_whole_in_front_of_every_block(make: Callable[[], Made]) -> None:
    network, blocks, inputs, lengths = make()
    randomised(network)
    for first in range(1, len(blocks)):
        cut = Cut(network, blocks, first)
        cut.check(inputs)
        parameters = trainable(network, blocks, first)
        whole = called(network, inputs)
        told = torch.autograd.grad(whole.square().sum(), parameters, allow_unused=True)
        parts = cut.suffix(cut.prefix(inputs), None if lengths is None else torch.tensor(lengths))
        ours = torch.autograd.grad(parts.square().sum(), parameters, allow_unused=True)
        torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-6)
        assert any(one is not None for one in told)
        for one, other in zip(ours, told, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_batches_of_other_sizes_than_the_checked_one() -> None:
    network = randomised(Encoder())
    cut = Cut(network, ENCODER_BLOCKS, 2)
    cut.check(text_batch([5, 4]))
    for lengths in ([12], [1, 1], [7, 20, 3, 5]):
        inputs = text_batch(lengths)
        parts = cut.suffix(cut.prefix(inputs), torch.tensor(lengths))
        torch.testing.assert_close(parts, network(**inputs), rtol=1e-5, atol=1e-6)


def test_a_batch_of_one_row_with_one_token_can_be_checked() -> None:
    cut = Cut(randomised(Encoder()), ENCODER_BLOCKS, 3)
    cut.check(text_batch([1]))
    assert cut.tokens
    assert cut.shape == (16,)


def test_nothing_before_the_cut_is_computed() -> None:
    network = CNN()
    cut = Cut(randomised(network), CNN_BLOCKS, 3)
    cut.check(IMAGES)
    hidden = cut.prefix(IMAGES)
    before = [block.calls for block in network.blocks]
    cut.suffix(hidden)
    assert [block.calls - b for block, b in zip(network.blocks, before, strict=True)] == [0, 0, 1]


def test_stand_ins_take_no_memory() -> None:
    cut = Cut(randomised(CNN()), CNN_BLOCKS, 2)
    cut.check(IMAGES)
    plan = cut._known()
    outputs = [stub.output(1000, 0) for stub in plan.stubs]
    assert [tuple(one.shape) for one in outputs] == [(1000, 8, 8, 8)] * 4
    assert sum(one.untyped_storage().nbytes() for one in outputs) == 16


def test_prefix_is_in_evaluation_mode_and_modes_are_put_back() -> None:
    network = randomised(CNN()).train()
    network.blocks[2].eval()  # type: ignore[index, union-attr, operator]
    modes = [part.training for part in network.modules()]
    cut = Cut(network, CNN_BLOCKS, 3)
    cut.check(IMAGES)
    statistics = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert torch.equal(cut.prefix(IMAGES), cut.prefix(IMAGES))  # no dropout
    assert not cut.prefix(IMAGES).requires_grad
    assert [part.training for part in network.modules()] == modes
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, statistics[name])


def test_suffix_keeps_its_own_mode() -> None:
    network = randomised(CNN()).train()
    cut = Cut(network, CNN_BLOCKS, 3)
    cut.check(IMAGES)
    hidden = cut.prefix(IMAGES)
    assert not torch.equal(cut.suffix(hidden), cut.suffix(hidden))  # dropout


@pytest.mark.parametrize("make", [cnn, encoder])
def test_all_is_put_back_also_after_errors(make: Callable[[], Made]) -> None:
    network, blocks, inputs, lengths = make()
    cut = Cut(randomised(network), blocks, 2)
    cut.check(inputs)
    told = called(network, inputs)
    required = [parameter.requires_grad for parameter in network.parameters()]
    hidden = cut.prefix(inputs)
    with pytest.raises(RuntimeError):
        cut.suffix(
            hidden[:, :3] if lengths is None else hidden[..., :3],
            None if lengths is None else torch.tensor(lengths),
        )
    with pytest.raises(KeyboardInterrupt), cut.entered(hidden, torch.tensor(lengths or [1])):
        raise KeyboardInterrupt
    for part in network.modules():
        assert "forward" not in vars(part)
        assert not part._forward_pre_hooks
        assert not part._forward_hooks
    assert torch.equal(called(network, inputs), told)
    assert [parameter.requires_grad for parameter in network.parameters()] == required


def test_a_forward_of_the_users_own_is_put_back() -> None:
    network = randomised(CNN())
    own = network.stem.forward
    network.stem.forward = lambda x: own(x) + 1  # type: ignore[method-assign, operator, union-attr]
    mine = network.stem.forward
    cut = Cut(network, CNN_BLOCKS, 1)
    cut.check(IMAGES)
    cut.suffix(cut.prefix(IMAGES))
    assert network.stem.forward is mine


def test_a_network_around_it_begins_at_the_cut() -> None:
    network, head = randomised(CNN()), nn.Linear(8, 2)
    around = nn.Sequential(network, head)
    cut = Cut(network, CNN_BLOCKS, 3)
    cut.check(IMAGES)
    with cut.entered(cut.prefix(IMAGES)) as inputs:
        logits = around(inputs)
    torch.testing.assert_close(logits, around(IMAGES), rtol=1e-5, atol=1e-6)
    with pytest.raises(InternalError), cut.entered(cut.prefix(IMAGES)):
        pass


class Changed(CNN):
    """A CNN with another course; see the tests."""

    def __init__(self, course: Callable[[Any, torch.Tensor], Any]) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(8, 1, 1))
        self.course = course

    def forward(self, images: torch.Tensor) -> Any:
        return self.course(self, images)


def start(net: Any, images: torch.Tensor) -> torch.Tensor:
    return net.act(net.norm(net.stem(images)))  # type: ignore[no-any-return]


def twice(net: Any, images: torch.Tensor) -> Any:
    x = net.blocks[0](start(net, images))
    return net.last(net.blocks[2](net.blocks[1](net.blocks[1](x)))).mean((2, 3))


def out_of_order(net: Any, images: torch.Tensor) -> Any:
    x = net.blocks[1](net.blocks[2](net.blocks[0](start(net, images))))
    return net.last(x).mean((2, 3))


def earlier_behind(net: Any, images: torch.Tensor) -> Any:
    x = net.blocks[1](start(net, images))
    return net.last(net.blocks[2](net.blocks[0](x))).mean((2, 3))


def skip_over(net: Any, images: torch.Tensor) -> Any:
    x = net.blocks[0](start(net, images))
    return net.last(net.blocks[2](net.blocks[1](x) + 0.01 * x)).mean((2, 3))


def sees_images_again(net: Any, images: torch.Tensor) -> Any:
    x = net.blocks[2](net.blocks[1](net.blocks[0](start(net, images))))
    return net.last(x).mean((2, 3)) * images.mean()


def early_parameter(net: Any, images: torch.Tensor) -> Any:
    x = net.blocks[0](start(net, images)) * net.scale
    return net.last(net.blocks[2](net.blocks[1](x))).mean((2, 3))


def never(net: Any, images: torch.Tensor) -> Any:
    return net.last(net.blocks[2](net.blocks[0](start(net, images)))).mean((2, 3))


def a_mapping(net: Any, images: torch.Tensor) -> Any:
    return {"features": CNN.forward(net, images)}


def looks_at_numbers(net: Any, images: torch.Tensor) -> Any:
    if bool(images.isnan().any()):
        raise ValueError("pixels are missing")
    return CNN.forward(net, images)


def by_batch(net: Any, images: torch.Tensor) -> Any:
    x = net.blocks[0](start(net, images)) if len(images) > 1 else start(net, images)
    return net.last(net.blocks[2](net.blocks[1](x))).mean((2, 3))


def halves_of_rows(net: Any, images: torch.Tensor) -> Any:
    halves = net.blocks[0](start(net, images)).reshape(-1, 8, 4, 8)
    return net.last(net.blocks[2](net.blocks[1](halves).reshape(-1, 8, 8, 8))).mean((2, 3))


@pytest.mark.parametrize(
    ("course", "why"),
    [
        (twice, "called 2 times"),
        (out_of_order, "block 3 is called before it"),
        (earlier_behind, "block 1 is called after it"),
        (skip_over, "used behind it"),
        (sees_images_again, "used behind it"),
        (early_parameter, "act before its input"),
        (never, "none of its submodules is called"),
        (a_mapping, "returns a dict"),
        (looks_at_numbers, "ValueError: pixels are missing"),
        (by_batch, "depends on the batch"),
        (halves_of_rows, "first axis of its input is not the batch"),
    ],
)
def test_what_cannot_be_cut_is_refused_with_the_reason(course: Any, why: str) -> None:
    blocks = (*CNN_BLOCKS[:2], ("blocks.1", "scale"), CNN_BLOCKS[3])
    network = randomised(Changed(course))
    required = [parameter.requires_grad for parameter in network.parameters()]
    cut = Cut(network, blocks, 2)
    with pytest.raises(CutRefused, match=f"block 2 of the network: .*{why}"):
        cut.check(IMAGES)
    with pytest.raises(InputError, match="not checked"):
        cut.prefix(IMAGES)
    assert [parameter.requires_grad for parameter in network.parameters()] == required
    assert not any("forward" in vars(part) or part._forward_pre_hooks for part in network.modules())


def test_an_activation_may_serve_in_all_blocks() -> None:
    network = CNN()
    for block in network.blocks:
        block.dropout = network.act
    for first in range(1, 4):
        Cut(randomised(network), CNN_BLOCKS, first).check(IMAGES)


def test_weights_tied_over_the_cut_are_refused() -> None:
    network = CNN()
    network.blocks[2].conv.weight = network.blocks[0].conv.weight
    with pytest.raises(CutRefused, match="act before its input"):
        Cut(randomised(network), CNN_BLOCKS, 3).check(IMAGES)


def test_numbers_that_are_not_finite_are_refused() -> None:
    network = randomised(CNN())
    network.last.bias.data[0] = float("nan")  # type: ignore[index, union-attr]
    with pytest.raises(CutRefused, match="not finite"):
        Cut(network, CNN_BLOCKS, 2).check(IMAGES)


def test_rows_padded_at_their_beginnings_are_refused() -> None:
    inputs = {name: tensor.flip(1) for name, tensor in text_batch([5, 2]).items()}
    with pytest.raises(CutRefused, match="padded"):
        Cut(randomised(Encoder()), ENCODER_BLOCKS, 2).check(inputs)


def test_another_course_than_in_the_check_is_refused() -> None:
    network = randomised(CNN())
    cut = Cut(network, CNN_BLOCKS, 3)
    cut.check(IMAGES)
    hidden = cut.prefix(IMAGES)
    network.blocks = nn.ModuleList([network.blocks[1], network.blocks[0], network.blocks[2]])  # type: ignore[index]
    with pytest.raises(CutRefused, match="order of the check"):
        cut.suffix(hidden)


class InPlace(CNN):
    """Writes to what a submodule returned."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.stem(images), inplace=True)
        for block in self.blocks:
            x = F.relu(block(x), inplace=True)
        return self.last(x).mean((2, 3))


def test_writing_in_place_between_blocks() -> None:
    blocks = (("stem", "norm"), *CNN_BLOCKS[1:])
    network = randomised(InPlace())
    cut = Cut(network, blocks, 3)
    cut.check(IMAGES)
    torch.testing.assert_close(cut.suffix(cut.prefix(IMAGES)), network(IMAGES), rtol=1e-5, atol=1e-6)


class Windows(nn.Module):
    """Rows become windows, as in Swin: the first axis is a multiple of the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.middle, self.last = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        windows = self.inner(rows.reshape(-1, 4))
        x = self.middle(windows.reshape(len(rows), -1, 4).mean(1))
        return self.last(x)


def test_windows_of_a_row_on_the_first_axis() -> None:
    network, rows = randomised(Windows()), torch.randn(5, 12)
    cut = Cut(network, (("inner",), ("middle",), ("last",)), 1)
    cut.check(rows)
    torch.testing.assert_close(cut.suffix(cut.prefix(rows)), network(rows))


def test_channels_last_stays_so() -> None:
    network = randomised(CNN()).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = IMAGES.contiguous(memory_format=torch.channels_last)
    cut = Cut(network, CNN_BLOCKS, 2)
    cut.check(images)
    seen = []
    hook = network.blocks[1].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    cut.suffix(cut.prefix(images).contiguous())
    hook.remove()
    assert seen[0].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("first", [-1, 0, 4, 9])
def test_a_cut_outside_the_blocks_is_bad_input(first: int) -> None:
    with pytest.raises(InputError, match=f"block {first} of 4"):
        Cut(CNN(), CNN_BLOCKS, first)


@pytest.mark.parametrize("name", ["", "blocks.7", "nothing", "blocks.0.calls", "stem."])
def test_names_that_the_network_does_not_have_are_bad_input(name: str) -> None:
    with pytest.raises(InputError, match="no submodule or parameter"):
        Cut(CNN(), (("stem",), (name,)), 1)


def test_rows_of_tokens_need_their_lengths() -> None:
    cut = Cut(randomised(Encoder()), ENCODER_BLOCKS, 2)
    cut.check(text_batch([4, 2]))
    with pytest.raises(InputError, match="lengths"):
        cut.suffix(torch.zeros(2, 4, 16))


def test_the_frozen_part_for_a_fingerprint_lacks_the_rest_and_nothing_else() -> None:
    network = randomised(ViT())
    cut = Cut(network, VIT_BLOCKS, 2)
    names = {name for name, _ in cut.frozen().named_parameters()}
    told = {name for name, _ in network.named_parameters()}
    assert told - names == {n for n in told if n.startswith(("blocks.1", "blocks.2", "blocks.3", "norm"))}
    assert {name for name, _ in network.named_parameters()} == told
