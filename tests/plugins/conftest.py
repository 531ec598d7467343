"""Distributions made of files, so that plugins are found as they are in real life."""

import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest

from tlengine.plugins import PluginManager, manager

Plant = Callable[..., PathDistribution]
Use = Callable[..., PluginManager]


@pytest.fixture
def plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plant]:
    """Write a distribution with one module of ``code``; its entry point is ``point``, or its name."""
    modules = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(name: str, code: str, version: str = "1.0", point: str | None = None) -> PathDistribution:
        module = f"plugin_of_{name.replace('-', '_')}"
        (tmp_path / f"{module}.py").write_text(code)
        info = tmp_path / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[tlengine]\n{point or name} = {module}\n")
        return PathDistribution(info)

    yield write
    for name in set(sys.modules) - modules:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Use:
    """Make a manager of these distributions the one that the registry asks."""

    def load(*found: PathDistribution) -> PluginManager:
        chosen = PluginManager()
        chosen.load(found)
        monkeypatch.setattr(manager, "_manager", chosen)
        return chosen

    return load
