"""Writers that are killed, or whose disk loses power, and a survey of what is left."""

import contextlib
import fcntl
import math
import multiprocessing
import os
import random
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np

from tlengine.errors import TlengineError
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
        everybody = list(acknowledged.items())
        for first in range(0, len(everybody), 200):
            some = everybody[first : first + 200]
            batches = [(writer, batch, batch < acked) for writer, acked in some for batch in range(acked + 3)]
            keys = np.concatenate([keys_of(writer, batch) for writer, batch, _ in batches])
            told = np.array([is_told for *_, is_told in batches])
            X, hit = table.get(keys)
            there = hit.reshape(-1, ROWS).sum(1)
            found.lost += int((ROWS - there[told]).sum())
            found.torn += int(np.isin(there, (0, ROWS), invert=True).sum())
            found.wrong += int((rows_of(keys) * hit[:, None] != X).any(1).sum())
    found.leftovers = len(list(path.rglob("tmp-*")))
    return found


def write(path: str, number: int, tell: Connection) -> None:
    table = EmbeddingCache(path).table(RECIPE, dim=DIM)
    for batch in range(ENDLESS):
        keys = keys_of(number, batch)
        table.put(keys, rows_of(keys))
        table.flush()
        tell.send(batch + 1)


def maintain(path: str, _number: int, tell: Connection) -> None:
    """Leftovers go, segments are merged, damage is repaired, without end."""
    for done in range(ENDLESS):
        with EmbeddingCache(path) as cache:
            cache.gc()
            cache.table(RECIPE, dim=DIM).compact()
            cache.repair()
        tell.send(done + 1)
        time.sleep(0.05)


Work = Callable[[str, int, Connection], None]


def live(work: Work, path: str, number: int, tell: Connection) -> None:
    """A life that only a signal ends: an error would be a fault of the cache, so it is told."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    os.nice(5)  # whoever kills goes first
    try:
        work(path, number, tell)
    except (TlengineError, OSError) as error:
        tell.send(f"{work.__name__}: {error}")
        time.sleep(3600)


@dataclass
class Running:
    """A process, and what it said last."""

    process: BaseProcess
    number: int
    pipe: Connection
    said: int = 0

    def drain(self) -> int:
        """The last acknowledgement that arrived."""
        with contextlib.suppress(EOFError, OSError):
            while self.pipe.poll():
                told = self.pipe.recv()
                if isinstance(told, str):
                    raise AssertionError(told)
                self.said = told
        return self.said

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        self.process.kill()
        self.process.join()


def start(path: Path, number: int, work: Work = write) -> Running:
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=live, args=(work, str(path), number, theirs), daemon=True)
    process.start()
    theirs.close()
    return Running(process, number, ours)


@contextlib.contextmanager
def writers(path: Path, numbers: Iterator[int], count: int) -> Iterator[list[Running]]:
    """``count`` processes that write."""
    running: list[Running] = []
    try:
        running += [start(path, next(numbers)) for _ in range(count)]
        yield running
    finally:
        for one in running:
            one.kill()


@dataclass
class Kills:
    """How many processes died, and how often maintenance came to its end."""

    writers: int = 0
    maintainers: int = 0
    maintained: int = 0

    @property
    def total(self) -> int:
        """Of both kinds."""
        return self.writers + self.maintainers


def kill_storm(path: Path, seconds: float, goal: int = 10**9) -> tuple[Kills, Survey]:
    """Writers and a maintainer, one of which is killed each few milliseconds and replaced.

    Ends after ``seconds``, or ``goal`` kills.
    """
    seed = int.from_bytes(os.urandom(4), "little")
    print(f"seed of the kill storm: {seed}", flush=True)
    chance, numbers = random.Random(seed), iter(range(10**9))
    acknowledged: dict[int, int] = {}
    kills = Kills()
    with writers(path, numbers, 6) as running:
        running.append(start(path, -1, maintain))
        end = time.monotonic() + seconds
        while time.monotonic() < end and kills.total < goal:
            time.sleep(chance.random() * 0.04)
            # The maintainer, which is the last one, is let finish most of the time.
            victim = -1 if chance.random() < 0.04 else chance.randrange(len(running) - 1)
            one = running[victim]
            one.kill()
            if victim == -1:
                kills.maintainers += 1
                kills.maintained += one.drain()
                running[-1] = start(path, -1, maintain)
            else:
                kills.writers += 1
                acknowledged[one.number] = one.drain()
                running[victim] = start(path, next(numbers))
        for one in running:
            one.kill()
            if one.number < 0:
                kills.maintained += one.drain()
            else:
                acknowledged[one.number] = one.drain()
    with EmbeddingCache(path) as cache:
        cache.gc()
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


def power_cuts(folder: Path, cycles: int, longest: float, seconds: float = math.inf) -> tuple[int, Survey]:
    """``cycles`` cuts, or as many as ``seconds`` allow, under two writers and a maintainer.

    Each comes up to ``longest`` seconds after an acknowledgement.
    """
    chance, numbers = random.Random(7), iter(range(10**9))
    acknowledged: dict[int, int] = {}
    cuts, end = 0, time.monotonic() + seconds
    with loop_mount(folder) as point:
        while cuts < cycles and time.monotonic() < end:
            with writers(point / "cache", numbers, 2) as running:
                running.append(start(point / "cache", -1, maintain))
                assert running[0].pipe.poll(30), "no acknowledgement in 30 s"
                time.sleep(chance.random() * longest)
                # What is acknowledged while ext4 shuts down does not count: it may report success for
                # a sync that it abandons, to plain files too.
                last = {one.number: one.drain() for one in running if one.number >= 0}
                power_cut(point)
                cuts += 1
            acknowledged |= last
            remount(folder)
            survey(point / "cache", last).assert_sound()
        return cuts, survey(point / "cache", acknowledged)
