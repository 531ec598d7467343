"""Plugins of every bad kind, in folders that a fresh interpreter finds as it finds what pip installed."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["HEADER", "install", "tlengine"]

HEADER = "import tlengine as tl\nfrom tlengine.plugins import BackboneSpec, ExporterSpec, ProbeSpec\n"


def install(
    site: Path, name: str, code: str, *, version: str = "1.0", point: str | None = None, module: str = ""
) -> None:
    """A distribution ``name`` with one module of ``code`` and an entry point, in the folder ``site``."""
    module = module or f"module_of_{name.replace('-', '_').replace('.', '_').lower()}"
    site.mkdir(exist_ok=True)
    (site / f"{module}.py").write_text(code)
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[tlengine]\n{point or name.lower()} = {module}\n")


def tlengine(site: Path, *arguments: str | Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """The command line in a fresh interpreter that finds the distributions in ``site``."""
    path = os.pathsep.join([str(site), *_paths()])
    return subprocess.run(
        [sys.executable, "-m", "tlengine", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=240,
    )


def _paths() -> Iterator[str]:
    yield from filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
