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
