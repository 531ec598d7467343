"""Inference: what may come out, memory that ends, and that everything is put back."""

from typing import Any

import numpy as np
import pytest
import torch

from tests.features.networks import PREPROCESS, TinyNet
from tlengine.errors import BackboneError, InputError, PluginError, ResourceError
from tlengine.features import Backbone, available_devices
from tlengine.features.forward import Forward, choose_device

ROWS = list(np.random.default_rng(0).integers(0, 256, (7, 16, 16, 3), dtype=np.uint8))


class Out(torch.nn.Module):
    """Returns whatever it is told to."""

    def __init__(self, out: Any) -> None:
        super().__init__()
        self.out = out

    def forward(self, images: torch.Tensor) -> Any:
        return self.out(images)


def backbone_of(module: torch.nn.Module, dim: int = 8) -> Backbone:
    return Backbone(module, preprocess=PREPROCESS, modality="image", name="odd", embedding_dim=dim)


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (lambda x: x.new_ones(len(x), 9), r"returned shape \(7, 9\), expected \(7, 8\)"),
        (lambda x: x.new_ones(len(x) - 1, 8), r"returned shape \(6, 8\)"),
        (lambda x: x, r"returned \(7, 3, 16, 16\), not a tensor"),
        (lambda x: [1], "returned list, not a tensor"),
        (lambda x: x.new_full((len(x), 8), torch.nan), "NaN or inf in 7 of 7 rows"),
        (lambda x: x.new_full((len(x), 8), torch.inf), "NaN or inf"),
    ],
)
def test_outputs_that_break_the_contract(out: Any, message: str) -> None:
    backbone = backbone_of(Out(out))
    with Forward(backbone, "cpu", "float32") as forward, pytest.raises(BackboneError, match=message):
        forward(ROWS)
    backbone.origin = "odd (tlengine-odd 1.0)"
    with (
        Forward(backbone, "cpu", "float32") as forward,
        pytest.raises(PluginError, match=r"tlengine-odd 1\.0"),
    ):
        forward(ROWS)


def hungry(limit: int) -> Any:
    """A network that runs out of memory above ``limit`` samples; notes the sizes it was asked for."""
    asked: list[int] = []

    def out(images: torch.Tensor) -> torch.Tensor:
        asked.append(len(images))
        if len(images) > limit:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return images.mean(dim=(2, 3)).repeat(1, 3)[:, :8]

    return out, asked


def test_memory_that_ends_halves_the_batch() -> None:
    out, asked = hungry(2)
    with Forward(backbone_of(Out(out)), "cpu", "float32") as forward:
        rows = forward(ROWS)
        again = forward(ROWS)
    assert asked[:3] == [7, 3, 1]
    assert max(asked[3:]) == 1, "the smaller batch is remembered"
    enough, _ = hungry(100)
    with Forward(backbone_of(Out(enough)), "cpu", "float32") as forward:
        assert np.array_equal(rows, forward(ROWS))
    assert np.array_equal(rows, again)


def test_memory_that_ends_at_one_sample_is_an_error_with_the_shape() -> None:
    out, _ = hungry(0)
    with (
        Forward(backbone_of(Out(out)), "cpu", "float32") as forward,
        pytest.raises(ResourceError, match=r"one sample of shape \(16, 16, 3\)"),
    ):
        forward(ROWS)


