"""A plugin to start from: one module, one test file, one pyproject."""

from __future__ import annotations

import keyword
import re
import sys
from pathlib import Path

from tlengine.errors import InputError
from tlengine.plugins import plugin_manager, registry
from tlengine.plugins.listing import names
from tlengine.plugins.offers import KINDS

__all__ = ["TEMPLATES", "write_plugin"]

_PYPROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "tlengine-{name}"
version = "0.1.0"
dependencies = ["tlengine"]

[project.entry-points.tlengine]
{name} = "{module}"

[tool.setuptools]
py-modules = ["{module}"]
"""

_MODULE = """\
import tlengine as tl
from tlengine.features import ImagePreprocess


def load(device):
    import torch

    torch.manual_seed(0)
    pool = torch.nn.AdaptiveAvgPool2d(4)
    network = torch.nn.Sequential(pool, torch.nn.Flatten(), torch.nn.Linear(48, 32))
    return network.eval().to(device)


@tl.hookimpl
def tlengine_backbones():
    yield tl.BackboneSpec(
        name="{name}",
        modality="image",
        embedding_dim=32,
        load=load,
        preprocess=ImagePreprocess(resize=64, crop=64),
        revision="1",
        licence="Apache-2.0",
        description="16 pooled cells, projected",
    )
"""

_TEST = """\
import pytest
from {module} import tlengine_backbones

from tlengine.testing import check_backbone


@pytest.mark.parametrize("spec", [*tlengine_backbones()], ids=lambda spec: spec.name)
def test_backbone_keeps_its_promises(spec):
    check_backbone(spec)
"""

_HEAD_MODULE = """\
import tlengine as tl


def build(dim, classes, *, hidden=64):
    from torch import nn

    return nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, classes))


@tl.hookimpl
def tlengine_heads():
    yield tl.HeadSpec(name="{name}", build=build, input="row", description="One hidden layer with ReLU")
"""

_HEAD_TEST = """\
import pytest
from {module} import tlengine_heads

from tlengine.testing import check_head


@pytest.mark.parametrize("spec", [*tlengine_heads()], ids=lambda spec: spec.name)
def test_head_keeps_its_promises(spec):
    check_head(spec)
"""

_PARTS = {"backbone": (_MODULE, _TEST), "head": (_HEAD_MODULE, _HEAD_TEST)}
TEMPLATES = tuple(_PARTS)
"""The kinds of plugins that :func:`write_plugin` knows to begin."""


def _check_free(name: str) -> None:
    """Refuses what would clash with a name of Python, of tlengine, or of a plugin that is installed."""
    word = name.replace("-", "_")
    if keyword.iskeyword(word) or keyword.issoftkeyword(word) or word in sys.stdlib_module_names:
        raise InputError(f"{name!r} is a name of Python's own", hint="choose another name")
    offered = {name: kind.noun for kind in KINDS for name in names(kind.noun)}
    plugins = {n for info in plugin_manager().infos for n in info.known_as}
    if name in offered or name in registry.RESERVED:
        raise InputError(
            f"there is a {offered.get(name, 'strategy')} named {name!r} already", hint="choose another name"
        )
    ours = {*registry.SHIPPED, *(known.plugin for known in registry.SHIPPED.values())}
    if {name, f"tlengine-{name}"} & (plugins | ours):
        raise InputError(f"there is a plugin named {name!r} already", hint="choose another name")


def write_plugin(name: str, into: Path, kind: str = "backbone") -> Path:
    """Write the plugin ``tlengine-<name>`` into a new folder of that name; return the folder.

    Args:
        name: of the plugin, and of what it brings.
        into: the parent folder.
        kind: ``"backbone"`` or ``"head"``.

    Raises:
        InputError: a name that is not lower-case letters, digits and ``-``; that Python, tlengine or an
            installed plugin has; or a folder that exists.

    >>> import tempfile
    >>> folder = write_plugin("mynet", Path(tempfile.mkdtemp()))
    >>> sorted(path.name for path in folder.iterdir())
    ['pyproject.toml', 'tests', 'tlengine_mynet.py']
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise InputError(
            f"plugin name {name!r}", hint="use lower-case letters, digits and '-', such as my-net"
        )
    if kind not in _PARTS:
        raise InputError(f"no template for a {kind!r}", hint=f"there are {', '.join(TEMPLATES)}")
    _check_free(name)
    folder = into / f"tlengine-{name}"
    if folder.exists():
        raise InputError(f"{folder} exists already", hint="choose another name, or --into another folder")
    words = {"name": name, "module": f"tlengine_{name.replace('-', '_')}"}
    module, test = _PARTS[kind]
    files = {"pyproject.toml": _PYPROJECT, "{module}.py": module, "tests/test_{module}.py": test}
    for path, text in files.items():
        target = folder / path.format(**words)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text.format(**words), encoding="utf-8")
    return folder
