"""Full and broken disks: one named error each, and nothing that was committed is lost."""

import contextlib
import errno
import resource
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.cache_faults import holds, keys_of, python, store, table_in
from tests.requirements import require_root, require_tools
from tlengine.errors import CacheFullError


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    require_root()
    require_tools("mount")
    point = tmp_path / "small"
    point.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(point)], check=True)
    yield point
    subprocess.run(["umount", "-l", str(point)], check=True)


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