def test_other_errors_of_the_network_bear_its_name() -> None:
    def out(images: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("sizes do not match")

    with (
        Forward(backbone_of(Out(out)), "cpu", "float32") as forward,
        pytest.raises(BackboneError, match="failed: RuntimeError: sizes do not match") as caught,
    ):
        forward(ROWS)
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert caught.value.hint


def test_everything_is_put_back(net: TinyNet, backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TLENGINE_NUM_THREADS", "1")
    net.dropout.eval()
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with Forward(backbone, "cpu", "float32"):
            assert not net.training
            assert not torch.is_grad_enabled()
            assert torch.get_num_threads() == 1
            assert torch.get_float32_matmul_precision() == "highest"
        assert (net.training, net.conv.training, net.dropout.training) == (True, True, False)
        assert torch.is_grad_enabled()
        assert torch.get_num_threads() == 2
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(precision)
        torch.set_num_threads(threads)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_is_close_and_not_equal(backbone: Backbone, precision: str) -> None:
    with Forward(backbone, "cpu", "float32") as forward:
        exact = forward(ROWS)
    with Forward(backbone, "cpu", precision) as forward:
        half = forward(ROWS)
    assert half.dtype == np.float32
    assert 0 < np.abs(half - exact).max() < 0.05


def test_devices_and_precisions_are_checked(backbone: Backbone) -> None:
    assert available_devices()[-1] == "cpu"
    assert choose_device("auto") == available_devices()[0]
    with pytest.raises(BackboneError, match="no device 'abacus'"):
        choose_device("abacus")
    with pytest.raises(InputError, match="precision 'fp7'"):
        Forward(backbone, "cpu", "fp7")


class Moved(torch.nn.Module):
    """Everything that a move could lose: a convolution, a buffer, tied and transposed weights, a gradient."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = torch.nn.Conv2d(3, 8, 3)
        self.norm = torch.nn.BatchNorm2d(8).eval()
        self.head = torch.nn.Linear(8, 8)
        self.head.weight = torch.nn.Parameter(torch.randn(8, 8).t())
        self.tied = self.head.weight
        self.conv.bias.requires_grad_(False)  # type: ignore[union-attr]
        self(torch.randn(2, 3, 16, 16)).sum().backward()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(self.norm(self.conv(images)).mean(dim=(2, 3)))
        return out


def state_of(module: torch.nn.Module) -> Any:
    """Where every tensor lies and how, whose it is, and the mode of every part."""
    named = [*module.named_parameters(remove_duplicate=False), *module.named_buffers()]
    grads = {name: (id(t.grad), t.grad.stride()) for name, t in named if t.grad is not None}
    places = {name: (id(t), str(t.device), t.stride(), t.data_ptr(), t.requires_grad) for name, t in named}
    return places, grads, {name: part.training for name, part in module.named_modules()}


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_the_module_has_its_own_tensors_again(device: str) -> None:
    """The meta device stands for any other: whatever is not put back is lost there."""
    net = Moved()
    before = state_of(net)
    with Forward(backbone_of(net), device, "float32") as forward:
        assert str(net.conv.weight.device) == device
        assert net.conv.weight.is_contiguous(memory_format=torch.channels_last)
        if device == "cpu":
            forward(ROWS)
    assert state_of(net) == before


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_the_tensors_are_put_back_after_an_error(device: str) -> None:
    class Stuck(Moved):
        def _apply(self, fn: Any, recurse: bool = True) -> Any:
            self.conv._apply(fn)
            raise torch.OutOfMemoryError("CUDA out of memory.")

    def fail(images: torch.Tensor) -> torch.Tensor:
        raise KeyboardInterrupt

    stuck = Stuck()
    before = state_of(stuck)
    with pytest.raises(torch.OutOfMemoryError), Forward(backbone_of(stuck), device, "float32"):
        pytest.fail("it was not moved")
    assert state_of(stuck) == before
    net = torch.nn.Sequential(Moved(), Out(fail))
    before = state_of(net)
    with pytest.raises(KeyboardInterrupt), Forward(backbone_of(net), "cpu", "float32") as forward:
        forward(ROWS)
    assert state_of(net) == before


def test_what_the_network_writes_itself_stays() -> None:
    class Counts(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 8, 1)
            self.register_buffer("calls", torch.zeros(1))
            self.register_buffer("replaced", torch.zeros(1))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            self.replaced = self.replaced + 1
            with torch.no_grad():
                self.conv.weight.fill_(2.0)
            out: torch.Tensor = self.conv(images).mean(dim=(2, 3))
            return out

    net = Counts()
    with Forward(backbone_of(net), "cpu", "float32") as forward:
        forward(ROWS)
        forward(ROWS)
    assert (net.calls.item(), net.replaced.item()) == (2.0, 2.0)
    assert (net.conv.weight == 2.0).all()
    assert not net.replaced.is_inference()


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_a_scripted_module_is_put_back() -> None:
    net = torch.jit.script(torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8)))  # type: ignore[no-untyped-call]
    before = [(str(t.device), t.stride(), t.data_ptr()) for t in (*net.parameters(), *net.buffers())]
    with Forward(backbone_of(net), "meta", "float32"):
        assert all(t.is_meta for t in net.parameters())
    assert [(str(t.device), t.stride(), t.data_ptr()) for t in (*net.parameters(), *net.buffers())] == before


@pytest.mark.parametrize(
    ("out", "hint"),
    [
        (lambda x: (x.mean((2, 3)),), r"out\[0\]"),
        (lambda x: {"pooler_output": x}, "pooler_output"),
        (lambda x: x.mean((2, 3)).numpy(), "from_numpy"),
        (lambda x: x.flatten(2), r"mean\(dim=1\)"),
        (lambda x: x, r"mean\(dim=\(2, 3\)\)"),
        (lambda x: x.new_ones(len(x), 9), "say embedding_dim=9"),
        (lambda x: x.mean((2, 3)).argmax(1, keepdim=True), "as float32"),
    ],
)
def test_the_way_out_of_a_wrong_output_is_named(out: Any, hint: str) -> None:
    with (
        Forward(backbone_of(Out(out)), "cpu", "float32") as forward,
        pytest.raises(BackboneError, match=hint),
    ):
        forward(ROWS)


@pytest.mark.parametrize("dim", [8, None])
def test_a_lazy_layer_that_has_no_shape_yet_is_named(dim: int | None) -> None:
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(8))
    bb = Backbone(net, preprocess=PREPROCESS, modality="image", name="odd", embedding_dim=dim)
    with (
        pytest.raises(BackboneError, match=r"no shape yet for 1\.weight, 1\.bias") as caught,
        Forward(bb, "cpu", "float32"),
    ):
        pass
    assert "on one batch first" in str(caught.value.hint)
    with pytest.raises(BackboneError):
        bb.recipe()


class Refuses(torch.nn.Module):
    """A module that stays where it is, as quantised ones of some libraries do."""

    def __init__(self, method: str) -> None:
        super().__init__()
        self.method = method

    def train(self, mode: bool = True) -> Any:
        return self._refused("train") if self.method == "train" else super().train(mode)

    def to(self, *args: Any, **kwargs: Any) -> Any:
        return self._refused("to") if self.method == "to" else super().to(*args, **kwargs)

    def _refused(self, name: str) -> Any:
        raise ValueError(f"`.{name}` is not supported here")


@pytest.mark.parametrize("method", ["train", "to"])
def test_a_module_that_cannot_be_moved_is_named(method: str) -> None:
    with pytest.raises(
        BackboneError, match=r"'odd'.*cannot be moved to cpu: ValueError: .*not supported here"
    ):
        Forward(backbone_of(Refuses(method)), "cpu", "float32").__enter__()


@pytest.mark.parametrize(
    "text",
    ["MPS backend out of memory (MPS allocated: 9 GB)", "CUDA error: out of memory", "can't allocate memory"],
)
def test_memory_that_ends_is_known_by_what_is_said(text: str) -> None:
    def fail(images: torch.Tensor) -> torch.Tensor:
        if len(images) > 2:
            raise RuntimeError(text)
        return images.new_ones(len(images), 8)

    with Forward(backbone_of(Out(fail)), "cpu", "float32") as forward:
        assert forward(ROWS).shape == (7, 8)
