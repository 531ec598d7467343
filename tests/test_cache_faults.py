"""Full disks, broken disks, read-only places, limits, forks and neighbours: nothing is lost, nobody dies."""

import contextlib
import errno
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
import unicodedata
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.requirements import require_root, require_tools
from tlengine.errors import (
    CacheCorruptionError,
    CacheCorruptionWarning,
    CacheFullError,
    CacheIOError,
    CacheReadOnlyError,
    KeyConflictWarning,
)
from tlengine.features.cache import EmbeddingCache, Table

RECIPE = {"backbone": "faults"}
DIM = 256
PRELUDE = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from tlengine.errors import *
from {__name__} import *
"""


def keys_of(n: int, salt: int = 0) -> np.ndarray:
    return np.random.default_rng(salt).integers(0, 256, (n, 32)).astype(np.uint8)


def rows_of(keys: np.ndarray) -> np.ndarray:
    """Self-checking: the row follows from its key."""
    return np.tile(keys.astype(np.float32), DIM // 32) - 3.5


def table_in(path: Path, **options: object) -> Table:
    return EmbeddingCache(path, **options).table(RECIPE, dim=DIM)


def store(table: Table, keys: np.ndarray) -> None:
    table.put(keys, rows_of(keys))
    table.flush()


def holds(path: Path, keys: np.ndarray) -> bool:
    X, hit = table_in(path, on_corrupt="raise").get(keys)
    assert (rows_of(keys)[hit] == X[hit]).all()
    return bool(hit.all())


def python(
    code: str, *, tracer: tuple[str, ...] = (), before: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*tracer, sys.executable, "-c", PRELUDE + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=before,
    )


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    require_root()
    require_tools("mount")
    point = tmp_path / "small"
    point.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(point)], check=True)
    yield point
    subprocess.run(["umount", "-l", str(point)], check=True)


# --- the disk is full ---------------------------------------------------------------------------


def test_full_disk_then_free_then_full_again(small_disk: Path) -> None:
    table = table_in(small_disk / "cache")
    kept: list[np.ndarray] = []
    facts = []
    ballast = small_disk / "ballast"
    for cycle in range(6):
        ballast.write_bytes(b"x" * (3 << 20))
        for step in range(100):
            keys = keys_of(100, salt=1000 * cycle + step)
            try:
                store(table, keys)
            except CacheFullError as error:
                facts.append(error.context)
                break
            kept.append(keys)
        ballast.unlink()
        assert all(holds(small_disk / "cache", keys) for keys in kept)
        table.flush()  # what was pending has room now
        if cycle % 2:
            table.cache.clear()
            kept.clear()
    assert [fact["errno"] for fact in facts] == [errno.ENOSPC] * 6
    assert all(fact["needed"] > fact["free"] for fact in facts)


def test_a_disk_without_room_for_the_first_byte(small_disk: Path) -> None:
    with (small_disk / "ballast").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 4096):
            pass
    with pytest.raises(CacheFullError):
        store(table_in(small_disk / "cache"), keys_of(3))


def test_file_size_limit_is_an_error_not_a_signal(tmp_path: Path) -> None:
    done = python(
        f"""
        table = table_in(Path({str(tmp_path)!r}))
        store(table, keys_of(20))
        try:
            store(table, keys_of(2000, salt=1))
        except CacheFullError as error:
            print(error.context["errno"] == errno.EFBIG)
        print(holds(Path({str(tmp_path)!r}), keys_of(20)))
        """,
        before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)),
    )
    assert done.stdout == "True\nTrue\n", done.stderr


@pytest.mark.parametrize(
    "injection",
    ["pwrite64 ENOSPC", "pwrite64 EDQUOT", "fdatasync EIO", "fdatasync ENOSPC", "fsync EIO", "renameat2 EIO"],
)
def test_an_error_at_any_call_of_a_commit(injection: str, tmp_path: Path) -> None:
    require_tools("strace")
    call, name = injection.split()
    fired = 0
    for when in range(1, 30):
        path, log = tmp_path / str(when), tmp_path / "log"
        tracer = ("strace", "-f", "-qq", "-o", str(log), "-e", f"trace={call}")
        done = python(
            f"""
            path = Path({str(path)!r})
            errors, acked = [], []
            for attempt in range(3):
                try:
                    table = table_in(path)
                    for salt in range(2):
                        store(table, keys_of(5, salt))
                        acked.append(salt)
                    table.cache.close()
                    break
                except CacheError as error:
                    errors.append(type(error).__name__)
            assert all(holds(path, keys_of(5, salt)) for salt in range(2)), errors
            print(*errors)
            """,
            tracer=(*tracer, "-e", f"inject={call}:error={name}:when={when}"),
        )
        assert done.returncode == 0, done.stderr
        if "(INJECTED)" not in log.read_text():
            break
        fired += 1
        expected = {"CacheIOError"} if name == "EIO" else {"CacheFullError"}
        assert set(done.stdout.split()) <= expected
    assert fired >= 1


def test_interrupted_calls_do_not_show(tmp_path: Path) -> None:
    require_tools("strace")
    log = tmp_path / "log"
    tracer = ("strace", "-f", "-qq", "-o", str(log), "-e", "trace=pwrite64")
    done = python(
        f"""
        path = Path({str(tmp_path / "cache")!r})
        store(table_in(path), keys_of(50))
        print(holds(path, keys_of(50)))
        """,
        tracer=(*tracer, "-e", "inject=pwrite64:error=EINTR:when=1+2"),
    )
    assert log.read_text().count("(INJECTED)") >= 5
    assert done.stdout == "True\n", done.stderr


def test_short_writes_do_not_show(tmp_path: Path) -> None:
    """A signal storm and a file-size limit that moves make the kernel write less than it was asked."""
    path = tmp_path / "cache"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    table = table_in(path)
    store(table, keys_of(4, salt=1))
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096 + 1024 * 9 + 100, limits[1]))
        with pytest.raises(CacheFullError):  # five and a bit of ten rows fit: the write was short
            store(table, keys_of(10))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    store(table, keys_of(10))
    assert holds(path, keys_of(10))


# --- places that cannot be written ---------------------------------------------------------------


def test_read_only_file_system_serves_hits(tmp_path: Path) -> None:
    require_root()
    require_tools("mount")
    point = tmp_path / "disk"
    point.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(point)], check=True)
    try:
        with EmbeddingCache(point / "cache") as cache:
            store(cache.table(RECIPE, dim=DIM), keys_of(10))
        subprocess.run(["mount", "-o", "remount,ro", str(point)], check=True)
        table = table_in(point / "cache")
        assert table.get(keys_of(10))[1].all()
        with pytest.raises(CacheReadOnlyError):
            table.put(keys_of(1, salt=2), rows_of(keys_of(1, salt=2)))
        other = EmbeddingCache(point / "cache").table({"another": 1}, dim=2)
        assert not other.get(keys_of(2))[1].any()
        with pytest.raises(CacheReadOnlyError):
            other.put(keys_of(1), np.ones((1, 2), "f4"))
        assert EmbeddingCache(point / "nowhere").read_only
    finally:
        subprocess.run(["umount", "-l", str(point)], check=True)


def as_nobody(path: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run code as an ordinary user, without this process's privileges."""
    require_root()
    script = f"""
        EmbeddingCache("/nowhere", read_only=True).table(RECIPE, dim=DIM).get(keys_of(1))  # imports
        os.setgid(65534)
        os.setuid(65534)
        path = Path({str(path)!r})
    """
    return python(textwrap.dedent(script) + textwrap.dedent(code))


