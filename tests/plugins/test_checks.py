"""What a backbone says of its parts has the right kinds, in a plugin's record and in a bare network."""

from collections.abc import Callable
from typing import Any

import pytest
from torch import nn

from tlengine.errors import InputError
from tlengine.features import Backbone, ImagePreprocess
from tlengine.plugins import BackboneSpec

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"blocks": "stem"}, "blocks are a str"),
    ({"blocks": {"stem": 1}}, "blocks are a dict"),
    ({"blocks": (group for group in [["a"]])}, "blocks are a generator"),
    ({"blocks": ["stem", "body"]}, "block 0 is a str"),
    ({"blocks": [["a"], {"b"}]}, "block 1 is a set"),
    ({"blocks": [["a"], []]}, "block 1 is empty"),
    ({"blocks": [["a"], ["b", ""]]}, "block 1 holds '', not a name"),
    ({"blocks": [["a"], [3]]}, "block 1 holds 3"),
    ({"blocks": [["a", "b"], ["a"]]}, "blocks name 'a' twice"),
    ({"blocks": None}, "blocks are a NoneType"),
    ({"tokens": None}, "tokens is a NoneType"),
    ({"tokens": ["a"]}, "tokens is a list"),
    ({"lora_targets": "query"}, "lora_targets is a str"),
    ({"lora_targets": [nn.Linear]}, "lora_targets holds <class"),
    ({"initialise": 3}, "initialise is a int"),
    ({"collate": "stack"}, "collate is a str"),
]


def spec(**parts: Any) -> BackboneSpec:
    return BackboneSpec(name="net", modality="image", embedding_dim=8, load=print, preprocess=str, **parts)


def own(**parts: Any) -> Backbone:
    prep = ImagePreprocess(resize=4, crop=4)
    return Backbone(nn.Flatten(), preprocess=prep, modality="image", name="net", **parts)


@pytest.mark.parametrize("make", [spec, own])
@pytest.mark.parametrize(("parts", "message"), WRONG, ids=[message for _, message in WRONG])
def test_a_part_of_the_wrong_kind_is_named(
    make: Callable[..., object], parts: dict[str, Any], message: str
) -> None:
    if "generator" in message:
        parts = {"blocks": (group for group in [["a"]])}
    with pytest.raises(InputError, match=f"backbone 'net': {message}") as caught:
        make(**parts)
    assert caught.value.hint


@pytest.mark.parametrize("make", [spec, own])
def test_lists_and_tuples_are_both_fine(make: Callable[..., Any]) -> None:
    made = make(blocks=[["a"], ("b", "c")], tokens="b", lora_targets=["c"])
    assert [list(group) for group in made.blocks] == [["a"], ["b", "c"]]
