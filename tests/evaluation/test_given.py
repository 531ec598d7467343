"""Backbones are known by their names, and options by theirs: what would be mixed or dropped is refused."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import tlengine as tl
from tlengine.errors import InputError, TlengineError, TlengineWarning, UnknownOptionError
from tlengine.features import ImagePreprocess
from tlengine.plugins import resolve_backbone

PREP = ImagePreprocess(resize=8, crop=8)
FAST: dict[str, Any] = {"strategies": ["centroid"], "budgets": [5], "seeds": 1, "progress": False}
RAW: dict[str, Any] = {**FAST, "controls": ["raw"]}


def own(name: str, seed: int = 0) -> tl.Backbone:
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 6))
    return tl.Backbone(net, preprocess=PREP, modality="image", name=name)


@pytest.fixture(scope="module")
def images() -> tl.Dataset:
    rng = np.random.default_rng(0)
    rows = [rng.integers(0, 128, (8, 8, 3), dtype=np.uint8) + 100 * (i % 2) for i in range(40)]
    return tl.load_dataset(([row.astype(np.uint8) for row in rows], ["ab"[i % 2] for i in range(40)]))


@pytest.mark.parametrize(
    ("backbones", "message"),
    [
        (lambda: [own("net"), own("net", 1)], "two backbones are named 'net'"),
        (lambda: [own("net"), own("other"), own("net")], "two backbones are named 'net'"),
        (lambda: [own("minilm"), "minilm"], "two backbones are named 'minilm'"),
        (lambda: own("raw"), "named 'raw', which is the name of a control"),
        (lambda: [own("net"), own("raw")], "named 'raw', which is the name of a control"),
        (list, "no backbone given"),
        (lambda: [nn.Flatten()], "a Flatten is no backbone"),
        (lambda: resolve_backbone("raw"), "a BackboneSpec is no backbone"),
        (lambda: {"net": 1}, "a dict is no backbone"),
    ],
)
def test_backbones_that_would_be_mixed_are_refused(backbones: Any, message: str, images: tl.Dataset) -> None:
    with pytest.raises(InputError, match=message) as caught:
        tl.compare(images, backbones(), **FAST)
    assert caught.value.hint


@pytest.mark.parametrize(
    "backbones",
    [lambda bb: [bb, bb], lambda bb: [bb, "raw"], lambda bb: [bb, tl.load_backbone("raw")], lambda bb: (bb,)],
)
@pytest.mark.filterwarnings("ignore::tlengine.errors.TlengineWarning")
def test_the_same_one_counts_once_and_the_control_may_be_named(backbones: Any, images: tl.Dataset) -> None:
    run = tl.compare(images, backbones(own("net")), **RAW)
    assert [view["name"] for view in run.document["backbones"]] == ["net", "raw"]


@pytest.mark.parametrize(
    ("option", "nearest"),
    [
        ({"strategy": ["knn"]}, "strategies"),
        ({"budget": [5]}, "budgets"),
        ({"seed": 3}, "seeds"),
        ({"batchsize": 3}, "batch_size"),
        ({"num_workers": 1}, "workers"),
        ({"maxpixels": 3}, "max_pixels"),
        ({"backbone": "raw"}, "backbones"),
        ({"zzz": 1}, "options: "),
    ],
)
@pytest.mark.parametrize("kind", ["arrays", "images"])
def test_a_misspelt_option_is_refused_with_the_nearest(
    option: dict[str, Any], nearest: str, kind: str, images: tl.Dataset
) -> None:
    data: Any = images if kind == "images" else (np.eye(20), ["ab"[i % 2] for i in range(20)])
    for error in (InputError, TypeError, UnknownOptionError):
        with pytest.raises(error, match=f"no option '{next(iter(option))}'(.|\n)*{nearest}"):
            tl.compare(data, **{**FAST, **option})


@pytest.mark.parametrize(
    "call",
    [
        lambda ds, bb: tl.extract(ds, bb, batchsize=3),  # type: ignore[call-arg]
        lambda ds, bb: tl.load_dataset(ds, labels_column="x"),  # type: ignore[call-arg]
        lambda ds, bb: tl.Backbone(bb.module, preprocess=PREP, modality="image", name="x", dim=3),  # type: ignore[call-arg]
        lambda ds, bb: tl.EmbeddingCache(dir="x"),  # type: ignore[call-arg]
        lambda ds, bb: tl.probe_grid(np.eye(4), [0, 1, 0, 1], Cees=[1.0]),  # type: ignore[call-arg]
        lambda ds, bb: tl.LinearProbe(c=1.0),  # type: ignore[call-arg]
        lambda ds, bb: tl.nearest(np.eye(3), np.eye(3), n=2),  # type: ignore[call-arg]
    ],
)
def test_every_public_function_refuses_what_it_does_not_know(call: Any, images: tl.Dataset) -> None:
    with pytest.raises((TypeError, TlengineError)):
        call(images, own("net"))


def test_one_strategy_may_stand_alone() -> None:
    X = np.random.default_rng(0).normal(size=(40, 3))
    data = (X, ["ab"[i % 2] for i in range(40)])
    run = tl.compare(data, **{**FAST, "strategies": "centroid"})
    assert run.document["configuration"]["strategies"] == ["centroid"]
    with pytest.raises(InputError, match="strategies hold a Flatten, which is no name and no classifier"):
        tl.compare(data, **{**FAST, "strategies": [nn.Flatten()]})


def test_rows_are_joined_by_number_where_ids_repeat(images: tl.Dataset) -> None:
    """Unreadable rows among equal ids: joined by id, labels would land on wrong rows."""
    assert images.contents is not None
    contents = [b"no image" * i if i in (7, 21) else images.contents[i] for i in range(40)]
    from dataclasses import replace

    ds = replace(images, contents=contents, ids=np.array(["same"] * 40))
    with pytest.warns(TlengineWarning, match="2 of 40"):
        run = tl.compare(ds, own("net"), **{**RAW, "strategies": ["probe"], "budgets": ["all"]})
    assert run.document["dataset"]["used"] == 38
    assert [u["id"] for u in run.document["unreadable"]] == ["same", "same"]
    scores = [r["value"] for r in run.results if r["metric"] == "accuracy" and r["backbone"] == "net"]
    assert np.mean(scores) == 1.0
