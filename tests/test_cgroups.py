"""A container's share of the CPU, in the files of both versions of control groups."""

from pathlib import Path

import pytest

from tlengine import settings
from tlengine.cgroups import cpu_quota, memory_limit

V2 = (
    "0::{own}\n",
    "30 23 0:26 {inside} /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
)
V1 = (
    "5:memory:{own}\n4:cpu,cpuacct:{own}\n1:name=systemd:/x\n",
    "33 31 0:30 {inside} /sys/fs/cgroup/cpu\\040here rw - cgroup cgroup rw,cpu,cpuacct\n"
    "34 31 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
)


def machine(root: Path, version: tuple[str, str], own: str, inside: str, files: dict[str, str]) -> Path:
    proc = root / "proc" / "self"
    proc.mkdir(parents=True)
    (proc / "cgroup").write_text(version[0].format(own=own))
    (proc / "mountinfo").write_text(
        "22 1 8:1 / / rw - ext4 /dev/a rw\nbroken\n" + version[1].format(inside=inside)
    )
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("own", "inside", "files", "cpus"),
    [
        ("/", "/", {"cpu.max": "150000 100000\n"}, 1.5),
        ("/", "/", {"cpu.max": "max 100000\n"}, None),
        ("/", "/", {"cpu.max": "50000\n"}, 0.5),
        ("/", "/", {"cpu.max": "2000 1000"}, 2.0),
        ("/", "/", {}, None),
        ("/a/b", "/", {"a/b/cpu.max": "max 100000", "a/cpu.max": "300000 100000"}, 3.0),
        ("/a/b", "/", {"a/b/cpu.max": "400000 100000", "a/cpu.max": "300000 100000"}, 3.0),
        ("/a/b", "/", {"a/b/cpu.max": "100000 100000", "a/cpu.max": "300000 100000"}, 1.0),
        ("/docker/f00/work", "/docker/f00", {"work/cpu.max": "max 1", "cpu.max": "200000 100000"}, 2.0),
        ("/elsewhere", "/docker/f00", {"cpu.max": "200000 100000"}, 2.0),
        ("/../../other", "/", {"cpu.max": "200000 100000"}, 2.0),
        ("/", "/", {"cpu.max": "nonsense"}, None),
        ("/", "/", {"cpu.max": "100000 0"}, None),
        ("/", "/", {"cpu.max": "-1 100000"}, None),
        ("/", "/", {"cpu.max": ""}, None),
    ],
)
def test_version_2(tmp_path: Path, own: str, inside: str, files: dict[str, str], cpus: float | None) -> None:
    assert cpu_quota(machine(tmp_path, V2, own, inside, files)) == cpus


@pytest.mark.parametrize(
    ("own", "files", "cpus"),
    [
        ("/", {"cpu.cfs_quota_us": "250000\n", "cpu.cfs_period_us": "100000\n"}, 2.5),
        ("/", {"cpu.cfs_quota_us": "-1\n", "cpu.cfs_period_us": "100000\n"}, None),
        ("/", {"cpu.cfs_quota_us": "50000"}, 0.5),
        ("/docker/x", {"docker/x/cpu.cfs_quota_us": "-1", "docker/cpu.cfs_quota_us": "100000"}, 1.0),
        ("/gone", {"cpu.cfs_quota_us": "300000"}, 3.0),
        ("/", {"cpu.cfs_quota_us": "", "cpu.cfs_period_us": ""}, None),
    ],
)
def test_version_1(tmp_path: Path, own: str, files: dict[str, str], cpus: float | None) -> None:
    files = {f"cpu here/{name}": text for name, text in files.items()}
    assert cpu_quota(machine(tmp_path, V1, own, "/", files)) == cpus


def test_the_smallest_of_both_versions_counts(tmp_path: Path) -> None:
    both = (V1[0] + V2[0], V1[1] + V2[1])
    files = {"cpu here/cpu.cfs_quota_us": "200000", "cpu.max": "100000 100000"}
    assert cpu_quota(machine(tmp_path, both, "/", "/", files)) == 1.0


def test_files_that_cannot_be_read_set_no_limit(tmp_path: Path) -> None:
    root = machine(tmp_path, V2, "/", "/", {})
    (root / "sys/fs/cgroup/cpu.max").mkdir(parents=True)
    assert cpu_quota(root) is None
    (root / "proc/self/cgroup").write_bytes(b"0::/\xff\xfe\n")
    assert cpu_quota.__wrapped__(root) is None


@pytest.mark.parametrize(
    ("quota", "affinity", "threads"),
    [(1.5, 64, 2), (0.1, 64, 1), (8.0, 4, 4), (None, 64, 64), (64.0, 64, 64), (2.0, 64, 2)],
)
def test_threads_are_the_quota_rounded_up_within_the_affinity(
    monkeypatch: pytest.MonkeyPatch, quota: float | None, affinity: int, threads: int
) -> None:
    monkeypatch.delenv("TLENGINE_NUM_THREADS", raising=False)
    monkeypatch.setattr(settings, "cpu_quota", lambda: quota)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(affinity)), raising=False)
    assert settings.num_threads() == settings.num_threads(-1) == threads
    assert settings.num_threads(3) == 3


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({"memory.max": "4294967296\n"}, 4 << 30),
        ({"memory.max": "max\n"}, None),
        ({"a/b/memory.max": "max", "a/memory.max": "3000000000", "memory.max": "9000000000"}, 3_000_000_000),
        ({"memory.max": "plenty"}, None),
        ({"memory.max": ""}, None),
        ({}, None),
    ],
)
def test_memory_of_a_container(tmp_path: Path, files: dict[str, str], limit: int | None) -> None:
    assert memory_limit(machine(tmp_path, V2, "/a/b", "/", files)) == limit


def test_a_container_with_less_memory_than_its_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "memory_limit", lambda: None)
    machine_has = settings.total_memory()
    monkeypatch.setattr(settings, "memory_limit", lambda: machine_has // 2)
    assert settings.total_memory() == machine_has // 2
    monkeypatch.setattr(settings, "memory_limit", lambda: 2 * machine_has)
    assert settings.total_memory() == machine_has
