"""`python -m tests.soak --seconds 600`: storms over the cache, their figures beside the limits; 1 on a miss.

Writers beside readers (a tenth of the time, a minute at most: they write 0.1 GB a second); then a kill storm
and power cuts, real ones and on the simulated disk, each with maintenance beside the writers. Those end when
they have reached `--kills` and `--cuts`, or when their share of the time is over; how many were reached is
said at the end.
"""

import argparse
import os
import re
import shutil
import subprocess
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


def killed_writers(folder: Path, seconds: float, goal: int) -> Iterator[Figure]:
    load, (kills, left) = "6 writers, maintenance", kill_storm(folder, seconds, goal)
    yield Figure(load, "kills", kills.total, min(goal, seconds * 5), at_least=True)
    yield Figure(load, "of them in maintenance", kills.maintainers, kills.total / 100, at_least=True)
    yield Figure(load, "rounds of maintenance", kills.maintained, seconds / 60, at_least=True)
    yield Figure(load, "acknowledged rows", left.acknowledged, 1000, at_least=True)
    yield Figure(load, "of them lost", left.lost, 0)
    yield Figure(load, "torn commits", left.torn, 0)
    yield Figure(load, "wrong rows", left.wrong, 0)
    yield Figure(load, "files left over", left.leftovers, 0)
    yield Figure(load, "reopened in (s)", round(left.reopen_seconds, 3), 1)


def lost_power(folder: Path, seconds: float, goal: int) -> Iterator[Figure]:
    load, (cuts, left) = "2 writers, power cuts", power_cuts(folder, goal, longest=0.03, seconds=seconds)
    yield Figure(load, "cuts", cuts, min(goal, seconds / 3), at_least=True)
    yield Figure(load, "acknowledged rows", left.acknowledged, cuts, at_least=True)
    yield Figure(load, "of them lost", left.lost, 0)
    yield Figure(load, "torn commits", left.torn, 0)
    yield Figure(load, "wrong rows", left.wrong, 0)


def simulated(seconds: float) -> Iterator[Figure]:
    """Lost rows fail the storm itself, which says which seed lost them."""
    load, root = "simulated disk", Path(__file__).parents[2]
    seed = int.from_bytes(os.urandom(4), "little")
    told = {"TLENGINE_STORM_SECONDS": str(seconds), "TLENGINE_STORM_SEED": str(seed)}
    call = ["cargo", "test", "--locked", "-p", "tlengine-core", "--no-default-features"]
    done = subprocess.run(
        [*call, "--test", "cache_storm", "--", "--nocapture"],
        env={**os.environ, **told},
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    figures = re.search(r"(\d+) simulated kills, (\d+) simulated power cuts", done.stdout)
    if done.returncode or not figures:
        print(done.stdout)
    kills, cuts = map(int, figures.groups()) if figures else (0, 0)
    yield Figure(load, "failed storms", int(done.returncode != 0), 0)
    yield Figure(load, "kills", kills, seconds, at_least=True)
    yield Figure(load, "power cuts", cuts, seconds, at_least=True)


def main() -> int:
    """Runs all storms; 1 where a figure misses its limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="of all storms together")
    parser.add_argument("--kills", type=int, default=10_000, help="SIGKILLs that are enough")
    parser.add_argument("--cuts", type=int, default=2_000, help="real power cuts that are enough")
    chosen = parser.parse_args()
    require_root()
    require_tools("mkfs.ext4", "mount", "umount")
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} before the start", flush=True)
    missed, reached = 0, {}
    with tempfile.TemporaryDirectory() as name:
        storms = {
            "readers": lambda folder: readers_and_writers(folder, chosen.seconds * 0.1),
            "kills": lambda folder: killed_writers(folder, chosen.seconds * 0.5, chosen.kills),
            "cuts": lambda folder: lost_power(folder, chosen.seconds * 0.3, chosen.cuts),
        }
        if shutil.which("cargo"):
            storms["simulated"] = lambda _: simulated(chosen.seconds * 0.1)
        else:
            print("     no cargo here: no storm on the simulated disk")
        for storm, figures in storms.items():
            folder = Path(name) / storm
            folder.mkdir()
            for figure in figures(folder):
                print(figure, flush=True)
                missed += not figure.holds
                reached[storm, figure.what] = figure.value
    kills, cuts = reached["kills", "kills"], reached["cuts", "cuts"]
    print(
        f"reached {kills:,.0f} of {chosen.kills:,} kills and {cuts:,.0f} of {chosen.cuts:,} real power cuts;"
    )
    more = [reached.get(("simulated", what), 0) for what in ("kills", "power cuts")]
    print(f"and {more[0]:,.0f} kills and {more[1]:,.0f} power cuts on the simulated disk")
    print(f"{missed} limits missed" if missed else "every limit is kept")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
