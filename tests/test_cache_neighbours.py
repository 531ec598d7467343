"""Processes, threads and forks that share a cache."""

import multiprocessing
import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest

from tests.cache_faults import holds, keys_of, python, rows_of, sealed, store, table_in
from tlengine.errors import KeyConflictWarning
from tlengine.features.cache import EmbeddingCache


def put_all(path: str, n: int, barrier: object) -> None:
    table = table_in(Path(path))
    barrier.wait()
    for salt in range(n):
        store(table, keys_of(20, salt))
    table.cache.close()


def test_processes_that_put_the_same_keys(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(4)
    workers = [context.Process(target=put_all, args=(str(tmp_path), 10, barrier)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    keys = np.concatenate([keys_of(20, salt) for salt in range(10)])
    assert holds(tmp_path, keys)
    table = table_in(tmp_path)
    table.compact()
    assert [rows for _, rows, _ in table.segments()] == [200]  # each once
    assert holds(tmp_path, keys)


def test_the_first_published_row_wins_for_every_reader(tmp_path: Path) -> None:
    keys = keys_of(4)
    one, two = table_in(tmp_path), table_in(tmp_path)
    one.put(keys, rows_of(keys))
    two.put(keys, rows_of(keys) + 1)  # neither is published: a true race
    two.flush()
    one.flush()
    readers = [table_in(tmp_path).get(keys)[0] for _ in range(3)]
    assert all((reader == readers[0]).all() for reader in readers)
    third = table_in(tmp_path)
    with pytest.warns(KeyConflictWarning, match="stored .* put"):
        third.put(keys, rows_of(keys) + 2)
    third.compact()
    np.testing.assert_array_equal(table_in(tmp_path).get(keys)[0], readers[0])


def test_threads_share_a_table(tmp_path: Path) -> None:
    table = table_in(tmp_path)
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for salt in range(number * 10, number * 10 + 10):
                store(table, keys_of(8, salt))
                X, hit = table.get(keys_of(8, salt))
                assert hit.all()
                np.testing.assert_array_equal(X, rows_of(keys_of(8, salt)))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert not failures
    assert holds(tmp_path, np.concatenate([keys_of(8, salt) for salt in range(80)]))


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_both_sides_of_a_fork_write_and_read(tmp_path: Path) -> None:
    table = table_in(tmp_path)
    store(table, keys_of(5))
    table.put(keys_of(5, salt=1), rows_of(keys_of(5, salt=1)))  # pending, and the parent's
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        try:
            store(table, keys_of(5, salt=2))
            ok = table.get(keys_of(5))[1].all() and table.get(keys_of(5, salt=2))[1].all()
            table.cache.close()
            os._exit(0 if ok else 1)
        except BaseException:
            os._exit(2)
    store(table, keys_of(5, salt=3))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert holds(tmp_path, np.concatenate([keys_of(5, salt) for salt in range(4)]))
    assert sum(rows for _, rows, _ in table.segments()) == 20


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_handles_travel_by_every_start_method(method: str, tmp_path: Path) -> None:
    table = table_in(tmp_path)
    store(table, keys_of(6))
    with multiprocessing.get_context(method).Pool(2) as pool:
        for X, hit in pool.map(table.get, [keys_of(6)] * 4):
            assert hit.all()
            np.testing.assert_array_equal(X, rows_of(keys_of(6)))


def test_a_holder_of_the_maintenance_lock_is_named(tmp_path: Path) -> None:
    sealed(tmp_path)
    EmbeddingCache(tmp_path).gc()
    done = python(
        f"""
        import fcntl
        file = open({str(tmp_path / "lock")!r}, "r+")
        fcntl.flock(file, fcntl.LOCK_EX)
        child = os.fork()
        if child == 0:
            EmbeddingCache.lock_timeout = 0.2
            try:
                EmbeddingCache({str(tmp_path)!r}).gc()
            except CacheLockTimeout as error:
                print(error.message)
            os._exit(0)
        os.waitpid(child, 0)
        print(table_in(Path({str(tmp_path)!r})).get(keys_of(20))[1].all())
        """
    )
    assert "locked by process" in done.stdout, done.stderr
    assert done.stdout.endswith("True\n"), "readers do not wait"


def test_a_forked_process_does_not_keep_a_segment_open(tmp_path: Path) -> None:
    """The lock of a segment is shared by a fork; the one who ends the segment gives it back."""
    for salt in range(2):
        sealed_by = EmbeddingCache(tmp_path)
        store(sealed_by.table({"backbone": "faults"}, dim=256), keys_of(5, salt))
        if salt == 1:
            child = os.fork()
            if child == 0:
                signal.pause()
                os._exit(0)
        sealed_by.close()
    try:
        with EmbeddingCache(tmp_path) as cache:
            assert cache.table({"backbone": "faults"}, dim=256).compact() == 2
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert holds(tmp_path, np.concatenate([keys_of(5, 0), keys_of(5, 1)]))


def test_many_segments_that_nobody_has_merged(tmp_path: Path) -> None:
    """Rows of 150 segments, one after the other, copied without opening a file for each."""
    caches = [EmbeddingCache(tmp_path, durability="process") for _ in range(150)]
    for salt, cache in enumerate(caches):
        store(cache.table({"backbone": "faults"}, dim=256), keys_of(4, salt))
    table = EmbeddingCache(tmp_path).table({"backbone": "faults"}, dim=256)
    keys = np.concatenate([keys_of(4, salt) for salt in range(150)]).reshape(150, 4, 32)
    keys = np.ascontiguousarray(keys.transpose(1, 0, 2)).reshape(-1, 32)
    for _ in range(2):
        X, hit = table.get(keys)
        assert hit.all()
        np.testing.assert_array_equal(X, rows_of(keys))
    opened = len(os.listdir("/proc/self/fd"))
    assert table.get(keys)[1].all()
    assert len(os.listdir("/proc/self/fd")) == opened
