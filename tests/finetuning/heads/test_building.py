"""Heads are built from a name and settings, and what cannot be built is said before anything is trained."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.plugins.conftest import plant, use  # noqa: F401
from tlengine.errors import InputError, PluginError, UnknownNameError, UnknownOptionError
from tlengine.finetuning import build_head, start_from_probe

DEEP = """
import tlengine as tl

def build(dim, classes, *, depth=2, fails=""):
    from torch import nn
    if fails == "raises":
        raise ZeroDivisionError("no depth")
    if fails == "nothing":
        return None
    return nn.Sequential(*(nn.Linear(dim, dim) for _ in range(depth - 1)), nn.Linear(dim, classes))

@tl.hookimpl
def tlengine_heads():
    yield tl.HeadSpec(name="deep", build=build, from_probe=lambda coef, intercept: {"9.weight": coef})
    yield tl.HeadSpec(name="odd", build=build, from_probe=lambda coef, intercept: 1 / 0)
    yield tl.HeadSpec(name="none", build=build, from_probe=lambda coef, intercept: [coef])
"""


@pytest.fixture
def deep(plant, use):  # noqa: F811
    use(plant("tlengine-deep", DEEP))


def test_a_plugins_head_is_built_with_its_settings(deep):
    assert len(build_head("deep", 4, 3, depth=5)) == 5
    assert build_head("deep", 4, 3)(torch.zeros(2, 4)).shape == (2, 3)


def test_settings_reach_the_shipped_heads():
    assert build_head("mlp", 8, 3, hidden=4).hidden.out_features == 4
    assert build_head("mlp", 8, 3, dropout=0.25).dropout.p == 0.25
    assert float(build_head("cosine", 8, 3, scale=4).log_scale.exp().detach()) == pytest.approx(4)
    assert isinstance(build_head("linear", 8, 3), nn.Linear)


@pytest.mark.parametrize(
    ("name", "dim", "classes", "settings", "message"),
    [
        ("linear", 0, 3, {}, "reads rows, dim is 0"),
        ("linear", (4, 8), 3, {}, r"reads rows, dim is \(4, 8\)"),
        ("linear", True, 3, {}, "reads rows, dim is True"),
        ("attention-pool", 8, 3, {}, "reads tokens, dim is 8"),
        ("attention-pool", (0, 8), 3, {}, "0 tokens"),
        ("attention-pool", (None, None), 3, {}, "reads tokens"),
        ("linear", 8, 1, {}, "classes is 1"),
        ("linear", 8, 2.0, {}, r"classes is 2\.0"),
        ("linear", 8, 3, {"dropout": 1.0}, r"dropout is 1\.0"),
        ("linear", 8, 3, {"dropout": "0"}, "dropout is '0'"),
        ("mlp", 8, 3, {"hidden": 0}, "hidden is 0"),
        ("mlp", 8, 3, {"hidden": 4.0}, r"hidden is 4\.0"),
        ("cosine", 8, 3, {"scale": 0}, "scale is 0"),
        ("cosine", 8, 3, {"scale": float("inf")}, "JSON cannot hold"),
        ("mlp", 8, 3, {"hidden": np.int64(4)}, "JSON cannot hold"),
    ],
)
def test_what_no_head_can_be_built_of(name, dim, classes, settings, message):
    with pytest.raises(InputError, match=message) as caught:
        build_head(name, dim, classes, **settings)
    assert caught.value.hint


def test_names_are_looked_up():
    with pytest.raises(UnknownNameError, match="no head is named 'lineal'") as caught:
        build_head("lineal", 8, 3)
    assert caught.value.context["nearest"][0] == "linear"
    with pytest.raises(UnknownOptionError, match="head 'mlp' has no setting 'hiden'") as unknown:
        build_head("mlp", 8, 3, hiden=3)
    assert unknown.value.hint == "did you mean hidden? its settings: hidden, dropout"


@pytest.mark.parametrize(
    ("fails", "message"),
    [("raises", "cannot be built: ZeroDivisionError: no depth"), ("nothing", "build returned a NoneType")],
)
def test_a_plugin_that_fails_is_named(deep, fails, message):
    with pytest.raises(PluginError, match=rf"'deep' \(tlengine-deep .*{message}"):
        build_head("deep", 4, 3, fails=fails)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("deep", r"has no parameter '9\.weight'"),
        ("odd", "from_probe raised ZeroDivisionError"),
        ("none", "from_probe returned a list"),
    ],
)
def test_a_start_that_does_not_fit_is_the_plugins(deep, name, message):
    head = build_head(name, 4, 3)
    before = [one.detach().clone() for one in head.parameters()]
    with pytest.raises(PluginError, match=rf"'{name}' \(tlengine-deep .*{message}"):
        start_from_probe(head, name, np.eye(3, 4), np.zeros(3))
    assert all(map(torch.equal, before, head.parameters()))
