"""A bar for what takes seconds, and a time left that does not jump."""

from __future__ import annotations

import multiprocessing
import threading
import time
from typing import Any

from tlengine.settings import hidden_bar

__all__ = ["DelayedBar", "TimeLeft", "clock"]

_DELAY = 2.0
"""Seconds after which a bar appears: what is over sooner needs none, and makes none."""
_NEW = 0.3
"""The weight of the latest rate, as tqdm smooths it."""
_TOWARDS = 0.1
"""How far the shown time left goes towards the latest estimate at each look."""


class DelayedBar:
    """A bar on stderr, shown where one solve at a time runs: main thread, first process.

    Args:
        progress: whether there is one at all, where stderr is a terminal.
        **options: of ``tqdm``.
    """

    def __init__(self, progress: bool, **options: Any) -> None:
        self._options, self._begun = options, time.monotonic()
        alone = threading.current_thread() is threading.main_thread() and (
            multiprocessing.current_process().name == "MainProcess"
        )
        self._is_hidden = not (progress and alone)
        self._bar: Any = None

    def show(self, done: float, total: float, text: str = "") -> None:
        """Moves the bar, once it is there.

        Args:
            done: of ``total``.
            total: which may change.
            text: behind it.
        """
        seconds = time.monotonic() - self._begun
        if self._is_hidden or seconds < _DELAY:
            return
        if self._bar is None:
            self._bar = self._made(seconds)
        self._bar.n, self._bar.total = done, total
        self._bar.set_postfix_str(text, refresh=False)
        self._bar.refresh()

    def _made(self, seconds: float) -> Any:
        from tqdm import tqdm

        bar = tqdm(disable=hidden_bar(True), leave=False, dynamic_ncols=True, **self._options)
        if not bar.disable:
            bar.start_t -= seconds
        return bar

    def close(self) -> None:
        """Takes the bar away."""
        if self._bar is not None:
            self._bar.close()


class TimeLeft:
    """Seconds left, by units done and left: what is shown counts down, and goes slowly to what is known.

    >>> left = TimeLeft()
    >>> left.told(0.5, 0, 100), left.told(1.0, 10, 90)
    (None, 9.0)
    >>> left.told(2.0, 20, 800)  # an estimate that jumps from 80 to 800
    15.2
    """

    def __init__(self) -> None:
        self._counted = (0.0, 0.0)
        self._looked = 0.0
        self._rate: float | None = None
        self._shown: float | None = None

    def told(self, seconds: float, done: float, left: float) -> float | None:
        """What is to be shown.

        Args:
            seconds: since the start, more at each call.
            done: units.
            left: units, as is thought at the moment.

        Returns:
            None before the first unit.
        """
        passed, self._looked = seconds - self._looked, seconds
        since, before = self._counted
        if done > before and seconds > since:
            rate = (done - before) / (seconds - since)
            self._rate = rate if self._rate is None else _NEW * rate + (1 - _NEW) * self._rate
            self._counted = seconds, done
        if self._rate is None:
            return None
        known = left / self._rate
        if self._shown is None:
            self._shown = known
        else:
            counted_down = max(self._shown - passed, 0.0)
            self._shown = counted_down + _TOWARDS * (known - counted_down)
        return self._shown


def clock(seconds: float) -> str:
    """Hours, minutes and seconds.

    >>> clock(75.4), clock(3600)
    ('01:15', '1:00:00')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"
