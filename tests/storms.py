"""Writers that are killed, or whose disk loses power, and a survey of what is left."""

import contextlib
import fcntl
import multiprocessing
import os
import random
import struct
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from tlengine.features.cache import EmbeddingCache, blake3_hex

RECIPE = {"backbone": "crash"}
DIM = 24
ROWS = 8
ENDLESS = 10_000
EXT4_IOC_SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = struct.pack("I", 2)


def keys_of(writer: int, batch: int) -> np.ndarray:
    digests = [bytes.fromhex(blake3_hex([f"{writer} {batch} {row}".encode()])) for row in range(ROWS)]
    return np.frombuffer(b"".join(digests), np.uint8).reshape(ROWS, 32)


def rows_of(keys: np.ndarray) -> np.ndarray:
    """Self-checking: the row follows from its key."""
    return keys[:, :DIM].astype(np.float32) * 0.37 - 11


@dataclass
class Survey:
    """What is left after a storm."""

    acknowledged: int = 0
    lost: int = 0
    torn: int = 0
    wrong: int = 0
    leftovers: int = 0
    reopen_seconds: float = 0.0

    def assert_sound(self) -> None:
        """Every acknowledged batch is there, every other one wholly or not at all, and nothing is wrong."""
        assert (self.lost, self.torn, self.wrong, self.leftovers) == (0, 0, 0, 0), self


def survey(path: Path, acknowledged: dict[int, int]) -> Survey:
    """Opens the cache as the next process would and asks for every batch that may be there."""
    found = Survey(acknowledged=ROWS * sum(acknowledged.values()))
    began = time.monotonic()
    with EmbeddingCache(path, on_corrupt="raise") as cache:
        table = cache.table(RECIPE, dim=DIM)
        table.get(keys_of(0, 0))
        found.reopen_seconds = time.monotonic() - began
        for writer, acked in acknowledged.items():
            keys = np.concatenate([keys_of(writer, batch) for batch in range(acked + 3)])
            X, hit = table.get(keys)
            there = hit.reshape(-1, ROWS).sum(1)
            found.lost += int((ROWS - there[:acked]).sum())
            found.torn += int(np.isin(there, (0, ROWS), invert=True).sum())
            found.wrong += int((rows_of(keys) * hit[:, None] != X).any(1).sum())
    found.leftovers = len(list(path.rglob("tmp-*")))
    return found


def write(path: str, number: int, tell: Connection) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # how it dies is not the test's concern
    table = EmbeddingCache(path).table(RECIPE, dim=DIM)
    for batch in range(ENDLESS):
        keys = keys_of(number, batch)
        table.put(keys, rows_of(keys))
        table.flush()
        tell.send_bytes(struct.pack("I", batch + 1))


def start(path: Path, number: int) -> tuple:
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=write, args=(str(path), number, theirs), daemon=True)
    process.start()
    theirs.close()
    return process, number, ours


@contextlib.contextmanager
def writers(path: Path, numbers: Iterator[int], count: int) -> Iterator[list[tuple]]:
    """``count`` processes that write; each entry is (process, number, pipe)."""
    running: list[tuple] = []
    try:
        running += [start(path, next(numbers)) for _ in range(count)]
        yield running
    finally:
        for process, _, _ in running:
            process.kill()
            process.join()


def drain(pipe: Connection) -> int:
    """The last acknowledgement that arrived."""
    acked = 0
    with contextlib.suppress(EOFError, OSError):
        while pipe.poll():
            acked = struct.unpack("I", pipe.recv_bytes())[0]
    return acked


def kill_storm(path: Path, seconds: float) -> tuple[int, Survey]:
    """Eight writers, one of which is killed every 100 ms and replaced; how many died, and what is left."""
    seed = int.from_bytes(os.urandom(4), "little")
    print(f"seed of the kill storm: {seed}", flush=True)
    chance, numbers = random.Random(seed), iter(range(10**9))
    acknowledged: dict[int, int] = {}
    kills = 0
    with writers(path, numbers, 8) as running:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.1)
            process, number, pipe = running.pop(chance.randrange(len(running)))
            process.kill()
            process.join()
            kills += 1
            acknowledged[number] = drain(pipe)
            running.append(start(path, next(numbers)))
        for process, number, pipe in running:
            process.kill()
            process.join()
            acknowledged[number] = drain(pipe)
    return kills, survey(path, acknowledged)


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


def power_cuts(folder: Path, cycles: int, longest: float) -> tuple[int, Survey]:
    """Cuts under two writers, each up to ``longest`` seconds after an acknowledgement."""
    chance, numbers = random.Random(7), iter(range(10**9))
    acknowledged: dict[int, int] = {}
    cuts = 0
    with loop_mount(folder) as point:
        for _ in range(cycles):
            with writers(point / "cache", numbers, 2) as running:
                assert running[0][2].poll(30), "no acknowledgement in 30 s"
                time.sleep(chance.random() * longest)
                # What is acknowledged while ext4 shuts down does not count: it may report success for
                # a sync that it abandons, to plain files too.
                last = {number: drain(pipe) for _, number, pipe in running}
                power_cut(point)
                cuts += 1
            acknowledged |= last
            remount(folder)
            survey(point / "cache", last).assert_sound()
        return cuts, survey(point / "cache", acknowledged)
