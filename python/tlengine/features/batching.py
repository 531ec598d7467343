"""Samples become batches: images decoded by worker processes, texts sorted by their number of tokens."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from torch.utils.data import DataLoader

from tlengine.errors import DecodeError, ResourceError, TlengineWarning
from tlengine.features.contents import Hashed
from tlengine.features.images import DEPTH_NOTE, ImagePreprocess, decode_image
from tlengine.features.workers import leave_interrupts_to_the_parent, reason_for_none, without_main
from tlengine.settings import num_threads

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["RANDOM", "Batch", "image_batches", "text_batches"]

Contents = Sequence[Any] | Hashed

_WINDOW = 4096
"""Texts that are tokenised and sorted at a time: bounds memory and the work lost in a crash."""

_FEW = 64
"""So many images are decoded sooner than a process is started."""

RANDOM = "preprocessing gives another result each time"
"""Why a row is refused whose preprocessing is random: one draw would be kept for ever."""

_CHECKED = 16
"""So many rows at most are preprocessed twice, to see that chance has no part in it."""

_TOKENS = 128
"""A batch of texts holds at most batch_size times this many tokens, padding included."""


@dataclass(kw_only=True)
class Batch:
    """Preprocessed samples: their rows in the dataset, their arrays, the rows that failed, and what to tell.

    ``notes`` says of some rows how they were read, as :func:`~tlengine.features.images.decode_image` does.
    """

    rows: list[int] = field(default_factory=list)
    arrays: list[npt.NDArray[Any]] = field(default_factory=list)
    failures: dict[int, str] = field(default_factory=dict)
    notes: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows) + len(self.failures)


def image_batches(
    contents: Contents,
    rows: Sequence[int],
    preprocess: Callable[[Any], Any],
    *,
    batch_size: int,
    workers: int | None,
    max_pixels: int,
) -> Iterator[Batch]:
    """Decoded and preprocessed images in the order of ``rows``.

    Args:
        contents: the samples of the dataset.
        rows: which of them.
        preprocess: takes an RGB ``PIL.Image``.
        batch_size: samples per batch.
        workers: decoding processes; None takes half the cores (8 at most), and none for 64 images or fewer.
            Where no process can be started this one decodes, and says so if ``workers`` were asked for.
        max_pixels: larger images fail.

    Raises:
        ResourceError: a worker process died.
        InputError: a script without a main guard is being imported by a process that was just started.
    """
    asked = workers
    if workers is None:
        workers = 0 if len(rows) <= _FEW else max(1, min(8, num_threads() // 2))
    decoding = _Decoding(contents, rows, preprocess, max_pixels)
    why_none = reason_for_none(decoding) if workers else None
    batches: Iterator[Batch] | None = None
    if workers and why_none is None:
        try:
            batches = _by_processes(decoding, batch_size, workers)
        except (OSError, ImportError) as error:  # no processes left, no semaphores
            why_none = f"no process can be started: {error}"
    if why_none is not None and asked:
        warnings.warn(f"images are decoded without workers: {why_none}", TlengineWarning, stacklevel=2)
    yield from _here(decoding, batch_size) if batches is None else _watched(batches)


def _here(decoding: _Decoding, batch_size: int) -> Iterator[Batch]:
    for start in range(0, len(decoding), batch_size):
        yield _gather([decoding[i] for i in range(start, min(start + batch_size, len(decoding)))])


def _by_processes(decoding: _Decoding, batch_size: int, workers: int) -> Iterator[Batch]:
    loader: DataLoader[Any] = DataLoader(
        decoding,  # type: ignore[arg-type] # it has all that a map-style dataset needs
        batch_size=batch_size,
        num_workers=workers,
        collate_fn=_gather,
        worker_init_fn=leave_interrupts_to_the_parent,
    )
    with without_main():
        return iter(loader)


def _watched(batches: Iterator[Batch]) -> Iterator[Batch]:
    try:
        yield from batches
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise ResourceError(
            f"a decoding process died: {str(error).splitlines()[0]}",
            hint="run again with --workers 0; rows so far are kept",
        ) from error


_Item = tuple[int, npt.NDArray[Any] | str, str | None]
"""A row, its array or why there is none, and how it was read."""


class _Decoding:
    """A map-style dataset of ``(row, array | reason, note)``; lives in the worker processes."""

    def __init__(
        self, contents: Contents, rows: Sequence[int], preprocess: Callable[[Any], Any], max_pixels: int
    ) -> None:
        self._contents, self._rows, self._max_pixels = contents, rows, max_pixels
        self._preprocess = preprocess.pixels if isinstance(preprocess, ImagePreprocess) else preprocess

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> _Item:
        row = self._rows[index]
        try:
            image = decode_image(self._contents[row], self._max_pixels)
        except DecodeError as error:
            return row, error.message, None
        note = image.info.get(DEPTH_NOTE)
        again = image.copy() if _is_checked(index, len(self)) else None
        return row, _settled(_preprocessed(self._preprocess, image), self._preprocess, again), note


def _is_checked(index: int, rows: int) -> bool:
    """Whether this one of ``rows`` is preprocessed twice: the first, and 2 % up to 16, spread over all."""
    return index % max(50, -(-rows // _CHECKED)) == 0


def _settled(
    result: npt.NDArray[Any] | str, preprocess: Callable[[Any], Any], again: Any
) -> npt.NDArray[Any] | str:
    """``result``, or the reason ``RANDOM`` where the same sample comes out otherwise the second time."""
    if again is None or isinstance(result, str):
        return result
    second = _preprocessed(preprocess, again)
    equal = not isinstance(second, str) and np.array_equal(result, second, equal_nan=result.dtype.kind == "f")
    return result if equal else RANDOM


def _preprocessed(preprocess: Callable[[Any], Any], sample: Any) -> npt.NDArray[Any] | str:
    """An array of numbers, or why there is none."""
    try:
        result = preprocess(sample)
        array = np.asarray(result)
    except DecodeError as error:
        return error.message
    except (Exception, SystemExit) as error:
        return f"preprocessing failed: {type(error).__name__}: {error}"
    if array.dtype.kind not in "biuf":
        return f"preprocessing returned a {type(result).__name__}, not an array of numbers"
    return array


def _gather(items: Sequence[_Item]) -> Batch:
    batch = Batch()
    for row, result, note in items:
        if note is not None:
            batch.notes[row] = note
        if isinstance(result, str):
            batch.failures[row] = result
        else:
            batch.rows.append(row)
            batch.arrays.append(result)
    return batch


def text_batches(
    contents: Contents, rows: Sequence[int], preprocess: Callable[[Any], Any], *, batch_size: int
) -> Iterator[Batch]:
    """Preprocessed texts; with a tokenizer, texts of like length share a batch.

    Args:
        contents: the samples of the dataset.
        rows: which of them.
        preprocess: takes a str; a tokenizer has a ``pad_id``.
        batch_size: samples per batch, at most; long texts come in smaller ones.
    """
    tokens = hasattr(preprocess, "pad_id")
    for start in range(0, len(rows), _WINDOW):
        window = enumerate(rows[start : start + _WINDOW], start)
        done = [(row, _text(preprocess, contents, row, _is_checked(i, len(rows))), None) for i, row in window]
        failed = [item for item in done if isinstance(item[1], str)]
        if failed:
            yield _gather(failed)
        good = [item for item in done if not isinstance(item[1], str)]
        if tokens:
            good.sort(key=lambda item: len(item[1]), reverse=True)
        yield from _chunks(good, batch_size, batch_size * _TOKENS if tokens else None)


def _text(
    preprocess: Callable[[Any], Any], contents: Contents, row: int, twice: bool
) -> npt.NDArray[Any] | str:
    try:
        text = contents[row]
    except DecodeError as error:
        return error.message
    return _settled(_preprocessed(preprocess, text), preprocess, text if twice else None)


def _chunks(items: list[Any], batch_size: int, budget: int | None) -> Iterator[Batch]:
    """Runs of ``items``; sorted by falling length, the first of a run is its width."""
    start = 0
    while start < len(items):
        size = batch_size
        if budget is not None:
            size = min(size, max(1, budget // max(1, len(items[start][1]))))
        yield _gather(items[start : start + size])
        start += size