def test_no_permission(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    store(table_in(cache), keys_of(5))
    for folder in [*tmp_path.parents[:2], tmp_path]:
        folder.chmod(0o755)
    cache.chmod(0o700)
    done = as_nobody(
        cache,
        """
        try:
            table_in(path)
        except CacheIOError as error:
            print(error.context["errno"] == errno.EACCES, str(path) in error.message)
        """,
    )
    assert done.stdout == "True True\n", done.stderr
    done = as_nobody(
        tmp_path / "new",
        """
        table = table_in(path)
        print(table.cache.read_only, table.get(keys_of(2))[1].any())
        """,
    )
    assert done.stdout == "True False\n", done.stderr


def test_a_directory_that_vanishes(tmp_path: Path) -> None:
    path = tmp_path / "cache"
    table = table_in(path)
    store(table, keys_of(5))
    shutil.rmtree(path)
    X, hit = table.get(keys_of(5))  # the open files are still there, the names are not
    assert (X[hit] == rows_of(keys_of(5))[hit]).all()
    with pytest.raises(CacheIOError):
        store(table, keys_of(5, salt=1))
    again = table_in(path)
    store(again, keys_of(5, salt=1))
    assert holds(path, keys_of(5, salt=1))


def test_a_directory_that_moves_is_followed(tmp_path: Path) -> None:
    table = table_in(tmp_path / "cache")
    store(table, keys_of(5))
    (tmp_path / "cache").rename(tmp_path / "elsewhere")
    store(table, keys_of(5, salt=1))
    assert holds(tmp_path / "elsewhere", keys_of(5, salt=1))
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    "name",
    [
        "with space",
        unicodedata.normalize("NFC", "é"),
        unicodedata.normalize("NFD", "é"),
        "x" * 255,
        "-rf",
        "a\nb",
        "$HOME",
    ],
)
def test_odd_paths(name: str, tmp_path: Path) -> None:
    store(table_in(tmp_path / name), keys_of(3))
    assert holds(tmp_path / name, keys_of(3))
    (tmp_path / "link").symlink_to(tmp_path / name)
    assert holds(tmp_path / "link", keys_of(3))
    assert holds(tmp_path / "link" / ".." / name, keys_of(3))
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([name, "link"])


