"""The instruction set in use, and that one can be forced."""

import os
import subprocess
import sys

import pytest

import tlengine as tl

PROGRAM = """
import numpy as np, tlengine as tl
rng = np.random.default_rng(0)
X, Q = rng.standard_normal((3000, 37)).astype("f4"), rng.standard_normal((150, 37)).astype("f4")
print(tl.cpu_info()["isa"])
for precision in ("float32", "bfloat16", "int8"):
    ids, scores = tl.nearest(Q, X, k=9, precision=precision)
    print(hash(ids.tobytes()), hash(scores.tobytes()))
"""


def run(isa):
    environment = {**os.environ, "TLENGINE_ISA": isa, "PYTHONHASHSEED": "0"}
    command = [sys.executable, "-c", PROGRAM]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_every_instruction_set_gives_the_same_bits():
    results = {}
    for isa in tl.cpu_info()["available"]:
        outcome = run(isa)
        assert outcome.returncode == 0, outcome.stderr
        name, *hashes = outcome.stdout.split("\n")
        assert name == isa
        results[isa] = hashes
    assert len({tuple(hashes) for hashes in results.values()}) == 1


def test_an_unknown_instruction_set_is_an_error():
    outcome = run("mmx")
    assert outcome.returncode == 1
    assert "TLENGINE_ISA=mmx is not available here; this machine has scalar" in outcome.stderr


def test_defaults(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TLENGINE_NUM_THREADS", "3")
    info = tl.cpu_info()
    assert info["threads"] == 3
    assert info["isa"] in info["available"]
    assert info["model"]
