"""``kill -9`` in the middle of ``extract``: committed rows are not embedded again, the result is equal."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tlengine.features import EmbeddingCache

ROWS = 96


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    import conformal_clip_data

    source = Path(conformal_clip_data.textile_simulated_root()) / "nominal"
    folder = tmp_path / "photos"
    folder.mkdir()
    for file in sorted(source.glob("*.jpg"))[:ROWS]:
        shutil.copy(file, folder)
    return folder


def _start(photos: Path, home: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tlengine", "extract", str(photos), "--batch-size", "8", "--json"]
    command += ["--backbone", "efficientnet-lite0", "--out", str(home) + ".npz"]
    environment = {**os.environ, "TLENGINE_HOME": str(home)}
    return subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _finish(photos: Path, home: Path) -> dict[str, Any]:
    process = _start(photos, home)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    document: dict[str, Any] = json.loads(out)
    return document


def _committed(home: Path) -> int:
    if not (home / "embeddings").is_dir():
        return 0
    with EmbeddingCache(home / "embeddings", read_only=True) as cache:
        return sum(table.rows for table in cache.tables())


def _kill_after(rows: int, process: "subprocess.Popen[str]", home: Path) -> int:
    """Kills the process and its workers once ``rows`` are committed; returns how many were."""
    deadline = time.monotonic() + 240
    while _committed(home) < rows:
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline, "no row was committed"
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    return _committed(home)


@pytest.mark.timeout(600)
def test_resumes_where_it_was_killed(photos: Path, tmp_path: Path) -> None:
    home = tmp_path / "killed"
    first = _kill_after(16, _start(photos, home), home)
    second = _kill_after(first + 16, _start(photos, home), home)
    resumed = _finish(photos, home)
    assert 0 < first < second < ROWS, "the kills came too late to prove anything"
    assert (resumed["rows"], resumed["cached"], resumed["embedded"]) == (ROWS, second, ROWS - second)
    again = _finish(photos, home)
    assert (again["cached"], again["embedded"]) == (ROWS, 0)

    _finish(photos, tmp_path / "whole")
    with np.load(tmp_path / "killed.npz") as killed, np.load(tmp_path / "whole.npz") as whole:
        assert np.array_equal(killed["ids"], whole["ids"])
        assert np.array_equal(killed["X"], whole["X"])
