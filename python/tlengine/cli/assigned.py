"""Settings on the command line: ``--set NAME.KEY=VALUE``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import click

__all__ = ["assignments"]


def assignments(given: Sequence[str], example: str) -> Iterator[tuple[str, str, Any]]:
    """Name ("" for none), key and value of each word; a value that is no JSON is text.

    Args:
        given: the words.
        example: one that is right, for who wrote one that is not.

    >>> list(assignments(["lp-ft.rate=1e-4", "head=mlp"], "rate=1e-4"))
    [('lp-ft', 'rate', 0.0001), ('', 'head', 'mlp')]
    """
    for word in given:
        place, equals, value = word.partition("=")
        name, _, key = place.rpartition(".")
        if not (key.isidentifier() and equals):
            raise click.BadParameter(f"{word!r} is not like {example}")
        yield name, key, _value(value)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
