"""Files that are whole or not there, and JSON's own types."""

import json
import os
import stat
import subprocess
import sys
import threading
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import IO

import numpy as np
import pytest

from tests.requirements import require_root, require_tools
from tlengine.documents import installed_versions, plain, replace_file, replace_text


def test_a_failure_leaves_the_old_file_and_no_draft(tmp_path: Path) -> None:
    path = replace_text(tmp_path / "run.json", "old")

    def half(file: IO[bytes]) -> None:
        file.write(b"ne")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replace_file(path, half)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["run.json"]


@pytest.mark.parametrize(("umask", "mode"), [(0o002, 0o664), (0o022, 0o644), (0o077, 0o600)])
def test_the_umask_decides_who_may_read(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        path = replace_text(tmp_path / "x", "text")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.parametrize("name", ["x" * 255, "-n", "a b\nc", "é", "e\u0301", os.fsdecode(b"caf\xe9.json")])
def test_names_of_all_kinds(tmp_path: Path, name: str) -> None:
    replace_text(tmp_path / name, "text")
    assert os.listdir(tmp_path) == [name]


def test_what_is_no_unicode_is_escaped(tmp_path: Path) -> None:
    path = replace_text(tmp_path / "x", os.fsdecode(b"caf\xe9 \xc3\xa9"))
    assert path.read_text(encoding="utf-8") == "caf\\udce9 é"


def test_devices_and_pipes_are_written_to_and_stay(tmp_path: Path) -> None:
    assert replace_text("/dev/null", "text") == Path("/dev/null")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    pipe, found = tmp_path / "pipe", list[str]()
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: found.append(pipe.read_text()))
    reader.start()
    replace_text(pipe, "text")
    reader.join(timeout=20)
    assert found == ["text"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
@pytest.mark.parametrize("kind", ["file", "pipe"])
def test_standard_output_by_its_name(tmp_path: Path, name: str, kind: str) -> None:
    code = f"from tlengine.documents import replace_text; replace_text({name!r}, 'text')"
    before = os.lstat("/dev/stdout")
    with (tmp_path / "out").open("w") as file:
        stdout = file if kind == "file" else subprocess.PIPE
        done = subprocess.run([sys.executable, "-c", code], stdout=stdout, text=True, check=True, timeout=60)
    assert (done.stdout if kind == "pipe" else (tmp_path / "out").read_text()) == "text"
    assert os.path.samestat(os.lstat("/dev/stdout"), before)
    assert os.listdir(tmp_path) == ["out"]


def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    link = tmp_path / "latest.csv"
    link.symlink_to("there/x.csv")
    assert replace_text(link, "one") == link
    assert replace_text(link, "two") == link
    assert link.is_symlink()
    assert (tmp_path / "there" / "x.csv").read_text() == "two"
    assert os.listdir(tmp_path / "there") == ["x.csv"]


def test_a_file_that_is_a_mount_of_its_own_is_written_over(tmp_path: Path) -> None:
    require_root()
    require_tools("mount", "umount")
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_text("a longer old text")
    target.touch()
    subprocess.run(["mount", "--bind", source, target], check=True)
    try:
        replace_text(target, "new")
        assert target.read_text() == source.read_text() == "new"
    finally:
        subprocess.run(["umount", target], check=True)
    assert sorted(os.listdir(tmp_path)) == ["source", "target"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        (np.arange(3), [0, 1, 2]),
        (np.array([[1.0, np.nan]]), [[1.0, None]]),
        ({"a": (1, {2})}, {"a": [1, [2]]}),
        (MappingProxyType({1: frozenset()}), {"1": []}),
        (float("-inf"), None),
        (date(2026, 1, 2), "2026-01-02"),
        (np.str_("a"), "a"),
        (10**30, 10**30),
        (None, None),
    ],
)
def test_plain(value: object, expected: object) -> None:
    assert plain(value) == expected
    assert json.loads(json.dumps(plain(value), allow_nan=False)) == expected


def test_versions() -> None:
    found = installed_versions(["numpy", "no-such-package"])
    assert found == {"numpy": np.__version__, "no-such-package": None}
