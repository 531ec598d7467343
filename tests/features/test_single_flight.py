"""Processes that extract the same data at once compute each row once; nobody waits for the dead."""

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from tlengine.features.cache import EmbeddingCache
from tlengine.features.cache.claims import Claim

SCRIPT = """
    import json, sys, time
    from torch import nn
    import torch
    import tlengine as tl

    class Slow(nn.Module):
        def forward(self, x):
            time.sleep(0.05)
            print("batch", file=sys.stderr, flush=True)
            return x.flatten(1)[:, :4] + 1

    def preprocess(text):
        return torch.full((4,), float(len(text)))

    bb = tl.Backbone(Slow(), preprocess=preprocess, modality="text", name="slow", preprocess_name="length-1")
    ds = tl.load_dataset([f"text {row} " + "x" * (row % 7) for row in range(120)])
    feats = tl.extract(ds, bb, cache=tl.EmbeddingCache(sys.argv[1]), batch_size=6, progress=False)
    print(json.dumps([feats.stats.embedded, feats.X.tolist()]))
"""


def start(cache: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), str(cache)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_four_processes_compute_each_row_once(tmp_path: Path) -> None:
    workers = [start(tmp_path) for _ in range(4)]
    outputs = [worker.communicate(timeout=120) for worker in workers]
    assert all(worker.returncode == 0 for worker in workers), outputs
    results = [json.loads(output) for output, _ in outputs]
    assert sum(embedded for embedded, _ in results) <= 1.05 * 120
    assert all(results[0][1] == X for _, X in results)


def test_a_killed_process_is_taken_over(tmp_path: Path) -> None:
    first = start(tmp_path)
    assert first.stderr is not None
    for _ in range(4):
        assert first.stderr.readline() == "batch\n"
    second = start(tmp_path)
    time.sleep(0.1)
    first.kill()
    first.communicate()
    output, errors = second.communicate(timeout=120)
    assert second.returncode == 0, errors
    assert json.loads(output)[0] <= 120 - 3 * 6  # what was committed is not computed again


def test_a_claim_is_held_by_one_and_freed_by_the_kernel(tmp_path: Path) -> None:
    one, two, other = (Claim(tmp_path, digest * 32) for digest in (b"a", b"a", b"b"))
    assert one.take()
    assert one.take()
    assert not two.take()
    assert other.take()
    one.release()
    assert two.take()
    child = os.fork()
    if child == 0:
        os._exit(0 if Claim(tmp_path, b"c" * 32).take() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert Claim(tmp_path, b"c" * 32).take()
    for claim in (two, other):
        claim.release()


def test_where_nothing_can_be_locked_everybody_may_compute(tmp_path: Path) -> None:
    assert Claim(tmp_path / "nowhere", b"a" * 32).take()
    table = EmbeddingCache(tmp_path / "none", read_only=True).table({"a": 1}, dim=2)
    assert table.claim(np.zeros((1, 32), np.uint8)).take()


@pytest.mark.parametrize("rows", [0, 1, 50])
def test_claims_differ_by_what_is_to_be_computed(rows: int, tmp_path: Path) -> None:
    table = EmbeddingCache(tmp_path).table({"a": 1}, dim=2)
    keys = np.arange(rows * 32, dtype=np.uint32).astype(np.uint8).reshape(rows, 32)
    one, two = table.claim(keys), table.claim(np.concatenate([keys, np.full((1, 32), 9, np.uint8)]))
    assert one.take()
    assert two.take()
    one.release()
    two.release()
