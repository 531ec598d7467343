"""Paths and environment variables."""

from pathlib import Path

import pytest

from tlengine import settings
from tlengine.errors import InputError


def test_cache_root_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TLENGINE_HOME", "/a")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    assert settings.cache_root() == Path("/a")
    monkeypatch.delenv("TLENGINE_HOME")
    assert settings.cache_root() == Path("/b/tlengine")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/c")
    assert settings.cache_root() == Path("/c/.cache/tlengine")


@pytest.mark.parametrize(
    ("text", "truth"), [("1", True), ("ON", True), ("yes", True), ("0", False), ("", False)]
)
def test_flag(monkeypatch: pytest.MonkeyPatch, text: str, truth: bool) -> None:
    monkeypatch.setenv("TLENGINE_SOMETHING", text)
    assert settings.flag("TLENGINE_SOMETHING") is truth


def test_num_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TLENGINE_NUM_THREADS", raising=False)
    cores = settings.num_threads()
    assert cores >= 1
    assert settings.num_threads(-1) == cores
    monkeypatch.setenv("TLENGINE_NUM_THREADS", "7")
    assert settings.num_threads() == 7
    assert settings.num_threads(2) == 2


@pytest.mark.parametrize("text", ["0", "many", "1.5"])
def test_num_threads_refuses(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("TLENGINE_NUM_THREADS", text)
    with pytest.raises(InputError, match=r"threads|whole number") as caught:
        settings.num_threads()
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "says"),
    [("2.5", "2.5"), ("0", "is 0"), ("1000000", "1000000, at most"), ("9" * 6000, "999"), ("two", "two")],
)
def test_a_thread_count_that_cannot_be_is_refused_with_value_and_way_out(
    monkeypatch: pytest.MonkeyPatch, text: str, says: str
) -> None:
    monkeypatch.setenv("TLENGINE_NUM_THREADS", text)
    with pytest.raises(InputError, match="TLENGINE_NUM_THREADS") as caught:
        settings.num_threads()
    assert says in caught.value.message
    assert len(caught.value.message) < 150
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "threads"), [("  4 ", 4), ("+3", 3), ("1024", 1024), ("", None), (" ", None)]
)
def test_thread_counts_as_people_write_them(
    monkeypatch: pytest.MonkeyPatch, text: str, threads: int | None
) -> None:
    monkeypatch.delenv("TLENGINE_NUM_THREADS", raising=False)
    cores = settings.num_threads()
    monkeypatch.setenv("TLENGINE_NUM_THREADS", text)
    assert settings.num_threads() == (threads or cores)
    monkeypatch.setenv("TLENGINE_NUM_THREADS", "-1")
    assert settings.num_threads() == cores
    monkeypatch.setenv("TLENGINE_NUM_THREADS", "-999")
    assert settings.num_threads() == 1


@pytest.mark.parametrize("jobs", [1.5, "2", 10**400])
def test_n_jobs_that_is_no_whole_number_is_refused(jobs: object) -> None:
    with pytest.raises(InputError, match="the number of threads is"):
        settings.num_threads(jobs)  # type: ignore[arg-type]


def test_a_thread_limit_ends_with_its_block_and_yields_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TLENGINE_NUM_THREADS", "3")
    with settings.thread_limit(2):
        assert (settings.num_threads(), settings.num_threads(5)) == (2, 5)
        with settings.thread_limit(None):
            assert settings.num_threads() == 2
    assert settings.num_threads() == 3


def test_num_threads_of_a_command_leaves_the_environment_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import os

    from tlengine.cli import main

    monkeypatch.delenv("TLENGINE_NUM_THREADS", raising=False)
    (tmp_path / "t.csv").write_text("text\na\nb\n")
    with pytest.raises(SystemExit) as ended:
        main(["extract", str(tmp_path / "t.csv"), "--backbone", "raw", "--num-threads", "1"])
    assert not ended.value.code
    assert "TLENGINE_NUM_THREADS" not in os.environ


@pytest.mark.parametrize(("value", "hidden"), [("1", True), ("true", True), ("0", None), ("", None)])
def test_tqdm_disable_is_obeyed(monkeypatch: pytest.MonkeyPatch, value: str, hidden: bool | None) -> None:
    monkeypatch.setenv("TQDM_DISABLE", value)
    assert settings.hidden_bar(True) is hidden
    assert settings.hidden_bar(False) is True
