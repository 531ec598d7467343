"""What determines an embedding besides weights: settings, code, hooks; and texts that no key may hold."""

import copy
import dataclasses
import functools
import io
import os
import random
import subprocess
import sys
import types
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize

import tlengine as tl
from tlengine.errors import UnhashableRecipeError
from tlengine.features import ImagePreprocess
from tlengine.features.recipes import Fingerprint, fingerprint


def of(module: nn.Module, revision: str = "") -> str:
    return fingerprint(module, {}, revision)


class Scaled(nn.Module):
    """A user's module whose repr shows nothing; ``calls`` is a counter, ``scale`` a setting."""

    def __init__(self, stride: int = 1, scale: float = 1.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=stride)
        self.scale = scale
        self.calls = 0

    def __repr__(self) -> str:
        return "Scaled()"

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        pooled: torch.Tensor = self.conv(images).mean((2, 3)) * self.scale
        return pooled


class Twice(nn.Module):
    """A parametrisation."""

    def __init__(self, factor: float = 2.0) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight * self.factor


class Affine(nn.Module):
    """A linear layer, scaled by an attribute."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.factor = factor

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return self.linear(rows) * self.factor  # type: ignore[no-any-return]


class Shifted(Affine):
    """The same attributes and another program."""

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return self.linear(rows) + self.factor  # type: ignore[no-any-return]


def parametrized(factor: float) -> nn.Module:
    layer = nn.Linear(4, 4)
    parametrize.register_parametrization(layer, "weight", Twice(factor))
    return layer


def graph(function: Callable[[torch.Tensor], torch.Tensor]) -> nn.Module:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            return function(self.linear(rows))

    return torch.fx.symbolic_trace(Net())


def scripted(module: nn.Module, how: str = "script") -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if how == "trace":
            return torch.jit.trace(module, torch.ones(1, 4))  # type: ignore[no-any-return, no-untyped-call]
        if how == "freeze":
            return torch.jit.freeze(torch.jit.script(module.eval()))
        return torch.jit.script(module)  # type: ignore[no-any-return]


def conv(**settings: Any) -> nn.Module:
    return nn.Conv2d(4, 4, 3, **settings)


PAIRS: dict[str, tuple[Callable[[], nn.Module], Callable[[], nn.Module]]] = {
    "stride": (conv, lambda: conv(stride=2)),
    "dilation": (conv, lambda: conv(dilation=2)),
    "padding": (conv, lambda: conv(padding=1)),
    "padding mode": (lambda: conv(padding=1), lambda: conv(padding=1, padding_mode="reflect")),
    "gelu": (nn.GELU, lambda: nn.GELU("tanh")),
    "eps of a norm": (lambda: nn.LayerNorm(4), lambda: nn.LayerNorm(4, eps=1e-6)),
    "groups of a norm": (lambda: nn.GroupNorm(2, 8), lambda: nn.GroupNorm(4, 8)),
    "dropout": (lambda: nn.Dropout(0.1), lambda: nn.Dropout(0.2)),
    "slope": (lambda: nn.LeakyReLU(0.1), lambda: nn.LeakyReLU(0.2)),
    "infinite bound": (lambda: nn.Hardtanh(-float("inf"), 1.0), lambda: nn.Hardtanh(-1.0, 1.0)),
    "heads, in no repr": (lambda: nn.MultiheadAttention(8, 2), lambda: nn.MultiheadAttention(8, 4)),
    "norm first, in no repr": (
        lambda: nn.TransformerEncoderLayer(8, 2, 16),
        lambda: nn.TransformerEncoderLayer(8, 2, 16, norm_first=True),
    ),
    "activation, in no repr": (
        lambda: nn.TransformerEncoderLayer(8, 2, 16),
        lambda: nn.TransformerEncoderLayer(8, 2, 16, activation="gelu"),
    ),
    "ceil mode, in no repr": (lambda: nn.AvgPool2d(2), lambda: nn.AvgPool2d(2, ceil_mode=True)),
    "corners, in no repr": (
        lambda: nn.Upsample(scale_factor=2, mode="bilinear"),
        lambda: nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
    ),
    "order": (
        lambda: nn.Sequential(nn.ReLU(), nn.Tanh()),
        lambda: nn.Sequential(nn.Tanh(), nn.ReLU()),
    ),
    "nested, under a silent repr": (Scaled, lambda: Scaled(stride=2)),
    "argument of the constructor": (Scaled, lambda: Scaled(scale=2.0)),
    "setting of a parametrisation": (lambda: parametrized(2.0), lambda: parametrized(3.0)),
    "dimension of a weight norm": (
        lambda: parametrizations.weight_norm(nn.Linear(4, 4)),
        lambda: parametrizations.weight_norm(nn.Linear(4, 4), dim=1),
    ),
    "eps of a spectral norm": (
        lambda: nn.utils.spectral_norm(nn.Linear(4, 4)),  # type: ignore[no-untyped-call]
        lambda: nn.utils.spectral_norm(nn.Linear(4, 4), eps=1e-3),  # type: ignore[no-untyped-call]
    ),
    "graph": (lambda: graph(torch.relu), lambda: graph(torch.tanh)),
    "script": (lambda: scripted(Affine(2.0)), lambda: scripted(Shifted(2.0))),
    "attribute of a script": (lambda: scripted(Affine(2.0)), lambda: scripted(Affine(3.0))),
    "trace": (lambda: scripted(Affine(2.0), "trace"), lambda: scripted(Shifted(2.0), "trace")),
    "constant of a frozen script": (
        lambda: scripted(Affine(2.0), "freeze"),
        lambda: scripted(Affine(3.0), "freeze"),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_equal_weights_with_other_settings_or_code_have_other_fingerprints(name: str) -> None:
    made = []
    for make in (*PAIRS[name], PAIRS[name][0]):
        torch.manual_seed(0)
        made.append(of(make()))
    assert made[0] != made[1]
    assert made[0] == made[2], "the same network twice"


def test_only_the_structure_differs_where_weights_are_equal() -> None:
    torch.manual_seed(0)
    one = Fingerprint.of(conv(), {})
    torch.manual_seed(0)
    other = Fingerprint.of(conv(stride=2), {})
    assert (one.weights, one.preprocess) == (other.weights, other.preprocess)
    assert one.structure != other.structure
    assert one.digest != other.digest


def test_weights_frozen_into_a_script_are_seen() -> None:
    torch.manual_seed(0)
    one, other = (of(scripted(Affine(2.0), "freeze")) for _ in range(2))
    assert one != other, "two random networks"


def test_a_saved_script_is_the_same_network() -> None:
    module = scripted(Affine(2.0))
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(module, buffer)
        buffer.seek(0)
        assert of(torch.jit.load(buffer)) == of(module)


def test_what_changes_no_embedding_does_not_enter() -> None:
    net = Scaled()
    before = of(net)
    net(torch.zeros(1, 3, 8, 8))
    assert of(net) == before, "a counter"
    assert of(net.train()) == of(net.eval()) == before
    assert of(net.requires_grad_(False)) == before
    assert of(copy.deepcopy(net)) == before
    layer = nn.Linear(4, 4)
    assert of(nn.Sequential(layer, layer)) == of(nn.Sequential(layer, copy.deepcopy(layer))), "shared"
    plain = nn.Sequential(layer, nn.ReLU())
    assert of(torch.compile(plain)) == of(plain)  # type: ignore[arg-type]


def double(module: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
    return output * 2


def halve(module: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
    return output / 2


def first(module: nn.Module, inputs: Any) -> Any:
    return inputs[0] * 2


def test_hooks_enter_by_their_source_and_leave_with_it() -> None:
    net = nn.Sequential(nn.Linear(4, 4))
    prints = [of(net)]
    for hook in (double, halve):
        handle = net[0].register_forward_hook(hook)
        prints.append(of(net))
        handle.remove()
    handle = net[0].register_forward_pre_hook(first)
    prints.append(of(net))
    handle.remove()
    assert len(set(prints)) == 4
    assert of(net) == prints[0]
    handle = nn.modules.module.register_module_forward_hook(double)
    try:
        assert of(net) not in prints
    finally:
        handle.remove()


@pytest.mark.parametrize("how", ["hook", "pre-hook", "forward"])
def test_a_hook_that_cannot_be_told_apart_is_refused_unless_a_revision_answers_for_it(how: str) -> None:
    net = nn.Sequential(nn.Linear(4, 4))
    if how == "hook":
        net[0].register_forward_hook(lambda module, inputs, output: output * 2)
    elif how == "pre-hook":
        net[0].register_forward_pre_hook(lambda module, inputs: inputs)
    else:
        net[0].forward = lambda rows: rows  # type: ignore[method-assign]
    with pytest.raises(UnhashableRecipeError, match=r"of 0: a lambda(.|\n)*revision="):
        of(net)
    assert of(net, "1") != of(net, "2")


class Shows(nn.Module):
    """Shows what it is told to."""

    def __init__(self, what: Callable[[nn.Module], str]) -> None:
        super().__init__()
        self.what = what

    def extra_repr(self) -> str:
        return self.what(self)


UNSTABLE: dict[str, Callable[[nn.Module], str]] = {
    "a function": lambda module: f"activation={torch.relu}",
    "a lambda": lambda module: str(lambda rows: rows),
    "an object": lambda module: str(object()),
    "a decimal id": lambda module: f"id={id(module)}",
    "a hexadecimal id": lambda module: hex(id(module)),
    "a random number": lambda module: str(random.random()),
}


@pytest.mark.parametrize("name", UNSTABLE)
@pytest.mark.parametrize("nested", [False, True])
def test_texts_that_are_never_found_again_are_refused(name: str, nested: bool) -> None:
    module: nn.Module = Shows(UNSTABLE[name])
    module = nn.Sequential(nn.Linear(2, 2), module) if nested else module
    with pytest.raises(UnhashableRecipeError, match=r"no row would be found again(.|\n)*revision="):
        of(module)


@pytest.mark.parametrize("name", ["a function", "a lambda", "an object"])
def test_a_revision_answers_for_an_address(name: str) -> None:
    def make() -> str:
        return of(nn.Sequential(Shows(UNSTABLE[name])), "1")

    assert make() == make()


def test_a_repr_that_fails_is_named() -> None:
    def fail(module: nn.Module) -> str:
        raise ZeroDivisionError("oops")

    with pytest.raises(UnhashableRecipeError, match=r"Shows failed: ZeroDivisionError: oops") as caught:
        of(nn.Sequential(nn.Linear(2, 2), Shows(fail)))
    assert caught.value.hint


def test_the_device_of_a_printed_parameter_does_not_enter() -> None:
    from tlengine.features.structure import _PLACE

    on_cpu = "(0): Parameter containing: [torch.float32 of size 3]"
    assert _PLACE.sub("", on_cpu + " (GPU 0)") == on_cpu
    assert _PLACE.sub("", "x=tensor([1.], device='cuda:0')") == _PLACE.sub("", "x=tensor([1.])")
    assert of(nn.ParameterList([torch.ones(3)])) != of(nn.ParameterList([torch.ones(3), torch.ones(3)]))


def test_stale_rows_are_not_served_after_a_stride(tmp_path: Any) -> None:
    images = [torch.randint(0, 256, (16, 16, 3), dtype=torch.uint8).numpy() for _ in range(3)]
    ds = tl.load_dataset(images)
    rows = []
    for stride in (1, 2):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(3, 4, 3, stride=stride), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        prep = ImagePreprocess(resize=16, crop=16)
        bb = tl.Backbone(net, preprocess=prep, modality="image", name="net")
        rows.append(tl.extract(ds, bb, cache=tmp_path, progress=False))
    assert [feats.stats.embedded for feats in rows] == [3, 3]  # type: ignore[union-attr]
    assert (rows[0].X != rows[1].X).any()


class Held(nn.Module):
    """Holds what its constructor was given, and shows nothing of it."""

    def __init__(self, what: Any) -> None:
        super().__init__()
        self.what = what


class Given:
    """A configuration as people write them."""

    def __init__(self, heads: int) -> None:
        self.heads = heads
        self.calls = 0


class Told:
    """A configuration that tells what it holds."""

    def __init__(self, heads: int) -> None:
        self._heads = heads

    def to_dict(self) -> dict[str, Any]:
        return {"heads": self._heads}


@dataclasses.dataclass
class Record:
    heads: int
    table: torch.Tensor = dataclasses.field(default_factory=lambda: torch.ones(2))


def closure(factor: float) -> Callable[[torch.Tensor], torch.Tensor]:
    def scaled(rows: torch.Tensor) -> torch.Tensor:
        return rows * factor

    return scaled


HELD: dict[str, Callable[[int], Any]] = {
    "a partial": lambda n: functools.partial(torch.clamp, min=n),
    "a function in a partial": lambda n: functools.partial([torch.relu, torch.tanh][n]),
    "a tensor": lambda n: torch.tensor([n]),
    "a bfloat16 tensor": lambda n: torch.tensor([n], dtype=torch.bfloat16),
    "an array": lambda n: np.array([n]),
    "a number of NumPy": lambda n: np.float32(n),
    "a configuration": Given,
    "a configuration with to_dict": Told,
    "a dataclass": Record,
    "a namespace": lambda n: types.SimpleNamespace(heads=n),
    "a closure": closure,
    "a lambda": lambda n: [lambda rows: rows + 1, lambda rows: rows + 2][n],
    "a list of partials": lambda n: [functools.partial(torch.clamp, min=n)],
    "a set": lambda n: {"a", str(n)},
}


@pytest.mark.parametrize("name", HELD)
def test_settings_enter_by_content(name: str) -> None:
    one, other, again = (of(Held(HELD[name](n))) for n in (0, 1, 0))
    assert one == again
    assert one != other


def test_a_setting_that_holds_itself_or_its_network_is_described() -> None:
    net = Held(None)
    given = Given(2)
    given.heads = given  # type: ignore[assignment]
    net.what = {"self": given, "net": [net]}
    assert of(net) == of(net)


def test_a_counter_of_a_configuration_does_not_enter() -> None:
    given = Given(2)
    net = Held(given)
    before = of(net)
    given.calls += 1
    assert of(net) == before


def test_heads_in_a_configuration_of_transformers_enter() -> None:
    transformers = pytest.importorskip("transformers")

    def bert(heads: int, place: str = "") -> str:
        torch.manual_seed(0)
        config = transformers.BertConfig(
            vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=heads, intermediate_size=8
        )
        config._name_or_path = place
        return of(transformers.BertModel(config))

    assert bert(2) != bert(4)
    assert bert(2) == bert(2, "/somewhere/else"), "the same network from another folder"


def test_a_local_function_is_the_same_in_every_process() -> None:
    """A set in the code is a constant whose order is drawn when Python starts."""
    source = (
        "from tlengine.features.constructed import plain_setting\n"
        "print(plain_setting(lambda text: text in {'a', 'b', 'c', 'd', 'e'}))"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", source],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(told) == 1
