"""Death and power cuts, for real: strace kills at every system call, ext4 is shut down under the writer.

An acknowledged row is there afterwards, a commit is there as a whole or not at all, and the next process
goes on without a repair step. The simulated disk of ``rust/core/tests/cache_crash_consistency.rs`` covers
torn and reordered writes a hundred thousand times; here the kernel is the judge.
"""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.requirements import require_root, require_tools
from tests.storms import DIM, RECIPE, ROWS, keys_of, kill_storm, power_cuts, rows_of, survey, writers
from tlengine.features.cache import EmbeddingCache

CHILD = """
    import os, sys
    import numpy as np
    sys.path.insert(0, {tests!r})
    from tests.storms import *
    cache = EmbeddingCache({path!r})
    table = cache.table(RECIPE, dim=DIM)
    for batch in range(3):
        keys = keys_of(0, batch)
        table.put(keys, rows_of(keys))
        table.flush()
        os.write(1, b"k")
    cache.close()
"""


def strace(path: Path, injection: str, log: Path) -> tuple[int, int]:
    """Run the child with an injected fault; how many batches it acknowledged, and how often it fired."""
    code = textwrap.dedent(CHILD.format(tests=str(Path(__file__).parents[1]), path=str(path)))
    calls = injection.partition(":")[0]
    tracer = ["strace", "-f", "-qq", "-o", str(log), "-e", f"trace={calls}", "-e", f"inject={injection}"]
    done = subprocess.run(
        [*tracer, sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=120,
    )
    text = log.read_text()
    return done.stdout.count(b"k"), text.count("(INJECTED)") + text.count("+++ killed by SIGKILL")


@pytest.mark.parametrize("call", ["pwrite64", "fdatasync", "fsync", "renameat2", "mkdirat", "fchmod"])
def test_killed_at_every_system_call(call: str, tmp_path: Path) -> None:
    require_tools("strace")
    kills = 0
    for when in range(1, 100):
        path = tmp_path / str(when)
        acked, fired = strace(path, f"{call}:signal=KILL:when={when}", tmp_path / "log")
        if not fired:
            assert acked == 3
            break
        kills += 1
        survey(path, {0: acked}).assert_sound()
    assert kills >= 1, "the injection never fired"


def test_kill_storm(tmp_path: Path) -> None:
    kills, left = kill_storm(tmp_path, seconds=10)
    assert kills.writers >= 10, "a busy machine kills fewer, but some"
    assert kills.maintained >= 1, "maintenance never came to its end"
    assert left.acknowledged > 100, "the writers did not get to write"
    left.assert_sound()


@pytest.mark.parametrize("longest", [0.0, 0.03], ids=["after an acknowledgement", "at any time"])
def test_power_cut(longest: float, tmp_path: Path) -> None:
    require_root()
    require_tools("mkfs.ext4", "mount", "umount")
    cuts, left = power_cuts(tmp_path, cycles=30, longest=longest)
    assert cuts == 30
    assert left.acknowledged >= cuts
    left.assert_sound()


def test_a_stopped_writer_stops_nobody(tmp_path: Path) -> None:
    with writers(tmp_path, iter(range(9)), 1) as running:
        writer = running[0]
        process, number = writer.process, writer.number
        assert writer.pipe.poll(30)
        os.kill(process.pid, signal.SIGSTOP)
        acked = writer.drain()
        with EmbeddingCache(tmp_path) as cache:
            table = cache.table(RECIPE, dim=DIM)
            assert table.get(keys_of(number, acked - 1))[1].all()
            keys = keys_of(99, 0)
            assert table.put(keys, rows_of(keys)) == ROWS
            table.flush()
            table.compact()  # leaves the stopped writer's segment alone
            assert table.get(keys_of(number, 0))[1].all()
        os.kill(process.pid, signal.SIGCONT)
        writer.pipe.poll(30)
    survey(tmp_path, {number: writer.drain()}).assert_sound()
