"""The frame of the command line: help, versions, exit codes, one line for an error."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import tlengine
from tlengine.cli import COMMANDS, main


def _run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(name, "--help") == 0
    out = capsys.readouterr().out
    assert f"tlengine {name}" in out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("--version") == 0
    assert tlengine.__version__ in capsys.readouterr().out


def test_unknown_command_suggests_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("comapre") == 2
    assert "Did you mean 'compare'?" in capsys.readouterr().err


def test_user_errors_are_one_line_and_a_hint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("extract", str(tmp_path / "nowhere")) == 1
    err = capsys.readouterr().err.strip().splitlines()
    assert err[-2].startswith("error: ")
    assert "nowhere" in err[-2]
    assert err[-1].startswith("hint: ")


def test_doctor_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("doctor", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["tlengine"] == tlengine.__version__
    assert facts["packages"]["torch"]
    assert "cpu" in facts["devices"]
    assert any(plugin["name"] == "builtin" for plugin in facts["plugins"])


def test_doctor_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("doctor") == 0
    assert "builtin" in capsys.readouterr().out


def test_ctrl_c_ends_with_130() -> None:
    script = (
        "import click, os, signal\nfrom tlengine.cli import cli, main\n"
        "interrupt = lambda: os.kill(os.getpid(), signal.SIGINT)\n"
        "cli.add_command(click.Command('wait', callback=interrupt))\nmain(['wait'])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 130
    assert "Traceback" not in done.stderr
    assert "interrupted" in done.stderr


def test_module_entry_point() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tlengine", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ,
    )
    assert done.returncode == 0
    assert all(name in done.stdout for name in COMMANDS)
