"""Asserts the floors: `python -m benches.check [--record] [part of a module's name]`."""

from __future__ import annotations

import os
import pkgutil
import sys
from collections.abc import Iterator
from importlib import import_module

import benches
from benches.ratios import Ratio
from benches.record import save


def main(*arguments: str) -> int:
    """Prints every ratio, and with ``--record`` writes them down; 1 where one is below its floor, else 0."""
    only = "".join(argument for argument in arguments if argument != "--record")
    load = os.getloadavg()[0]
    found = list(measure(only))
    if "--record" in arguments:
        save(found, load)
    below = [ratio for ratio in found if ratio.value < ratio.floor]
    print(f"{len(below)} of {len(found)} below their floor" if below else f"all {len(found)} floors hold")
    return 1 if below else 0


def measure(only: str) -> Iterator[Ratio]:
    """The ratios of every module; those below their floor are measured once more, the better one counts."""
    for name in sorted(module.name for module in pkgutil.iter_modules(benches.__path__)):
        if not name.startswith("bench_") or only not in name:
            continue
        for group in import_module(f"benches.{name}").GROUPS:
            first = _print(group())
            again = _print(group()) if any(ratio.value < ratio.floor for ratio in first) else first
            yield from (max(pair, key=lambda ratio: ratio.value) for pair in zip(first, again, strict=True))


def _print(ratios: Iterator[Ratio]) -> list[Ratio]:
    found = []
    for ratio in ratios:
        print(ratio, flush=True)
        found.append(ratio)
    return found


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
