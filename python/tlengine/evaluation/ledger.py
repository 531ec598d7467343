"""What a run costs: wall-clock seconds for each stage, and what the cache saved.

>>> ledger = Ledger()
>>> with ledger.stage("fit", "knn"):
...     pass
>>> [(entry["stage"], entry["what"]) for entry in ledger.entries()]
[('fit', 'knn')]
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Ledger"]


class Ledger:
    """Adds up seconds by stage and by what the stage worked on."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[str, str], float] = {}
        self._start = time.perf_counter()

    @contextmanager
    def stage(self, stage: str, what: str = "") -> Iterator[None]:
        """Times the body; the same stage may be entered many times."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add(stage, what, time.perf_counter() - start)

    def add(self, stage: str, what: str, seconds: float) -> None:
        """Books seconds that were measured elsewhere."""
        self._seconds[stage, what] = self._seconds.get((stage, what), 0.0) + seconds

    def entries(self) -> list[dict[str, Any]]:
        """One record for each stage, in the order of their first entry."""
        return [
            {"stage": stage, "what": what, "seconds": round(seconds, 4)}
            for (stage, what), seconds in self._seconds.items()
        ]

    def total(self) -> float:
        """Seconds since the ledger was opened."""
        return time.perf_counter() - self._start
