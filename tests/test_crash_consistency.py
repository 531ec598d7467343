"""Death and power cuts, for real: strace kills at every system call, ext4 is shut down under the writer.

An acknowledged row is there afterwards, a commit is there as a whole or not at all, and the next process
goes on without a repair step. The simulated disk of ``rust/core/tests/cache_crash_consistency.rs`` covers
torn and reordered writes a hundred thousand times; here the kernel is the judge.
"""

import contextlib
import fcntl
import multiprocessing
import os
import random
import signal
import struct
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

from tests.requirements import require_root, require_tools
from tlengine.features.cache import EmbeddingCache, blake3_hex

RECIPE = {"backbone": "crash"}
DIM = 24
ROWS = 8
EXT4_IOC_SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = struct.pack("I", 2)


def keys_of(writer: int, batch: int) -> np.ndarray:
    digests = [bytes.fromhex(blake3_hex([f"{writer} {batch} {row}".encode()])) for row in range(ROWS)]
    return np.frombuffer(b"".join(digests), np.uint8).reshape(ROWS, 32)


def rows_of(keys: np.ndarray) -> np.ndarray:
    """Self-checking: the row follows from its key."""
    return keys[:, :DIM].astype(np.float32) * 0.37 - 11


def check(path: Path, acknowledged: dict[int, int], batches: int) -> int:
    """Every acknowledged batch is there, every other one wholly or not at all, and nothing is wrong."""
    found = 0
    with EmbeddingCache(path, on_corrupt="raise") as cache:
        table = cache.table(RECIPE, dim=DIM)
        for writer, acked in acknowledged.items():
            for batch in range(batches):
                keys = keys_of(writer, batch)
                X, hit = table.get(keys)
                assert hit.sum() in (0, ROWS), f"batch {batch} of writer {writer} is torn"
                assert hit.all() or batch >= acked, f"batch {batch} of writer {writer} was lost"
                assert (rows_of(keys) * hit[:, None] == X).all()
                found += int(hit.sum())
    assert not list(path.rglob("tmp-*"))
    return found


