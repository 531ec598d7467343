"""What the commands share: options, JSON on stdout, notes on stderr."""

from __future__ import annotations

import functools
import json
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO, TypeVar

import click

from tlengine.cli.streams import echo, release_stdout, reserve_stdout
from tlengine.documents import plain
from tlengine.settings import thread_limit

__all__ = [
    "COLUMNS",
    "DataOptions",
    "GateNotMet",
    "array_options",
    "backbone_option",
    "backbones_option",
    "data_options",
    "echo",
    "fail",
    "image_size_option",
    "json_option",
    "print_json",
    "quiet_option",
    "say",
    "short_warnings",
]

COLUMNS = ("text", "image", "label", "group", "domain", "split")
EXTRACTION = ("device", "batch_size", "workers", "precision", "max_pixels", "strict", "cache")

F = TypeVar("F", bound=Callable[..., Any])


class GateNotMet(Exception):  # noqa: N818 - a verdict, not an error
    """The work is done, but a threshold that the caller set is not met (exit code 3)."""


def fail(message: str, hint: str | None = None) -> int:
    """Prints one line and a hint on stderr; returns the exit code 1."""
    echo(f"error: {message}", err=True)
    if hint:
        echo(f"hint: {hint}", err=True)
    return 1


def say(message: str = "", *, quiet: bool = False) -> None:
    """A note for people, on stderr."""
    if not quiet:
        echo(message, err=True)


def print_json(document: Mapping[str, Any]) -> None:
    """Prints one JSON document on stdout, in ASCII; NaN and infinity, which JSON lacks, become null."""
    text = json.dumps(plain(document), indent=2, allow_nan=False)
    release_stdout()
    echo(text)


def short_warnings() -> None:
    """Ours are shown each time, as one line on stderr without file and line number."""
    from tlengine.errors import TlengineWarning

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        echo(f"warning: {message}", err=True)

    warnings.showwarning = show
    warnings.simplefilter("always", TlengineWarning)


def _stack(*options: Callable[[F], F]) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def _checked_device(ctx: click.Context, parameter: click.Parameter, value: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", value):
        raise click.BadParameter(f"{value!r} is not one of auto, cpu, cuda, cuda:N, mps")
    return value


def _reserved_for_json(ctx: click.Context, parameter: click.Parameter, value: bool) -> bool:
    if value and not ctx.resilient_parsing:
        reserve_stdout(ctx)
    return value


_column_options = _stack(
    click.option("--text", metavar="COL", help="Column with the texts. [default: guessed]"),
    click.option("--image", metavar="COL", help="Column with the image paths. [default: guessed]"),
    click.option("--label", metavar="COL", help="Column with the labels. [default: guessed]"),
    click.option("--group", metavar="COL", help="Column whose equal values stay on one side of a split."),
    click.option("--domain", metavar="COL", help="Column that says where a sample comes from."),
    click.option(
        "--split",
        metavar="COL",
        help="Column with your own train/val/test split; 'none': folders of that name are classes.",
    ),
)
backbone_option = click.option(
    "--backbone",
    metavar="NAME",
    help="The backbone, see 'tlengine plugins'. [default: the installed one for the data's modality]",
)
backbones_option = click.option(
    "--backbone",
    metavar="NAME[,NAME]",
    help="Backbones, see 'tlengine plugins'. [default: the installed one for the data's modality]",
)

image_size_option = click.option(
    "--image-size",
    type=click.IntRange(16, 4096),
    metavar="PIXELS",
    help="Side of the pictures that the backbone sees; fewer are faster and show less. [default: its own]",
)

array_options = _stack(
    click.option(
        "--labels",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="y.npy",
        help="The labels of the rows, where DATA is a .npy of features.",
    ),
    click.option(
        "--groups",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="g.npy",
        help="Beside --labels: rows of one group stay on one side of a split.",
    ),
)

cache_options = _stack(
    click.option(
        "--cache-dir",
        type=click.Path(file_okay=False),
        metavar="DIR",
        help="Where embeddings are kept. [default: the usual cache, see 'tlengine cache stats']",
    ),
    click.option("--no-cache", is_flag=True, help="Keep no embeddings, and use none."),
)

_threads_option = click.option(
    "--num-threads",
    type=click.IntRange(min=1),
    help="Threads to use. [default: TLENGINE_NUM_THREADS, else the cores this process may use]",
)

_extraction_options = _stack(
    click.option(
        "--device",
        metavar="DEVICE",
        callback=_checked_device,
        default="auto",
        show_default=True,
        help="auto, cpu, cuda, cuda:N or mps.",
    ),
    click.option(
        "--batch-size", type=click.IntRange(min=1), help="Samples per forward pass. [default: by device]"
    ),
    click.option("--workers", type=click.IntRange(min=0), help="Decoding processes. [default: by cores]"),
    click.option(
        "--precision",
        type=click.Choice(["float32", "bf16", "fp16"]),
        default="float32",
        show_default=True,
        help="Arithmetic of the backbone; rows of each precision are cached apart.",
    ),
    click.option(
        "--max-pixels",
        type=click.IntRange(min=1),
        default=64_000_000,
        show_default=True,
        help="Larger images are refused by their header.",
    ),
    click.option("--strict", is_flag=True, help="Fail if any sample cannot be read."),
)
json_option = click.option(
    "--json",
    "as_json",
    is_flag=True,
    callback=_reserved_for_json,
    help="Print one JSON document on stdout.",
)
quiet_option = click.option("--quiet", "-q", is_flag=True, help="No progress bars and notes.")


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """What every command on data takes: which columns, how to embed, how to talk.

    Attributes:
        columns: ``text image label group domain split``, as :func:`tlengine.load_dataset` takes them.
        extraction: ``device batch_size workers precision max_pixels strict cache``, as
            :func:`tlengine.extract` takes them.
        as_json: print one JSON document. quiet: no progress bars and notes.
    """

    columns: dict[str, Any]
    extraction: dict[str, Any]
    as_json: bool
    quiet: bool


def data_options(function: Callable[..., None]) -> Callable[..., None]:
    """Declares the options of :class:`DataOptions` and passes them as ``options``.

    Also ``--num-threads``, which holds while the command runs.
    """

    @functools.wraps(function)
    def call(*, as_json: bool, quiet: bool, num_threads: int | None, **values: Any) -> None:
        short_warnings()
        values["cache"] = _chosen_cache(values.pop("cache_dir"), values.pop("no_cache"))
        columns = {name: values.pop(name) for name in COLUMNS}
        extraction = {name: values.pop(name) for name in EXTRACTION}
        options = DataOptions(columns=columns, extraction=extraction, as_json=as_json, quiet=quiet)
        with thread_limit(num_threads):
            function(options=options, **values)

    stack = (_column_options, _extraction_options, cache_options, _threads_option, json_option, quiet_option)
    return _stack(*stack)(call)


def _chosen_cache(folder: str | None, none: bool) -> str | bool:
    """As ``cache=`` of :func:`tlengine.extract`."""
    if none and folder is not None:
        raise click.UsageError("--cache-dir and --no-cache exclude each other")
    return False if none else (folder or True)
