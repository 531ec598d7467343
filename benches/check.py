"""Asserts the floors: `python -m benches.check [--record] [part of a group's name]`."""

from __future__ import annotations

import os
import pkgutil
import sys
from collections.abc import Callable, Iterator
from importlib import import_module

import benches
from benches.ratios import Ratio
from benches.record import save

Group = Callable[[], Iterator[Ratio]]


def main(*arguments: str) -> int:
    """Prints every ratio, and with ``--record`` writes them down; 1 where one is below its floor, else 0."""
    only = "".join(argument for argument in arguments if argument != "--record")
    found = []
    for name, group in groups(only):
        load = os.getloadavg()[0]
        ratios = measure(group)
        if "--record" in arguments:
            save(name, ratios, load)
        found += ratios
    below = [ratio for ratio in found if ratio.value < ratio.floor]
    print(f"{len(below)} of {len(found)} below their floor" if below else f"all {len(found)} floors hold")
    return 1 if below else 0


def groups(only: str) -> Iterator[tuple[str, Group]]:
    """The groups of every module whose names contain ``only``."""
    for module in sorted(module.name for module in pkgutil.iter_modules(benches.__path__)):
        if module.startswith("bench_"):
            for number, group in enumerate(import_module(f"benches.{module}").GROUPS):
                name = f"{module}.{number}.{group.__name__}"
                if only in name:
                    yield name, group


def measure(group: Group) -> list[Ratio]:
    """Ratios of a group; where one is below its floor, all are measured again, and the better count."""
    first = _print(group())
    if all(ratio.value >= ratio.floor for ratio in first):
        return first
    pairs = zip(first, _print(group()), strict=True)
    return [max(pair, key=lambda ratio: ratio.value) for pair in pairs]


def _print(ratios: Iterator[Ratio]) -> list[Ratio]:
    found = []
    for ratio in ratios:
        print(ratio, flush=True)
        found.append(ratio)
    return found


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
