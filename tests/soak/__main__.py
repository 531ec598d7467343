"""`python -m tests.soak --seconds 600`: storms over the cache, their figures beside the limits; 1 on a miss.

A third of the time each: writers beside readers (a minute at most: they write 0.1 GB a second), a kill
storm, power cuts.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tests.requirements import require_root, require_tools
from tests.soak.mixed import mixed
from tests.storms import kill_storm, power_cuts


class Figure(NamedTuple):
    """A measured number, which must not be above (or, with ``at_least``, below) its limit."""

    load: str
    what: str
    value: float
    limit: float
    at_least: bool = False

    @property
    def holds(self) -> bool:
        """Whether the limit is kept."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def __str__(self) -> str:
        mark, sign = "ok  " if self.holds else "FAIL", ">=" if self.at_least else "<="
        return f"{mark} {self.load:<22} {self.what:<34} {self.value:>14,.10g}  {sign} {self.limit:,g}"


def readers_and_writers(folder: Path, seconds: float) -> Iterator[Figure]:
    load, found = "4 writers, 8 readers", mixed(folder, min(seconds, 60))
    p50, p99 = np.quantile(found.seconds, [0.5, 0.99]) * 1000
    own, longest = np.quantile(found.seconds - found.queued, 0.99) * 1000, found.seconds.max() * 1000
    print(f"     {load}: p50 {p50:.1f} ms, longest {longest:.0f} ms; p99 {own:.1f} ms but for waiting")
    print(f"     for one of {os.cpu_count()} processors")
    yield Figure(load, "rows written", found.rows, 1000, at_least=True)
    yield Figure(load, "gathers of 1,024 rows", len(found.seconds), 100, at_least=True)
    yield Figure(load, "99th percentile of a gather (ms)", round(p99, 1), 50)
    yield Figure(load, "wrong rows", found.wrong, 0)
    yield Figure(load, "missing rows", found.missing, 0)
    yield Figure(load, "damaged segments", found.damaged, 0)


def killed_writers(folder: Path, seconds: float) -> Iterator[Figure]:
    load, (kills, left) = "8 writers, kill storm", kill_storm(folder, seconds)
    yield Figure(load, "kills", kills, seconds * 5, at_least=True)
    yield Figure(load, "acknowledged rows", left.acknowledged, 1000, at_least=True)
    yield Figure(load, "of them lost", left.lost, 0)
    yield Figure(load, "torn commits", left.torn, 0)
    yield Figure(load, "wrong rows", left.wrong, 0)
    yield Figure(load, "files left over", left.leftovers, 0)
    yield Figure(load, "reopened in (s)", round(left.reopen_seconds, 3), 1)


def lost_power(folder: Path, seconds: float) -> Iterator[Figure]:
    cycles = max(10, round(seconds / 0.6))
    load, (cuts, left) = "2 writers, power cuts", power_cuts(folder, cycles, longest=0.03)
    yield Figure(load, "cuts", cuts, cycles, at_least=True)
    yield Figure(load, "acknowledged rows", left.acknowledged, cuts, at_least=True)
    yield Figure(load, "of them lost", left.lost, 0)
    yield Figure(load, "torn commits", left.torn, 0)
    yield Figure(load, "wrong rows", left.wrong, 0)


def main() -> int:
    """Runs all storms; 1 where a figure misses its limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    share = parser.parse_args().seconds / 3
    require_root()
    require_tools("mkfs.ext4", "mount", "umount")
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} before the start", flush=True)
    missed = 0
    with tempfile.TemporaryDirectory() as name:
        for storm in (readers_and_writers, killed_writers, lost_power):
            folder = Path(name) / storm.__name__
            folder.mkdir()
            for figure in storm(folder, share):
                print(figure, flush=True)
                missed += not figure.holds
    print(f"{missed} limits missed" if missed else "every limit is kept")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
