"""Ridge solves of many rows are shown and can be ended; all alphas are done at once, so nothing is kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tlengine.errors import InputError, TimeLimitError
from tlengine.probes.bars import DelayedBar
from tlengine.probes.parameters import check_values

__all__ = ["RidgeProgress", "RidgeShow"]


@dataclass(frozen=True, kw_only=True)
class RidgeProgress:
    """How far a ridge solve is, as its ``callback=`` gets it some twenty times a second.

    Attributes:
        part: of the work that is done, 0 to 1; it stands still during the eigendecomposition.
        seconds: since the start.
    """

    part: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class RidgeShow:
    """How the solves of one fit are shown and ended.

    Attributes:
        callback: called with a :class:`RidgeProgress`; a true answer ends the solve.
        max_seconds: after which it is ended.
        progress: show a bar on stderr where that is a terminal and the solve takes seconds.
    """

    callback: Callable[[RidgeProgress], object] | None = None
    max_seconds: float | None = None
    progress: bool = False
    begun: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        check_values({"max_seconds": self.max_seconds, "progress": self.progress})
        if self.callback is not None and not callable(self.callback):
            raise InputError(f"callback={self.callback!r:.40} cannot be called", hint="pass a function")

    def solve(self, work: Callable[..., dict[str, Any] | None], *args: Any, **kwargs: Any) -> dict[str, Any]:
        """What ``work(*args, look=..., **kwargs)`` of the core returns.

        Raises:
            TimeLimitError: it was ended.
        """
        bar, done = DelayedBar(self.progress, bar_format="{percentage:3.0f}%|{bar}| {elapsed}"), 0.0

        def look(part: float) -> bool:
            nonlocal done
            done = min(part, 1.0)
            bar.show(done, 1.0)
            seconds = time.monotonic() - self.begun
            told = self.callback is not None and self.callback(RidgeProgress(part=part, seconds=seconds))
            return bool(told) or (self.max_seconds is not None and seconds > self.max_seconds)

        try:
            found = work(*args, look=look, **kwargs)
        finally:
            bar.close()
        if found is None:
            seconds = time.monotonic() - self.begun
            raise TimeLimitError(
                f"the ridge solve was ended after {seconds:.1f} s with {done:.0%} done",
                hint="all alphas are done at once, so there is no part of a result: raise max_seconds",
            )
        return found
