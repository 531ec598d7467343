"""Weights of every dtype and layout as bytes: equal digests for equal numbers, and for nothing else."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from tlengine.errors import BackboneError, UnhashableRecipeError
from tlengine.features.weights import weights_digest


def holding(tensor: torch.Tensor | None) -> nn.Module:
    module = nn.Module()
    module.register_buffer("held", tensor, persistent=False)
    return module


def complex_of(values: list[float]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.complex64) * 1j


def quantized(scale: float = 0.1, channels: bool = False, value: float = 1.0) -> torch.Tensor:
    rows = torch.full((3, 2), value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if channels:
            scales = torch.tensor([0.1, 0.2, scale])
            return torch.quantize_per_channel(rows, scales, torch.zeros(3), 0, torch.qint8)
        return torch.quantize_per_tensor(rows, scale, 0, torch.qint8)


KINDS: dict[str, tuple[Callable[[], torch.Tensor], Callable[[], torch.Tensor]]] = {
    "bfloat16": (lambda: torch.ones(3, dtype=torch.bfloat16), lambda: torch.zeros(3, dtype=torch.bfloat16)),
    "float16": (lambda: torch.ones(3).half(), lambda: torch.ones(3)),
    "float8": (lambda: torch.ones(3).to(torch.float8_e4m3fn), lambda: torch.zeros(3).to(torch.float8_e4m3fn)),
    "bool": (lambda: torch.ones(3, dtype=torch.bool), lambda: torch.zeros(3, dtype=torch.bool)),
    "complex": (lambda: complex_of([1.0]), lambda: complex_of([2.0])),
    "conjugate": (lambda: complex_of([1.0]).conj(), lambda: complex_of([1.0])),
    "negative view": (lambda: complex_of([1.0]).conj().imag, lambda: complex_of([1.0]).imag),
    "sparse": (lambda: torch.eye(3).to_sparse(), lambda: (2 * torch.eye(3)).to_sparse()),
    "rows of sparse": (lambda: torch.eye(3).to_sparse_csr(), lambda: (2 * torch.eye(3)).to_sparse_csr()),
    "quantized": (quantized, lambda: quantized(0.2, value=2.0)),
    "quantized by channel": (lambda: quantized(0.3, True), lambda: quantized(0.4, True)),
    "scalar": (lambda: torch.tensor(3.0), lambda: torch.tensor([3.0])),
    "empty": (lambda: torch.zeros(0, 3), lambda: torch.zeros(0, 4)),
    "shape": (lambda: torch.zeros(2, 3), lambda: torch.zeros(3, 2)),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:Sparse")
def test_every_kind_of_tensor_is_told_apart(kind: str) -> None:
    one, other = KINDS[kind]
    assert weights_digest(holding(one())) == weights_digest(holding(one()))
    assert weights_digest(holding(one())) != weights_digest(holding(other()))


def test_memory_layout_does_not_enter() -> None:
    tensor = torch.arange(12.0).reshape(3, 4)
    assert weights_digest(holding(tensor)) == weights_digest(holding(tensor.t().contiguous().t()))
    assert weights_digest(holding(torch.ones(1).expand(4))) == weights_digest(holding(torch.ones(4)))
    assert weights_digest(holding(None)) == weights_digest(nn.Module())


def test_packed_weights_of_quantized_layers_are_seen() -> None:
    """They are neither parameters nor buffers."""

    def digest(seed: int) -> str:
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Linear(4, 4))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            packed = torch.ao.quantization.quantize_dynamic(net, {nn.Linear}, dtype=torch.qint8)  # type: ignore[attr-defined]
        assert not list(packed.parameters())
        return weights_digest(packed)

    assert digest(0) == digest(0) != digest(1)


class Extra(nn.Module):
    """Keeps something in the state beside tensors."""

    def __init__(self, extra: Any) -> None:
        super().__init__()
        self.extra = extra

    def get_extra_state(self) -> Any:
        return self.extra


def test_extra_state_is_seen_or_refused() -> None:
    assert weights_digest(Extra({"scale": 1.0})) != weights_digest(Extra({"scale": 2.0}))
    assert weights_digest(Extra(torch.ones(2))) != weights_digest(Extra(torch.zeros(2)))
    with pytest.raises(UnhashableRecipeError, match=r"'_extra_state' is a object") as caught:
        weights_digest(Extra(object()))
    assert caught.value.hint


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Linear(2, 2, device="meta"), "'bias' is on the meta device"),
        (nn.Sequential(nn.LazyLinear(2)), r"'0\.bias' is not initialised"),
    ],
)
def test_weights_that_are_not_there_are_refused(module: nn.Module, message: str) -> None:
    with pytest.raises(BackboneError, match=message) as caught:
        weights_digest(module)
    assert caught.value.hint
