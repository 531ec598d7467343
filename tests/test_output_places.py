"""stdout and stderr in any encoding, closed, full, or read by a program that has gone."""

import json
import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tlengine.cli import COMMANDS

TL = f"{sys.executable} -m tlengine"
LABEL = "fr\u00fcit \u00b1\u2192\u2588\U0001f34e"


def shell(command: str, **environment: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        ["bash", "-c", command], env={**os.environ, **environment}, capture_output=True, timeout=240
    )


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of texts with labels that few encodings have, and a model of it."""
    folder = tmp_path_factory.mktemp("desk")
    rows = [f"word{i} {('saw axe', 'apple pear')[i % 2]},{('tool', LABEL)[i % 2]}" for i in range(60)]
    (folder / "t.csv").write_text("\n".join(["text,label", *rows]) + "\n", encoding="utf-8")
    options = "--backbone raw --strategies centroid --budgets 5 --seeds 1 --out out"
    done = shell(f"cd {folder} && {TL} compare t.csv {options}", TLENGINE_HOME=str(folder / "home"))
    assert done.returncode == 0, done.stderr
    return folder


ENCODINGS = [
    {"PYTHONIOENCODING": "cp1252"},
    {"PYTHONIOENCODING": "latin-1"},
    {"PYTHONIOENCODING": "ascii:strict"},
    {"PYTHONIOENCODING": "cp437"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
]


@pytest.mark.parametrize("environment", ENCODINGS, ids=lambda e: "-".join(e.values()))
def test_every_encoding_gets_all_of_the_output(desk: Path, environment: dict[str, str]) -> None:
    encoding = environment.get("PYTHONIOENCODING", "ascii").partition(":")[0]
    predict = f"{TL} predict out/model t.csv"
    done = shell(f"cd {desk} && {predict}", TLENGINE_HOME=str(desk / "home"), **environment)
    assert done.returncode == 0, done.stderr
    out = done.stdout.decode(encoding)
    assert len(out.splitlines()) == 61
    assert LABEL.encode(encoding, "backslashreplace").decode(encoding) in out
    done = shell(f"{TL} nowhere-\u2192-\u00e9", **environment)
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr
    assert "No such command" in done.stderr.decode(encoding)


@pytest.mark.parametrize("environment", [{}, ENCODINGS[0]], ids=lambda e: "-".join(e.values()))
def test_json_is_ascii(desk: Path, environment: dict[str, str]) -> None:
    done = shell(f"cd {desk} && {TL} predict out/model t.csv --json", **environment)
    assert done.returncode == 0, done.stderr
    assert LABEL in json.loads(done.stdout.decode("ascii"))["classes"]


@pytest.mark.parametrize("name", [None, *COMMANDS])
def test_help_is_ascii(name: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    """click takes an ASCII terminal for one that is set up wrong, and writes UTF-8 to it."""
    from tlengine.cli import main

    with pytest.raises(SystemExit):
        main([*([] if name is None else [name]), "--help"])
    assert capsys.readouterr().out.isascii()


PAGES = ["plugins", "plugins --json", "--help"]


@pytest.mark.parametrize("page", PAGES)
def test_a_full_stdout_is_one_line_and_a_failure(desk: Path, page: str) -> None:
    done = shell(f"cd {desk} && {TL} {page} >/dev/full")
    assert done.returncode == 1
    assert b"No space left" in done.stderr
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr


@pytest.mark.parametrize("page", PAGES)
def test_a_reader_that_has_gone_is_no_news(desk: Path, page: str) -> None:
    done = shell(f"cd {desk} && set -o pipefail; {TL} {page} | true")
    assert done.returncode == 1
    assert b"rror" not in done.stderr
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-", "2>/dev/full"])
def test_closed_streams_change_no_exit_code(desk: Path, closed: str) -> None:
    for words, code in ((PAGES[1], 0), ("plugins show nothing", 1), ("nonsense", 2)):
        done = shell(f"cd {desk} && {TL} {words} {closed}")
        assert done.returncode == code, (words, done.stderr)
        assert b"Traceback" not in done.stderr
        if code == 0 and ">&-" not in closed.replace("2>&-", ""):
            json.loads(done.stdout)


def test_nothing_is_printed_into_a_file_that_took_the_place_of_a_closed_stdout(tmp_path: Path) -> None:
    code = (
        "import os, sys\nfrom tlengine.cli.streams import prepare\nprepare()\n"
        f"file = os.open({str(tmp_path / 'rows')!r}, os.O_CREAT | os.O_WRONLY)\nassert file > 2\n"
        "print('lost')\nos.write(1, b'lost')\n"
    )
    done = shell(f'{sys.executable} -c "{code}" >&-')
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "rows").read_bytes() == b""


@pytest.mark.parametrize(
    ("environment", "bar"),
    [({}, True), ({"TQDM_DISABLE": "1"}, False), ({"TERM": "dumb", "COLUMNS": "60"}, True)],
)
def test_bars_on_a_terminal(desk: Path, environment: dict[str, str], bar: bool) -> None:
    """On a terminal there are bars, unless TQDM_DISABLE is set; NO_COLOR has nothing to take away."""
    without = {k: v for k, v in os.environ.items() if k not in ("TQDM_DISABLE", "COLUMNS")}
    master, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, int(environment.get("COLUMNS", "100"))))
    words = [sys.executable, "-m", "tlengine", "compare", "t.csv", "--backbone", "raw", "--budgets", "5"]
    child = subprocess.Popen(
        [*words, "--strategies", "centroid", "--seeds", "1"],
        cwd=desk,
        env={**without, "TLENGINE_HOME": str(desk / "home"), **environment},
        stdout=subprocess.DEVNULL,
        stderr=terminal,
    )
    os.close(terminal)
    shown = b""
    try:
        while part := os.read(master, 4096):
            shown += part
    except OSError:  # the terminal ends with its last process
        pass
    os.close(master)
    assert child.wait(120) == 0, shown
    assert (b"fit/s" in shown) == bar
    assert b"\x1b[3" not in shown  # no colours, with or without NO_COLOR