def test_names_in_the_cache_are_digests(tmp_path: Path) -> None:
    for text in ("../../etc/passwd", "a/b", "NUL\0", "x" * 5000, "..", "CON"):
        store(EmbeddingCache(tmp_path).table({"name": text}, dim=DIM), keys_of(2))
    for path in tmp_path.rglob("*"):
        assert set(path.stem) <= set("0123456789abcdef") or path.name == "table"
    assert len(list(tmp_path.iterdir())) == 6


@pytest.mark.parametrize("suffix", [".rows", ".log"])
def test_symbolic_links_in_place_of_segments_are_refused(tmp_path: Path, suffix: str) -> None:
    with EmbeddingCache(tmp_path / "cache") as cache:
        store(cache.table(RECIPE, dim=DIM), keys_of(3))
    real = next((tmp_path / "cache").rglob(f"*{suffix}"))
    real.rename(tmp_path / "moved")
    real.symlink_to(tmp_path / "moved")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CacheCorruptionWarning)
        with contextlib.suppress(CacheIOError):
            assert not table_in(tmp_path / "cache").get(keys_of(3))[1].any()


def test_without_mappings_views_are_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Network file systems: nothing is mapped, and two writers need no lock."""
    monkeypatch.setenv("TLENGINE_CACHE_NO_MMAP", "1")
    one, two = table_in(tmp_path), table_in(tmp_path)
    store(one, keys_of(5))
    store(two, keys_of(5, salt=1))
    assert holds(tmp_path, np.concatenate([keys_of(5), keys_of(5, salt=1)]))
    view = one.view(one.segments()[0][0])
    np.testing.assert_array_equal(view, rows_of(keys_of(5)))


def test_few_descriptors_and_many_segments(tmp_path: Path) -> None:
    for salt in range(60):
        with EmbeddingCache(tmp_path, durability="process") as cache:
            store(cache.table(RECIPE, dim=DIM), keys_of(2, salt))
    done = python(
        f"""
        table = table_in(Path({str(tmp_path)!r}))
        resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
        for salt in range(60):
            assert table.get(keys_of(2, salt))[1].all()
        store(table, keys_of(2, 99))
        print(len(table.segments()))
        """
    )
    assert done.stdout == "61\n", done.stderr


# --- damage seen from Python ----------------------------------------------------------------------


def damage(path: Path, pattern: str, at: int, bit: int = 1) -> None:
    file = next(path.rglob(pattern))
    file.chmod(0o644)
    content = bytearray(file.read_bytes())
    content[at] ^= bit
    file.write_bytes(content)


def sealed(path: Path, n: int = 20) -> np.ndarray:
    with EmbeddingCache(path) as cache:
        store(cache.table(RECIPE, dim=DIM), keys_of(n))
    return keys_of(n)


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
    with pytest.warns(CacheCorruptionWarning, match="nothing in it is readable; it was taken out of service"):
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


def test_truncation_while_reading_is_an_error_never_a_signal(tmp_path: Path) -> None:
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
    thread.start()
    warnings.simplefilter("ignore", CacheCorruptionWarning)
    short = 0
    try:
        for _ in range(200):
            X, hit = table_in(tmp_path / "cache", read_only=True).get(keys)
            short += int(not hit.all())
            assert (X[hit] == rows_of(keys)[hit]).all()
    finally:
        stop.set()
        thread.join()
    assert short > 0, "no read met a short file"


# --- neighbours -----------------------------------------------------------------------------------


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


def test_ctrl_c_leaves_the_cache_sound(tmp_path: Path) -> None:
    code = f"""
        import time
        table = table_in(Path({str(tmp_path)!r}), durability="process")
        store(table, keys_of(5))
        keys = keys_of(200_000, salt=1)
        X = np.tile(keys.astype(np.float32), DIM // 32) - 3.5
        print("ready", flush=True)
        try:
            while True:
                table.put(keys, X)
                table.get(keys)
        except KeyboardInterrupt:
            print("stopped", table.get(keys_of(5))[1].all(), flush=True)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(code)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30)[0] == "stopped True\n"
    assert holds(tmp_path, keys_of(5))


