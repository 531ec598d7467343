"""Ctrl-C where the work runs in threads of a pool, which Python does not tell of it."""

from __future__ import annotations

from tlengine import _core

__all__ = ["stop_calls"]


def stop_calls() -> None:
    """Ask every solver and search that runs in this process to end; each raises ``KeyboardInterrupt``.

    For the ``except KeyboardInterrupt`` of code that waits for a pool of threads.
    """
    _core.stop_calls()