CHILD = """
    import os, sys
    import numpy as np
    sys.path.insert(0, {tests!r})
    from tests.test_crash_consistency import *
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
        check(path, {0: acked}, 3)
    assert kills >= 1, "the injection never fired"


def writer(path: str, number: int, tell: Connection, batches: int) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # how it dies is not the test's concern
    cache = EmbeddingCache(path)
    table = cache.table(RECIPE, dim=DIM)
    for batch in range(batches):
        keys = keys_of(number, batch)
        table.put(keys, rows_of(keys))
        table.flush()
        tell.send_bytes(struct.pack("I", batch + 1))


@contextlib.contextmanager
def writers(path: Path, numbers: Iterator[int], count: int, batches: int) -> Iterator[list[tuple]]:
    """``count`` processes that write; each entry is (process, number, pipe)."""
    context = multiprocessing.get_context("fork")
    running = []
    try:
        for _ in range(count):
            running.append(start(context, path, next(numbers), batches))
        yield running
    finally:
        for process, _, _ in running:
            process.kill()
            process.join()


def start(context: multiprocessing.context.ForkContext, path: Path, number: int, batches: int) -> tuple:
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=writer, args=(str(path), number, theirs, batches), daemon=True)
    process.start()
    theirs.close()
    return process, number, ours


def drain(pipe: Connection) -> int:
    """The last acknowledgement that arrived."""
    acked = 0
    with contextlib.suppress(EOFError, OSError):
        while pipe.poll():
            acked = struct.unpack("I", pipe.recv_bytes())[0]
    return acked


def test_kill_storm(tmp_path: Path) -> None:
    """Four writers, one of which is killed every 50 ms and replaced."""
    seconds, batches = float(os.environ.get("TLENGINE_STORM_SECONDS", "4")), 10_000
    seed = int.from_bytes(os.urandom(4), "little")
    print(f"seed {seed}")
    chance = random.Random(seed)
    numbers = iter(range(10**9))
    acknowledged: dict[int, int] = {}
    kills = 0
    with writers(tmp_path, numbers, 4, batches) as running:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.05)
            victim = running.pop(chance.randrange(len(running)))
            victim[0].kill()
            victim[0].join()
            kills += 1
            acknowledged[victim[1]] = drain(victim[2])
            running.append(start(multiprocessing.get_context("fork"), tmp_path, next(numbers), batches))
        for process, number, pipe in running:
            process.kill()
            process.join()
            acknowledged[number] = drain(pipe)
    assert kills >= 10
    assert sum(acknowledged.values()) > 10, "the writers did not get to write"
    began = time.monotonic()
    most = max(acknowledged.values())
    found = check(tmp_path, acknowledged, most + 2)
    assert found >= ROWS * sum(acknowledged.values())
    print(f"{kills} kills, {found} rows, checked in {time.monotonic() - began:.2f} s")


@contextlib.contextmanager
def loop_mount(folder: Path) -> Iterator[Path]:
    """An ext4 file system of its own."""
    image, point = folder / "image", folder / "mounted"
    point.mkdir()
    with image.open("wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(point)], check=True)
    try:
        yield point
    finally:
        subprocess.run(["umount", "-l", str(point)], check=True)


def remount(folder: Path) -> None:
    for attempt in range(50):  # a killed process lets go of its files a moment later
        if subprocess.run(["umount", str(folder / "mounted")], stderr=subprocess.DEVNULL).returncode == 0:
            break
        time.sleep(0.02 * attempt)
    subprocess.run(["mount", "-o", "loop", str(folder / "image"), str(folder / "mounted")], check=True)


def power_cut(point: Path) -> None:
    descriptor = os.open(point, os.O_RDONLY)
    try:
        fcntl.ioctl(descriptor, EXT4_IOC_SHUTDOWN, NO_LOG_FLUSH)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("moment", ["after an acknowledgement", "at any time"])
def test_power_cut(moment: str, tmp_path: Path) -> None:
    require_root()
    require_tools("mkfs.ext4", "mount", "umount")
    cycles = int(os.environ.get("TLENGINE_POWER_CUTS", "30"))
    chance = random.Random(7)
    numbers = iter(range(10**9))
    acknowledged: dict[int, int] = {}
    cuts = 0
    with loop_mount(tmp_path) as point:
        for _ in range(cycles):
            with writers(point / "cache", numbers, 2, 10_000) as running:
                assert running[0][2].poll(30), "no acknowledgement in 30 s"
                if moment == "at any time":
                    time.sleep(chance.random() * 0.03)
                # What is acknowledged while ext4 shuts down does not count: it may report success for
                # a sync that it abandons, to plain files too.
                last = {number: drain(pipe) for _, number, pipe in running}
                power_cut(point)
                cuts += 1
            acknowledged |= last
            remount(tmp_path)
            check(point / "cache", last, max(last.values()) + 3)
        assert cuts == cycles
        check(point / "cache", acknowledged, max(acknowledged.values()) + 2)
        assert sum(acknowledged.values()) >= cycles


def test_a_stopped_writer_stops_nobody(tmp_path: Path) -> None:
    with writers(tmp_path, iter(range(9)), 1, 100_000) as running:
        process, number, pipe = running[0]
        assert pipe.poll(30)
        os.kill(process.pid, signal.SIGSTOP)
        acked = drain(pipe)
        with EmbeddingCache(tmp_path) as cache:
            table = cache.table(RECIPE, dim=DIM)
            assert table.get(keys_of(number, acked - 1))[1].all()
            keys = keys_of(99, 0)
            assert table.put(keys, rows_of(keys)) == ROWS
            table.flush()
            table.compact()  # leaves the stopped writer's segment alone
            assert table.get(keys_of(number, 0))[1].all()
        os.kill(process.pid, signal.SIGCONT)
        pipe.poll(30)
    check(tmp_path, {number: drain(pipe)}, acked)
