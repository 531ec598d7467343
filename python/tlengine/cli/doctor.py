"""``tlengine doctor``: everything a bug report needs."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tlengine.cli.common import echo, json_option, print_json
from tlengine.documents import installed_versions

__all__ = ["command"]

PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "scikit-learn",
    "pillow",
    "pluggy",
    "click",
    "transformers",
    "timm",
)


def examine() -> dict[str, Any]:
    """Versions, chip, devices, paths and plugins of this installation.

    What cannot be found out is ``{"error": why}``: an installation in need of a doctor is not whole.
    """
    import tlengine
    from tlengine import settings
    from tlengine.plugins import describe_offers, describe_plugins

    return {
        "tlengine": tlengine.__version__,
        "core": _tried(lambda: {"profile": tlengine.build_profile, **tlengine.cpu_info()}),
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "packages": installed_versions(PACKAGES),
        "devices": _tried(_devices),
        "threads": _tried(settings.num_threads),
        "cache": _tried(lambda: _place(settings.cache_root())),
        "environment": {
            name: os.environ[name] for name in sorted(os.environ) if name.startswith("TLENGINE_")
        },
        "plugins": _tried(describe_plugins),
        "offers": _tried(describe_offers),
    }


def _tried(find_out: Callable[[], Any]) -> Any:
    try:
        return find_out()
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}".replace("\n", "; ")}


def _place(root: Path) -> dict[str, Any]:
    """The cache's folder, or the folder that it would be made in."""
    existing = next(path for path in (root, *root.parents) if os.path.exists(path))
    return {
        "path": str(root),
        "free_bytes": shutil.disk_usage(existing).free,
        "writable": existing.is_dir() and os.access(existing, os.W_OK | os.X_OK),
    }


def _devices() -> list[str]:
    from tlengine.features import available_devices

    return available_devices()


@click.command()
@json_option
def command(as_json: bool) -> None:
    """Show versions, chip, devices, paths and plugins of this installation.

    \b
    tlengine doctor
    tlengine doctor --json > doctor.json
    """
    facts = examine()
    if as_json:
        print_json(facts)
        return
    for name, value in facts.items():
        _print(name, value)


def _print(name: str, value: Any, indent: str = "") -> None:
    if isinstance(value, dict):
        echo(f"{indent}{name}:")
        for key, item in value.items():
            _print(key, item, indent + "  ")
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        echo(f"{indent}{name}:")
        for item in value:
            echo(f"{indent}  " + "  ".join(f"{k}={v}" for k, v in item.items() if v not in (None, [], "")))
    else:
        shown = ", ".join(map(str, value)) if isinstance(value, list) else value
        echo(f"{indent}{name}: {'not installed' if shown is None else shown}")
