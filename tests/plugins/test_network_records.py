"""The record of a head: what it must be, and the settings that its ``build`` shows."""

from functools import partial
from typing import Any

import pytest

from tlengine.errors import InputError
from tlengine.plugins import HeadSpec


def build(dim: Any, classes: int, *, depth: int = 2) -> Any:
    return dim, classes, depth


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"name": "Deep"}, "head name 'Deep' is not allowed"),
    ({"build": 3}, "build is a int"),
    ({"build": lambda dim: None}, "build takes no shape and number of classes"),
    ({"build": lambda *, dim, classes: None}, "build takes no shape"),
    ({"build": lambda dim, classes, depth: None}, "the setting 'depth' of build has no default"),
    ({"build": lambda dim, classes, **settings: None}, "the setting 'settings' of build has no default"),
    ({"build": lambda dim, classes, *settings: None}, "the setting 'settings' of build has no default"),
    ({"from_probe": 3}, "from_probe is a int"),
    ({"from_means": []}, "from_means is a list"),
    ({"input": "rows"}, "input 'rows'"),
]


@pytest.mark.parametrize(("parts", "message"), WRONG, ids=[message for _, message in WRONG])
def test_what_is_no_head_is_named(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        HeadSpec(**{"name": "deep", "build": build, **parts})
    assert caught.value.hint


def test_settings_are_the_keywords_of_build() -> None:
    assert HeadSpec(name="deep", build=build).settings == {"depth": 2}
    assert HeadSpec(name="deep", build=partial(build, depth=5)).settings == {"depth": 5}
    assert HeadSpec(name="flat", build=lambda dim, classes: None).settings == {}
