"""A training that is killed at any moment goes on where it stopped, to the same bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.finetuning.networks import assert_equal

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("preset", "kills"), [("finetune", 12), ("scratch", 8)])
def test_killed_at_random_times_and_inside_saves(preset: str, kills: int, tmp_path: Path) -> None:
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TLENGINE_NUM_THREADS"), "1")
    env = {**os.environ, **threads, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-m", "tests.finetuning.killed", preset, str(kills), str(tmp_path)],
        capture_output=True, text=True, env=env, cwd=ROOT, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    goes = json.loads(done.stdout)
    assert sum(len(steps) - 1 for steps in goes) >= kills // 2, "the blows fell into the training"
    assert all(steps == sorted(steps) for steps in goes), "no step is lost"
    assert max(map(max, goes)) > 0
    assert_equal(load_file(tmp_path / "cut.safetensors"), load_file(tmp_path / "whole.safetensors"))
    assert (tmp_path / "cut.json").read_text() == (tmp_path / "whole.json").read_text()
    (folder,) = (tmp_path / "cut").iterdir()
    assert [path.name for path in folder.iterdir()] == ["metrics.jsonl"], "no draft, no checkpoint is left"
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, len(lines) + 1))
    (whole,) = (tmp_path / "whole").iterdir()
    assert (folder / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
