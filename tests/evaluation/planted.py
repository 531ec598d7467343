"""A plugin made of files, found as an installed one, beside tlengine's own."""

from importlib.metadata import PathDistribution, distribution
from pathlib import Path
from typing import Any

from tlengine.plugins import PluginManager, manager

__all__ = ["HEADER", "plant"]

HEADER = """
import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis as LDA
import tlengine as tl
from tlengine.plugins import ExporterSpec, MetricSpec, ProbeSpec, StrategySpec
"""
_count = iter(range(1_000_000))


def plant(folder: Path, monkeypatch: Any, *codes: str) -> PluginManager:
    """Make a manager of tlengine's own plugins, and one of each code, the one that is asked."""
    found: list[Any] = [distribution("tlengine")]
    monkeypatch.syspath_prepend(str(folder))
    for code in codes:
        number = next(_count)
        module = f"planted_{number}"
        (folder / f"{module}.py").write_text(HEADER + code)
        info = folder / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[tlengine]\n{module} = {module}\n")
        found.append(PathDistribution(info))
    chosen = PluginManager()
    chosen.load(found)
    monkeypatch.setattr(manager, "_manager", chosen)
    return chosen
