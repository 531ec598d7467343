"""stdout and stderr as they are found: in any encoding, closed, full, or read by a program that has gone."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import ExitStack, suppress
from typing import TextIO

import click

from tlengine.plugins.containment import stdout_to_stderr

__all__ = ["OutputLost", "echo", "prepare", "release_stdout", "reserve_stdout", "settle"]

_KEY = "tlengine.cli.stdout"


class OutputLost(Exception):  # noqa: N818 - the work is done, its output is not
    """What was written to stdout did not arrive; ``pipe``: because nobody reads it any more."""

    def __init__(self, error: Exception) -> None:
        super().__init__(getattr(error, "strerror", None) or str(error))
        self.pipe = getattr(error, "errno", None) == errno.EPIPE


def prepare() -> None:
    """Make the streams fit to write to: what their encoding lacks is escaped, a closed one is no trap.

    A closed descriptor 1 would be given to the next file that is opened, and prints would land in it.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - for the process's life
        with suppress(AttributeError, OSError, ValueError):
            getattr(sys, name).reconfigure(errors="backslashreplace")


def echo(message: object = "", *, nl: bool = True, err: bool = False) -> None:
    """Write ``message`` to stdout, or to stderr, in the stream's own encoding.

    Raises:
        OutputLost: stdout is full or nobody reads it. A note on stderr that cannot be written is dropped.
    """
    stream = sys.stderr if err else sys.stdout
    text = f"{message}\n" if nl else str(message)
    try:
        if err or stream.isatty():
            text = _inert(text)
        stream.write(_encodable(text, stream))
        stream.flush()
    except (OSError, ValueError) as error:
        if not err:
            raise OutputLost(error) from None


def _inert(text: str) -> str:
    """``text`` for people: a file's name cannot clear the screen, nor turn the rest of a line around."""
    if text.replace("\n", "").replace("\t", "").isprintable():
        return text
    from tlengine.data.filenames import inert

    return inert(text)


def _encodable(text: str, stream: TextIO) -> str:
    """``text`` with what the stream cannot encode escaped: :func:`prepare` cannot change every stream."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return text.encode(encoding, "backslashreplace").decode(encoding)
    return text


def settle() -> bool:
    """At the end: whether all output arrived. The interpreter's own flush then has no complaint."""
    arrived = True
    for stream, descriptor in ((sys.stdout, 1), (sys.stderr, 2)):
        try:
            stream.flush()
        except (OSError, ValueError):
            arrived = arrived and descriptor != 1
            _discard(stream)
    return arrived


def _discard(stream: TextIO) -> None:
    """Lets what is left in the stream's buffer go nowhere."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
        stream.flush()


def reserve_stdout(ctx: click.Context) -> None:
    """From now on stdout is for one JSON document: whatever else is printed goes to stderr."""
    if _KEY not in ctx.meta:
        ctx.meta[_KEY] = ExitStack()
        ctx.meta[_KEY].enter_context(stdout_to_stderr())
        ctx.call_on_close(ctx.meta[_KEY].close)


def release_stdout() -> None:
    """The document comes now."""
    ctx = click.get_current_context(silent=True)
    if ctx is not None and _KEY in ctx.meta:
        ctx.meta[_KEY].close()
