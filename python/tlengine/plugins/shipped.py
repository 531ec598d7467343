"""What this repository's ``plugins/`` brings, by name or prefix, and how to install it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["SHIPPED", "Shipped", "default_plugin", "install_hint", "shipped"]


@dataclass(frozen=True, kw_only=True)
class Shipped:
    """A plugin of this repository.

    Attributes:
        plugin: its folder and distribution.
        default_for: the modality of data that its backbone is meant for where the user names none.
    """

    plugin: str
    default_for: str | None = None


SHIPPED: Mapping[str, Shipped] = {
    "efficientnet-lite0": Shipped(plugin="tlengine-efficientnet-lite", default_for="image"),
    "minilm": Shipped(plugin="tlengine-minilm", default_for="text"),
}
"""By the name of a backbone, or by the prefix of an open namespace."""


def shipped(name: str) -> str | None:
    """The shipped plugin that brings the backbone ``name``; a namespace answers for all that it holds.

    >>> shipped("minilm"), shipped("minilm/large"), shipped("resnet")
    ('tlengine-minilm', 'tlengine-minilm', None)
    """
    found = SHIPPED.get(name) or SHIPPED.get(name.partition("/")[0])
    return found.plugin if found else None


def default_plugin(modality: str) -> str | None:
    """The shipped plugin whose backbone is meant for data of a modality.

    >>> default_plugin("text"), default_plugin("features")
    ('tlengine-minilm', None)
    """
    return next((known.plugin for known in SHIPPED.values() if known.default_for == modality), None)


def install_hint(plugin: str) -> str:
    """How to install a plugin of this repository; the folder is named where it can be seen.

    >>> install_hint("tlengine-none")
    "install the folder plugins/tlengine-none of tlengine's source with pip"
    """
    clone = Path(__file__).parents[3] / "plugins"
    for folder, shown in ((Path("plugins"), "./plugins"), (clone, str(clone))):
        if (folder / plugin / "pyproject.toml").is_file():
            return f"pip install {shown}/{plugin}"
    return f"install the folder plugins/{plugin} of tlengine's source with pip"
