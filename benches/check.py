"""Asserts the floors: `python -m benches.check [part of a module's name]`."""

from __future__ import annotations

import pkgutil
import sys
from importlib import import_module

import benches


def main(only: str = "") -> int:
    """Prints every ratio; 1 where one is below its floor, else 0."""
    names = [module.name for module in pkgutil.iter_modules(benches.__path__)]
    below = []
    for name in sorted(names):
        if name.startswith("bench_") and only in name:
            for ratio in import_module(f"benches.{name}").ratios():
                print(ratio, flush=True)
                if ratio.value < ratio.floor:
                    below.append(ratio)
    print(f"{len(below)} below their floor" if below else "all floors hold")
    return 1 if below else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
