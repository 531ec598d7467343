"""How much CPU time and memory the control groups of Linux leave to this process.

A container with ``--cpus 2`` on a machine of 64 cores still sees 64 cores in its affinity; 64 threads would
then run for a thirty-second of the time and stand still for the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

__all__ = ["cpu_quota", "memory_limit"]


@cache
def cpu_quota(root: Path = Path("/")) -> float | None:
    """The smallest CPU quota of this process's control group and of those around it; None: there is none.

    Both versions are read, ``cpu.max`` and ``cpu.cfs_quota_us``; a file that cannot be read or understood
    sets no limit. It is read once per process.

    Args:
        root: the directory that holds ``proc`` and ``sys``.

    >>> cpu_quota(Path("/no/such/place")) is None
    True
    """
    quotas = [quota for group in _groups(root) if (quota := _version_2(group) or _version_1(group))]
    return min(quotas, default=None)


@cache
def memory_limit(root: Path = Path("/")) -> int | None:
    """The smallest memory limit, in bytes, of the control groups around this process; None: there is none.

    Version 2 alone is read, ``memory.max``.

    >>> memory_limit(Path("/no/such/place")) is None
    True
    """
    limits = (" ".join(_lines(group / "memory.max")).strip() for group in _groups(root))
    return min((int(limit) for limit in limits if limit.isdecimal()), default=None)


def _groups(root: Path) -> Iterator[Path]:
    """Directories of the control groups that may limit the CPU, from the innermost outwards."""
    paths = dict(_own_paths(root))
    for version, inside, mount in _mounts(root):
        if version not in paths:
            continue
        # Inside a container the path may be the host's: what lies above the mount's root is not seen here.
        own = paths[version]
        below = own.removeprefix(inside).strip("/") if own.startswith(inside) else ""
        parts = [] if ".." in Path(below).parts else Path(below).parts
        for depth in range(len(parts), -1, -1):
            yield mount.joinpath(*parts[:depth])


def _own_paths(root: Path) -> Iterator[tuple[str, str]]:
    """``(version, path)`` of this process's groups: lines such as ``0::/a`` and ``4:cpu,cpuacct:/a``."""
    for line in _lines(root / "proc/self/cgroup"):
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            yield "cgroup2", path
        elif "cpu" in controllers.split(","):
            yield "cgroup", path


def _mounts(root: Path) -> Iterator[tuple[str, str, Path]]:
    """``(version, root of the mount, where it is mounted)`` of what can limit the CPU."""
    for line in _lines(root / "proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if len(fields) < 5 or not kind:
            continue
        if kind[0] == "cgroup2" or (kind[0] == "cgroup" and "cpu" in kind[-1].split(",")):
            yield kind[0], _plain(fields[3]), root / _plain(fields[4]).lstrip("/")


def _plain(text: str) -> str:
    r"""A path of ``mountinfo``, where a blank is written ``\040``."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _version_2(group: Path) -> float | None:
    """The quota in ``cpu.max``: microseconds of CPU and the period, as ``150000 100000``; ``max`` is none."""
    words = " ".join(_lines(group / "cpu.max")).split()
    return _ratio(words[0], words[1] if len(words) > 1 else "100000") if words else None


def _version_1(group: Path) -> float | None:
    """The quota in ``cpu.cfs_quota_us``; -1 is none."""
    quota = " ".join(_lines(group / "cpu.cfs_quota_us")).strip()
    return _ratio(quota, " ".join(_lines(group / "cpu.cfs_period_us")).strip() or "100000")


def _ratio(quota: str, period: str) -> float | None:
    try:
        cpus = int(quota) / int(period)
    except (ValueError, ZeroDivisionError, OverflowError):
        return None
    return cpus if cpus > 0 else None


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