def test_the_end_of_the_interpreter_is_silent_and_keeps_rows(tmp_path: Path) -> None:
    done = python(
        f"""
        table = table_in(Path({str(tmp_path)!r}))
        store(table, keys_of(5))
        table.put(keys_of(5, salt=1), rows_of(keys_of(5, salt=1)))
        threading.Thread(target=lambda: [table.get(keys_of(5)) for _ in range(10**6)], daemon=True).start()
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert holds(tmp_path, np.concatenate([keys_of(5), keys_of(5, salt=1)]))


def test_sigterm_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    done = python(
        f"""
        table = table_in(Path({str(tmp_path)!r}))
        store(table, keys_of(5))
        os.kill(os.getpid(), signal.SIGTERM)
        """
    )
    assert done.returncode == -signal.SIGTERM
    assert holds(tmp_path, keys_of(5))


def test_a_jumping_clock_changes_nothing(tmp_path: Path) -> None:
    keys = sealed(tmp_path)
    for file in tmp_path.rglob("*"):
        os.utime(file, (2**33, 2**33) if file.suffix == ".log" else (0, 0))
    assert holds(tmp_path, keys)


def test_little_memory_is_an_error_not_an_abort(tmp_path: Path) -> None:
    sealed(tmp_path)
    done = python(
        f"""
        table = table_in(Path({str(tmp_path)!r}))
        print(table.get(keys_of(20))[1].all())
        keys = np.zeros((3_000_000, 32), np.uint8)
        size = int(open("/proc/self/statm").read().split()[0]) * 4096
        resource.setrlimit(resource.RLIMIT_AS, (size + (64 << 20), size + (64 << 20)))
        try:
            table.get(keys)
        except MemoryError:
            print("memory")
        print(table.get(keys_of(20))[1].all())
        """
    )
    assert done.stdout == "True\nmemory\nTrue\n", done.stderr
