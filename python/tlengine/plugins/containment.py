"""Other people's code, run so that what it does to the process ends with it."""

from __future__ import annotations

import logging
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from tlengine.errors import PluginError

__all__ = ["contained", "reason", "stdout_to_stderr"]


@contextmanager
def contained() -> Iterator[None]:
    """What a plugin prints goes to stderr; what it changes in the process is put back.

    That is: the current directory, warning filters, the root logger, the locale, the state of ``random``, and
    the handlers of Ctrl-C and SIGTERM. What a plugin needs later (``sys.path``, ``os.environ``) stays as it
    left it.

    >>> with contained():
    ...     warnings.simplefilter("ignore")
    """
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        for keep in (_logger, _locale, _directory, _random_state, _handlers):
            stack.callback(keep())
        stack.enter_context(stdout_to_stderr())
        yield


def reason(error: BaseException) -> str:
    r"""The kind of ``error`` and what it says, on one line; a ``PluginError`` says enough without its kind.

    >>> reason(SystemExit("no licence\nbuy one"))
    'SystemExit: no licence buy one'
    """
    try:
        text = " ".join(str(error).replace("\nhint: ", "; ").split())
    except Exception:  # an exception of a plugin may be broken, too
        text = "(it cannot be printed)"
    text = text if len(text) <= 300 else f"{text[:300]}..."
    if isinstance(error, PluginError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Whatever is printed goes to stderr, also by C code and by child processes.

    It holds for the whole process until the last thread that asked for it is done.
    """
    with _redirected.lock:
        _redirected.users += 1
        if _redirected.users == 1:
            _redirected.begin()
    try:
        yield
    finally:
        with _redirected.lock:
            _redirected.users -= 1
            if _redirected.users == 0:
                _redirected.end()


class _Redirection:
    """Where stdout went before; ``descriptor`` is None where one of the two is closed."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.users = 0
        self.stream: Any = None
        self.descriptor: int | None = None

    def begin(self) -> None:
        self.stream = sys.stdout
        _flush(sys.stdout)
        sys.stdout = sys.stderr
        with suppress(OSError):
            os.fstat(2)
            self.descriptor = os.dup(1)
            os.dup2(2, 1)

    def end(self) -> None:
        _flush(sys.stdout)
        sys.stdout = self.stream
        if self.descriptor is not None:
            _flush_c()
            os.dup2(self.descriptor, 1)
            os.close(self.descriptor)
        self.stream = self.descriptor = None


_redirected = _Redirection()


def _flush(stream: Any) -> None:
    with suppress(OSError, ValueError, AttributeError):
        stream.flush()


def _flush_c() -> None:
    """C code has a buffer of its own."""
    import ctypes

    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).fflush(None)


def _logger() -> Callable[[], None]:
    root = logging.getLogger()
    level, handlers, disabled = root.level, root.handlers[:], logging.root.manager.disable

    def put_back() -> None:
        root.setLevel(level)
        root.handlers[:] = handlers
        logging.disable(disabled)

    return put_back


def _locale() -> Callable[[], None]:
    import locale

    before = locale.setlocale(locale.LC_ALL)

    def put_back() -> None:
        if locale.setlocale(locale.LC_ALL) != before:
            locale.setlocale(locale.LC_ALL, before)

    return put_back


def _directory() -> Callable[[], None]:
    try:
        before = os.getcwd()
    except OSError:  # it was removed
        return lambda: None

    def put_back() -> None:
        with suppress(OSError):
            os.chdir(before)

    return put_back


def _random_state() -> Callable[[], None]:
    state = random.getstate()
    numpy = sys.modules.get("numpy.random")
    arrays = numpy.get_state() if numpy is not None else None

    def put_back() -> None:
        random.setstate(state)
        if numpy is not None:
            numpy.set_state(arrays)

    return put_back


def _handlers() -> Callable[[], None]:
    """Signal handlers belong to the main thread, which alone may set them."""
    if threading.current_thread() is not threading.main_thread():
        return lambda: None
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def put_back() -> None:
        for number, handler in before.items():
            if handler is not None and signal.getsignal(number) != handler:
                signal.signal(number, handler)

    return put_back
