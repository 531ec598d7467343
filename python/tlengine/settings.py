"""Paths and environment variables, read in one place; docs/configuration.md has them in one table.

>>> import os
>>> os.environ["TLENGINE_HOME"] = "/tmp/tl"
>>> cache_root()
PosixPath('/tmp/tl')
>>> del os.environ["TLENGINE_HOME"]
"""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tlengine.cgroups import cpu_quota, memory_limit
from tlengine.errors import InputError

__all__ = [
    "bars",
    "cache_root",
    "co2_intensity",
    "expand_home",
    "flag",
    "hidden_bar",
    "num_threads",
    "thread_limit",
    "total_memory",
    "watts_per_core",
]

_TRUE = {"1", "on", "yes", "true"}

_MOST_THREADS = 1024
"""More are a slip of the pen: no result depends on their number, and the system may refuse to start them."""

_shown = True
"""What :func:`bars` has set."""

_limit: int | None = None
"""What :func:`thread_limit` has set."""


def total_memory() -> int:
    """Bytes of memory that this machine, or the container around this process, has."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = memory_limit()
    return machine if limit is None else min(machine, limit)


def flag(name: str) -> bool:
    """Whether the environment variable ``name`` is set to 1, on, yes or true."""
    return os.environ.get(name, "").strip().lower() in _TRUE


def hidden_bar(progress: bool) -> bool | None:
    """``disable`` for ``tqdm``: True without ``progress`` or under ``TQDM_DISABLE``; None: unless a terminal.

    >>> hidden_bar(False)
    True
    """
    return True if not progress or not _shown or flag("TQDM_DISABLE") else None


@contextmanager
def bars(shown: bool) -> Iterator[None]:
    """With False no bar is shown meanwhile, also by what takes no ``progress``.

    >>> with bars(False):
    ...     hidden_bar(True)
    True
    """
    global _shown
    before, _shown = _shown, _shown and shown
    try:
        yield
    finally:
        _shown = before


def cache_root() -> Path:
    """``$TLENGINE_HOME``, else ``$XDG_CACHE_HOME/tlengine``, else ``~/.cache/tlengine``; absolute.

    As the XDG specification asks, a relative ``XDG_CACHE_HOME`` is ignored. Empty means unset.

    Raises:
        InputError: there is no home directory, neither in ``$HOME`` nor in the list of users.
    """
    if home := os.environ.get("TLENGINE_HOME", "").strip():
        return expand_home(home).absolute()
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):
        base = str(_home("set TLENGINE_HOME to a folder that you may write to") / ".cache")
    return Path(base) / "tlengine"


def expand_home(path: str | os.PathLike[str]) -> Path:
    """``path`` with a leading ``~`` or ``~user`` replaced; a name that just begins with ``~`` stays.

    Raises:
        InputError: ``~`` where there is no home directory.

    >>> expand_home("~$draft.csv")
    PosixPath('~$draft.csv')
    """
    text = os.fspath(path)
    if text == "~" or text.startswith("~/"):
        return _home("write the whole path, or set HOME") / text[2:]
    return Path(os.path.expanduser(text))


def _home(way_out: str) -> Path:
    """``$HOME`` where it is an absolute path, else the home of the user in the list of users."""
    if os.path.isabs(home := os.environ.get("HOME", "")):
        return Path(home)
    import pwd

    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        raise InputError(
            f"no home directory: HOME is {home!r}, and user {os.getuid()} is in no list of users",
            hint=way_out,
        ) from None


@contextmanager
def thread_limit(threads: int | None) -> Iterator[None]:
    """While it lasts, :func:`num_threads` is ``threads`` unless another number is asked for.

    None changes nothing. It holds for the whole process. Worker processes are told by their own arguments.

    >>> with thread_limit(2):
    ...     num_threads()
    2
    """
    global _limit
    before = _limit
    _limit = before if threads is None else num_threads(threads)
    try:
        yield
    finally:
        _limit = before


def num_threads(requested: int | None = None) -> int:
    """Threads to use: ``requested``, else ``$TLENGINE_NUM_THREADS``, else the cores we may run on.

    The cores are those of the process's affinity, and no more than its control group's CPU quota, rounded up:
    a container that may use 1.5 of 64 cores gets 2. As ``n_jobs`` of scikit-learn, a negative number counts
    from the cores: -1 is all of them.

    Raises:
        InputError: a thread count that is zero, above 1,024, or not a number.

    >>> num_threads(3)
    3
    """
    where = ""
    if requested is None:
        if _limit is not None:
            return _limit
        text = os.environ.get("TLENGINE_NUM_THREADS", "").strip()
        if not text:
            return _cores()
        try:
            requested = int(text)
        except ValueError:
            raise InputError(
                f"TLENGINE_NUM_THREADS={text[:40]!r} is not a whole number",
                hint="set it to 1 or more, or to -1 for all cores",
            ) from None
        where = "TLENGINE_NUM_THREADS: "
    return _checked(requested, f"{where}the number of threads")


def co2_intensity(grams: float | None = None) -> float | None:
    """Grams of CO2e for a kilowatt-hour: ``grams``, else ``$TLENGINE_CO2_G_PER_KWH``; None where unknown.

    Raises:
        InputError: it is no number, below 0, or not finite.

    >>> co2_intensity(380)
    380.0
    """
    if grams is not None:
        return _amount(grams, "co2_intensity", "grams for a kilowatt-hour")
    return _amount(os.environ.get(name := "TLENGINE_CO2_G_PER_KWH"), name, "grams for a kilowatt-hour")


def watts_per_core() -> float | None:
    """``$TLENGINE_WATTS_PER_CORE``: what a busy core takes, where the user knows; None where not.

    Raises:
        InputError: it is no number, below 0, or not finite.
    """
    return _amount(os.environ.get(name := "TLENGINE_WATTS_PER_CORE"), name, "watts")


def _amount(given: object, name: str, unit: str) -> float | None:
    """A number from 0 on; None for an empty text or None."""
    if given is None or (isinstance(given, str) and not given.strip()):
        return None
    try:
        found = math.nan if isinstance(given, bool) else float(given)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not 0 <= found < math.inf:
        raise InputError(f"{name} is {given!r:.40}", hint=f"give {unit}, a number from 0 on")
    return found


def _checked(requested: int, name: str) -> int:
    try:
        requested = operator.index(requested)
    except TypeError:
        raise InputError(f"{name} is {requested!r}, not a whole number", hint="use 1 or more") from None
    if requested == 0:
        raise InputError(f"{name} is 0", hint="use 1 or more, or -1 for all cores")
    if requested > (most := max(_MOST_THREADS, _cores())):
        shown = requested if requested < 10**18 else "over 10**18"
        raise InputError(f"{name} is {shown}, at most {most}", hint=f"this process may use {_cores()} cores")
    return requested if requested > 0 else max(1, _cores() + 1 + requested)


def _cores() -> int:
    """The cores this process may run on, at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota()
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))
