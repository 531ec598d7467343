"""Paths and environment variables, read in one place.

>>> import os
>>> os.environ["TLENGINE_HOME"] = "/tmp/tl"
>>> cache_root()
PosixPath('/tmp/tl')
>>> del os.environ["TLENGINE_HOME"]
"""

from __future__ import annotations

import os
from pathlib import Path

from tlengine.errors import InputError

__all__ = ["cache_root", "flag", "num_threads"]

_TRUE = {"1", "on", "yes", "true"}


def flag(name: str) -> bool:
    """Whether the environment variable ``name`` is set to 1, on, yes or true."""
    return os.environ.get(name, "").strip().lower() in _TRUE


def cache_root() -> Path:
    """``$TLENGINE_HOME``, else ``$XDG_CACHE_HOME/tlengine``, else ``~/.cache/tlengine``."""
    if home := os.environ.get("TLENGINE_HOME"):
        return Path(home).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "tlengine"


def num_threads(requested: int | None = None) -> int:
    """Threads to use: ``requested``, else ``$TLENGINE_NUM_THREADS``, else the cores we may run on.

    As ``n_jobs`` of scikit-learn, a negative number counts from the cores: -1 is all of them.

    Raises:
        InputError: a thread count that is zero or not a number.

    >>> num_threads(3)
    3
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if requested is None:
        text = os.environ.get("TLENGINE_NUM_THREADS", "").strip()
        if not text:
            return cores
        try:
            requested = int(text)
        except ValueError:
            raise InputError(
                f"TLENGINE_NUM_THREADS={text!r} is not a whole number", hint="set it to 1 or more"
            ) from None
    if requested == 0:
        raise InputError("the number of threads is 0", hint="use 1 or more, or -1 for all cores")
    return requested if requested > 0 else max(1, cores + 1 + requested)
