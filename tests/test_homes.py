"""Users without a home, a name or a place to write: it works, or one line says what to set."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.requirements import require_root, require_tools
from tlengine import settings
from tlengine.errors import InputError

NOBODY = 12_345
"""A user that no list of users has, as in containers of clusters."""


def as_nobody(*arguments: str | Path, folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """The command line as a user without a name, who may read everything and write nothing of ours."""
    require_root()
    require_tools("setpriv")
    kept = {k: os.environ[k] for k in ("PATH", "PYTHONPATH", "HF_HUB_OFFLINE") if k in os.environ}
    user = ["--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"]
    rights = ["--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"]
    return subprocess.run(
        ["setpriv", *user, *rights, sys.executable, "-m", "tlengine", *map(str, arguments)],
        cwd=folder,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.fixture
def table() -> Iterator[Path]:
    """A table that everybody may read, unlike what is in pytest's folders, beside places to write or not."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "t.csv").write_text("text\na film\na book\n")
        (folder / "file").touch()
        (folder / "open").mkdir()
        (folder / "open").chmod(0o777)
        (folder / "shut").mkdir()
        yield folder / "t.csv"


@pytest.mark.parametrize(
    ("environment", "kept"),
    [
        ({}, False),
        ({"HOME": "relative"}, False),
        ({"TLENGINE_HOME": "~/cache"}, False),
        ({"HOME": "{here}/file"}, False),
        ({"HOME": "/"}, False),
        ({"TLENGINE_HOME": "{here}/shut/deeper"}, False),
        ({"TLENGINE_HOME": "{here}/open"}, True),
    ],
    ids=str,
)
def test_a_user_without_a_name_is_served(table: Path, environment: dict[str, str], kept: bool) -> None:
    """Embeddings that cannot be kept are computed all the same; one line says why they are not kept."""
    here = {name: value.format(here=table.parent) for name, value in environment.items()}
    done = as_nobody("extract", table, "--backbone", "raw", folder=table.parent, **here)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("not kept") == (not kept)


def test_doctor_and_plugins_need_no_home(table: Path) -> None:
    for page in ("doctor", "plugins", "--help"):
        done = as_nobody(page, folder=table.parent)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("home", ["", "relative", "~"])
def test_a_home_that_is_none_is_looked_up(monkeypatch: pytest.MonkeyPatch, home: str) -> None:
    import pwd

    for name in ("TLENGINE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", home)
    assert settings.cache_root() == Path(pwd.getpwuid(os.getuid()).pw_dir) / ".cache" / "tlengine"


@pytest.mark.parametrize(
    ("value", "root"), [("~/x", "/h/x"), ("~", "/h"), (" /a/b ", "/a/b"), ("", "/h/.cache/tlengine")]
)
def test_tlengine_home_as_people_write_it(monkeypatch: pytest.MonkeyPatch, value: str, root: str) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/h")
    monkeypatch.setenv("TLENGINE_HOME", value)
    assert settings.cache_root() == Path(root)


def test_a_relative_home_of_ours_is_of_the_folder_it_was_read_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TLENGINE_HOME", "cache")
    assert settings.cache_root() == tmp_path / "cache"


@pytest.mark.parametrize("base", ["relative", "./x", "~/x", ""])
def test_a_relative_xdg_cache_home_is_ignored(monkeypatch: pytest.MonkeyPatch, base: str) -> None:
    monkeypatch.delenv("TLENGINE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/h")
    monkeypatch.setenv("XDG_CACHE_HOME", base)
    assert settings.cache_root() == Path("/h/.cache/tlengine")


@pytest.mark.parametrize("name", ["~$draft.csv", "~no-such-user-at-all/x", "a~b"])
def test_names_that_begin_with_a_tilde_are_names(name: str) -> None:
    assert settings.expand_home(name) == Path(name)


def test_a_tilde_without_a_home_is_an_error_with_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "")
    monkeypatch.setattr("os.getuid", lambda: NOBODY)
    with pytest.raises(InputError, match="user 12345") as caught:
        settings.expand_home("~/photos")
    assert caught.value.hint
