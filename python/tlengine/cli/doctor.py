"""``tlengine doctor``: everything a bug report needs."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from importlib import metadata
from typing import Any

import click

from tlengine.cli.common import json_option, print_json

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
    """Versions, chip, devices, paths and plugins of this installation."""
    import tlengine
    from tlengine import settings
    from tlengine.plugins import describe_plugins

    root = settings.cache_root()
    existing = next(p for p in (root, *root.parents) if p.exists())
    return {
        "tlengine": tlengine.__version__,
        "core": {"profile": tlengine.build_profile, **tlengine.cpu_info()},
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        "devices": _devices(),
        "threads": settings.num_threads(),
        "cache": {
            "path": str(root),
            "free_bytes": shutil.disk_usage(existing).free,
            "writable": os.access(existing, os.W_OK),
        },
        "plugins": describe_plugins(),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


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
        click.echo(f"{indent}{name}:")
        for key, item in value.items():
            _print(key, item, indent + "  ")
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        click.echo(f"{indent}{name}:")
        for item in value:
            click.echo(
                f"{indent}  " + "  ".join(f"{k}={v}" for k, v in item.items() if v not in (None, [], ""))
            )
    else:
        shown = ", ".join(map(str, value)) if isinstance(value, list) else value
        click.echo(f"{indent}{name}: {'not installed' if shown is None else shown}")
