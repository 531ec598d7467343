"""The plugin to start from works as it is written, and the documentation shows it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tlengine.errors import InputError
from tlengine.testing import write_plugin

DOCS = Path(__file__).resolve().parents[2] / "docs" / "plugins.md"


def test_the_new_plugin_passes_its_own_tests(tmp_path: Path) -> None:
    folder = write_plugin("my-net", tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "PATH": ""},
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


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    write_plugin("mynet", tmp_path)
    with pytest.raises(InputError, match="exists already"):
        write_plugin("mynet", tmp_path)
