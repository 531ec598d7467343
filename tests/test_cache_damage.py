"""Damaged files as Python sees them: an error or a missing row, never another vector."""

import os
import signal
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest

from tests.cache_faults import DIM, holds, keys_of, python, rows_of, sealed, store, table_in
from tlengine.errors import CacheCorruptionError, CacheCorruptionWarning
from tlengine.features.cache import EmbeddingCache


def damage(path: Path, pattern: str, at: int, bit: int = 1) -> None:
    file = next(path.rglob(pattern))
    file.chmod(0o644)
    content = bytearray(file.read_bytes())
    content[at] ^= bit
    file.write_bytes(content)


def test_a_damaged_row_is_recomputed_alone(tmp_path: Path) -> None:
    keys = sealed(tmp_path)
    damage(tmp_path, "*.rows", 4096 + 7 * DIM * 4 + 13)
    table = table_in(tmp_path)
    with pytest.warns(CacheCorruptionWarning, match="row 7 is not what was written"):
        X, hit = table.get(keys)
    assert np.flatnonzero(~hit).tolist() == [7]
    assert not X[7].any()
    assert table.put(keys, rows_of(keys)) == 1
    table.flush()
    assert table.get(keys)[1].all()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CacheCorruptionWarning)
        np.testing.assert_array_equal(table_in(tmp_path).get(keys)[0], rows_of(keys))


def test_damage_can_be_an_error(tmp_path: Path) -> None:
    keys = sealed(tmp_path)
    damage(tmp_path, "*.rows", 5000)
    table = table_in(tmp_path, on_corrupt="raise")
    with pytest.raises(CacheCorruptionError, match=r"\.rows: row 0 is not what was written"):
        table.get(keys)
    with pytest.raises(CacheCorruptionError, match="row 0"):
        table.view()
    assert table.view(check=False).shape == (20, DIM)


def test_a_garbage_segment_is_quarantined_and_its_rows_recomputed(tmp_path: Path) -> None:
    keys = sealed(tmp_path)
    log = next(tmp_path.rglob("*.log"))
    log.chmod(0o644)
    log.write_bytes(os.urandom(log.stat().st_size))
    table = table_in(tmp_path)
    with pytest.warns(CacheCorruptionWarning, match="nothing in it is readable; it is left out"):
        assert not table.get(keys)[1].any()
    assert len(list(tmp_path.rglob("*.bad"))) == 2
    store(table, keys)
    assert holds(tmp_path, keys)


def test_every_byte_of_a_small_cache(tmp_path: Path) -> None:
    """One flipped bit in each byte: never another vector. The Rust tests flip every bit of every byte."""
    recipe, dim = {"tiny": 1}, 2
    keys = keys_of(3)
    X = keys[:, :2].astype("f4")
    with EmbeddingCache(tmp_path / "cache") as cache:
        cache.table(recipe, dim=dim).put(keys, X)
    warnings.simplefilter("ignore", CacheCorruptionWarning)
    flips = 0
    for file in sorted((tmp_path / "cache").rglob("*.*")) + sorted((tmp_path / "cache").rglob("table")):
        pristine = file.read_bytes()
        step = 97 if file.suffix == ".rows" else 1
        for at in [*range(0, len(pristine), step), *range(4090, len(pristine))]:
            content = bytearray(pristine)
            content[at] ^= 1 << (at % 8)
            file.unlink(missing_ok=True)
            file.write_bytes(content)
            got, hit = EmbeddingCache(tmp_path / "cache", read_only=True).table(recipe, dim=dim).get(keys)
            assert (got == X * hit[:, None]).all()
            flips += 1
        file.unlink()
        file.write_bytes(pristine)
    assert flips > 500


@pytest.mark.parametrize("opened", ["once", "each time"])
def test_truncation_while_reading_is_an_error_never_a_signal(opened: str, tmp_path: Path) -> None:
    keys = sealed(tmp_path / "cache", 200)
    rows = next((tmp_path / "cache").rglob("*.rows"))
    rows.chmod(0o644)
    content = rows.read_bytes()
    stop = threading.Event()

    def cut_and_restore() -> None:
        chance = np.random.default_rng(0)
        while not stop.is_set():
            with rows.open("r+b") as file:
                file.truncate(int(chance.integers(0, len(content))))
            with rows.open("r+b") as file:
                file.write(content)

    thread = threading.Thread(target=cut_and_restore)
    table = table_in(tmp_path / "cache", read_only=True)
    assert table.get(keys)[1].all()
    thread.start()
    warnings.simplefilter("ignore", CacheCorruptionWarning)
    short = 0
    try:
        for _ in range(200):
            if opened == "each time":
                table = table_in(tmp_path / "cache", read_only=True)
            X, hit = table.get(keys)
            short += int(not hit.all())
            assert (X[hit] == rows_of(keys)[hit]).all()
    finally:
        stop.set()
        thread.join()
    assert short > 0, "no read met a short file"


@pytest.mark.parametrize("handler", ["none", "before", "after"])
def test_bus_errors_of_others_end_the_process_as_ever(handler: str, tmp_path: Path) -> None:
    """The cache survives files that are cut under it; it does not hide the same in somebody's memmap."""
    sealed(tmp_path / "cache")
    done = python(
        f"""
        import faulthandler
        other = Path({str(tmp_path / "other")!r})
        other.write_bytes(bytes(8192))
        theirs = np.memmap(other, "u1", "r")
        if {handler!r} == "before":
            faulthandler.enable()
        assert table_in(Path({str(tmp_path / "cache")!r})).get(keys_of(20))[1].all()
        if {handler!r} == "after":
            faulthandler.enable()
            assert table_in(Path({str(tmp_path / "cache")!r})).get(keys_of(20))[1].all()
        os.truncate(other, 0)
        print(theirs[5000])
        """
    )
    assert (done.returncode, done.stdout) == (-signal.SIGBUS, "")
    assert done.stderr.count("Fatal Python error: Bus error") == (handler != "none")
