"""Read-only, forbidden, vanishing, odd and crowded places."""

import contextlib
import os
import shutil
import subprocess
import tempfile
import textwrap
import unicodedata
import warnings
from pathlib import Path

import numpy as np
import pytest

from tests.cache_faults import DIM, RECIPE, holds, keys_of, python, rows_of, sealed, store, table_in
from tests.requirements import require_root, require_tools
from tlengine.errors import CacheCorruptionWarning, CacheIOError, CacheReadOnlyError
from tlengine.features.cache import EmbeddingCache


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


def let_all_in(tmp_path: Path, *more: Path) -> None:
    """Lets every user pass into the folder of a test; pytest keeps others out some levels above."""
    own = [folder for folder in tmp_path.parents if Path(tempfile.gettempdir()) in folder.parents]
    for folder in [*own, tmp_path, *more]:
        folder.chmod(0o755)


def test_no_permission(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    store(table_in(cache), keys_of(5))
    let_all_in(tmp_path)
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


def test_a_segment_of_somebody_else_hides_its_own_rows_only(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    for salt in range(3):
        with EmbeddingCache(cache) as opened:
            store(opened.table(RECIPE, dim=DIM), keys_of(5, salt))
    let_all_in(tmp_path, cache, *cache.iterdir())
    for file in cache.glob("*/*"):
        file.chmod(0o444)
    sorted(cache.rglob("*.log"))[1].chmod(0o400)
    done = as_nobody(
        cache,
        """
        import warnings
        with warnings.catch_warnings(record=True) as told:
            table = table_in(path)
            print([int(table.get(keys_of(5, salt))[1].sum()) for salt in range(3)])
        print(len(told), "Permission denied" in str(told[0].message))
        """,
    )
    assert done.stdout == "[5, 0, 5]\n1 True\n", done.stderr


@pytest.mark.parametrize("umask", [0o002, 0o007])
def test_a_cache_shared_by_a_group(tmp_path: Path, umask: int) -> None:
    """Two users, one group, a folder with the setgid bit: each reads, writes and maintains."""
    require_root()
    let_all_in(tmp_path)
    shared = tmp_path / "shared"
    shared.mkdir()
    os.chown(shared, 0, 5000)
    shared.chmod(0o2770)
    script = """
        EmbeddingCache("/nowhere", read_only=True).table(RECIPE, dim=DIM).get(keys_of(1))  # imports
        os.setgroups([])
        os.setgid(5000)
        os.setuid({user})
        os.umask({umask})
        with EmbeddingCache({path!r}) as cache:
            table = cache.table(RECIPE, dim=DIM)
            print([int(table.get(keys_of(5, salt))[1].sum()) for salt in range(4)])
            print(table.claim(keys_of(5, {salt})).take())
            store(table, keys_of(5, {salt}))
            if {salt} == 3:
                cache.gc()
                print(table.compact())
    """
    printed = []
    for salt, user in enumerate([5001, 5002, 5001, 5002]):
        path = str(shared / "cache")
        done = python(script.format(user=user, umask=umask, path=path, salt=salt))
        assert done.returncode == 0, done.stderr
        printed.append(done.stdout.splitlines())
    assert [lines[0] for lines in printed] == ["[0, 0, 0, 0]", "[5, 0, 0, 0]", "[5, 5, 0, 0]", "[5, 5, 5, 0]"]
    assert printed[3][2] == "4", "segments of both are merged"
    assert holds(shared / "cache", keys_of(5, salt=0))
    owners = {path.stat().st_gid for path in shared.rglob("*")}
    assert owners == {5000}
    modes = {path.stat().st_mode & 0o777 for path in shared.rglob("*") if path.is_dir()}
    assert modes == {0o777 & ~umask}
    if umask == 0o007:
        assert not any(path.stat().st_mode & 0o007 for path in shared.rglob("*"))


def test_a_private_cache(tmp_path: Path) -> None:
    """A umask that keeps others out keeps them out of every file."""
    before = os.umask(0o077)
    try:
        with EmbeddingCache(tmp_path / "cache") as cache:
            store(cache.table(RECIPE, dim=DIM), keys_of(5))
    finally:
        os.umask(before)
    assert not any(path.stat().st_mode & 0o077 for path in (tmp_path / "cache").rglob("*"))
    assert all(path.stat().st_mode & 0o222 == 0 for path in tmp_path.rglob("*.rows")), "ended, read-only"


@pytest.mark.parametrize("error", ["EINVAL", "EOPNOTSUPP", "ENOSYS"])
def test_a_file_system_that_does_not_sync_folders(tmp_path: Path, error: str) -> None:
    """As some on a network: rows are stored all the same, and the figures say it."""
    require_tools("strace")
    log = tmp_path / "log"
    tracer = ("strace", "-f", "-qq", "-o", str(log), "-e", "trace=fsync", "-e", f"inject=fsync:error={error}")
    done = python(
        f"""
        with EmbeddingCache({str(tmp_path / "new" / "cache")!r}) as cache:
            store(cache.table(RECIPE, dim=DIM), keys_of(5))
            print(cache.stats().folder_sync)
            cache.table(RECIPE, dim=DIM).compact()
            cache.gc()
        """,
        tracer=tracer,
    )
    assert done.stdout == "False\n", done.stderr
    assert log.read_text().count("(INJECTED)") >= 4
    assert holds(tmp_path / "new" / "cache", keys_of(5))
    assert EmbeddingCache(tmp_path / "new" / "cache").stats().folder_sync


def test_a_parent_folder_that_can_only_be_passed_through(tmp_path: Path) -> None:
    let_all_in(tmp_path)
    parent = tmp_path / "parent"
    parent.mkdir()
    os.chown(parent, 0, 65534)
    parent.chmod(0o730)  # the group may write and pass, and not look
    done = as_nobody(
        parent / "cache",
        """
        store(table_in(path), keys_of(5))
        print(holds(path, keys_of(5)))
        """,
    )
    assert done.stdout == "True\n", done.stderr


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
        np.ma  # loaded from a file on first use
        resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
        for salt in range(60):
            assert table.get(keys_of(2, salt))[1].all()
        store(table, keys_of(2, 99))
        print(len(table.segments()))
        """
    )
    assert done.stdout == "61\n", done.stderr


def test_a_jumping_clock_changes_nothing(tmp_path: Path) -> None:
    keys = sealed(tmp_path)
    for file in tmp_path.rglob("*"):
        os.utime(file, (2**33, 2**33) if file.suffix == ".log" else (0, 0))
    assert holds(tmp_path, keys)
