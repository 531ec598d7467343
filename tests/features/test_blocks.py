"""Blocks and targets are looked up in the network: each parameter in one block, each target a layer."""

import pytest
import torch
from torch import nn

import tlengine as tl
from tests.features.networks import PREPROCESS
from tlengine.errors import BackboneError, PluginError
from tlengine.features import Backbone, block_of, lora_modules


class Net(nn.Module):
    """A stem, two layers and a position that belongs to none of them."""

    def __init__(self) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.zeros(1, 4))
        self.stem = nn.Linear(4, 4)
        self.layers = nn.ModuleList([nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)) for _ in range(2)])


def named(module: nn.Module | None = None, **parts: object) -> Backbone:
    return Backbone(
        module or Net(), preprocess=PREPROCESS, modality="image", name="net", embedding_dim=4,
        **parts,  # type: ignore[arg-type]
    )  # fmt: skip


BLOCKS = [["position", "stem"], ["layers.0"], ["layers.1"]]


def test_each_parameter_has_its_block() -> None:
    found = block_of(named(blocks=BLOCKS))
    assert list(found) == [name for name, _ in Net().named_parameters()]
    assert found["position"] == found["stem.bias"] == 0
    assert found["layers.0.1.weight"] == 1
    assert found["layers.1.0.bias"] == 2


def test_a_name_is_not_the_start_of_another() -> None:
    ten = nn.Sequential(*(nn.Linear(2, 2, bias=False) for _ in range(11)))
    found = block_of(named(ten, blocks=[["1"], ["0"], *([str(i)] for i in range(2, 11))]))
    assert (found["1.weight"], found["10.weight"], found["0.weight"]) == (0, 10, 1)


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ([], "names no blocks"),
        (
            [["position", "stem"], ["layers.0"], ["layers.7"]],
            r"names 'layers\.7' in block 2, which is not in",
        ),
        ([["position", "stem"], ["layers.0"]], r"has layers\.1\.0\.weight in no block"),
        ([["stem"], ["layers"]], "has position in no block"),
        ([*BLOCKS, ["layers"]], r"has layers\.0\.0\.weight in blocks 1 and 3 \(layers, layers\.0\)"),
        ([["position", "stem"], ["layers"], ["layers.1.0.bias"]], r"layers\.1\.0\.bias in blocks 1 and 2"),
    ],
)
def test_blocks_that_do_not_fit_the_network_are_named(blocks: list[list[str]], message: str) -> None:
    with pytest.raises(BackboneError, match=message) as caught:
        block_of(named(blocks=blocks))
    assert caught.value.hint


def test_a_tensor_that_two_blocks_share_is_named() -> None:
    net = Net()
    net.layers[1][0].weight = net.stem.weight  # type: ignore[index]
    with pytest.raises(BackboneError, match=r"one tensor in block 0 \(stem\.weight\) and in block 2"):
        block_of(named(net, blocks=BLOCKS))
    together = block_of(named(net, blocks=[["position", "stem", "layers.1"], ["layers.0"]]))
    assert list(together) == [name for name, _ in net.named_parameters()]


def test_the_fault_is_the_plugins_where_it_has_one() -> None:
    bb = named(blocks=[["stem"]])
    bb.origin = "tlengine-net (tlengine-net 1.0)"
    with pytest.raises(PluginError, match=r"'net' \(tlengine-net .*has position in no block"):
        block_of(bb)


def test_targets_are_names_or_their_ends() -> None:
    assert lora_modules(named(lora_targets=["0"], module=nn.Sequential(nn.Linear(2, 2)))) == ("0",)
    assert lora_modules(named(lora_targets=["stem", "0.0"])) == ("stem", "layers.0.0")


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ([], "names no lora_targets"),
        (["query"], "has no submodule for the lora target 'query'"),
        (["tem"], "no submodule for the lora target 'tem'"),
        (["layers.0"], r"has a Sequential at layers\.0, which the lora target 'layers\.0' names"),
        (["1.1"], r"has a BatchNorm1d at layers\.1\.1"),
    ],
)
def test_targets_that_do_not_fit_are_named(targets: list[str], message: str) -> None:
    with pytest.raises(BackboneError, match=message) as caught:
        lora_modules(named(lora_targets=targets))
    assert caught.value.hint


@pytest.mark.parametrize(
    ("name", "package", "blocks", "targets"),
    [("efficientnet-lite0", "efficientnet_lite", 8, 32), ("minilm", "minilm", 7, 12)],
)
def test_what_the_shipped_backbones_say_is_true(name: str, package: str, blocks: int, targets: int) -> None:
    pytest.importorskip(f"tlengine_{package}")
    bb = tl.load_backbone(name)
    assert set(block_of(bb).values()) == set(range(blocks))
    assert len(lora_modules(bb)) == targets
