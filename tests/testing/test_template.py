"""The plugin to start from works as it is written, and the documentation shows it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tlengine
from tlengine.errors import InputError
from tlengine.testing import write_plugin
from tlengine.testing.template import TEMPLATES

DOCS = Path(__file__).resolve().parents[2] / "docs" / "plugins.md"


@pytest.mark.parametrize("kind", TEMPLATES)
def test_the_new_plugin_passes_its_own_tests(tmp_path: Path, kind: str) -> None:
    folder = write_plugin("my-net", tmp_path, kind)
    path = folder, Path(tlengine.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        cwd=folder,
        env={"PYTHONPATH": os.pathsep.join(map(str, path)), "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_the_documentation_shows_what_is_written(tmp_path: Path) -> None:
    folder = write_plugin("mynet", tmp_path)
    blocks = re.findall(
        r"^```(?:toml|python)\n# (\S+)\n(.*?)^```", DOCS.read_text(), re.MULTILINE | re.DOTALL
    )
    assert {name for name, _ in blocks} >= {"pyproject.toml", "tlengine_mynet.py"}
    for name, text in blocks:
        assert (folder / name).read_text() == text, name


@pytest.mark.parametrize("name", ["", "My-Net", "../up", "a b", "1net", "net-"])
def test_names_are_checked(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="plugin name"):
        write_plugin(name, tmp_path)


def test_kinds_are_checked(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no template for a 'metric'"):
        write_plugin("mynet", tmp_path, "metric")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    write_plugin("mynet", tmp_path)
    with pytest.raises(InputError, match="exists already"):
        write_plugin("mynet", tmp_path)
