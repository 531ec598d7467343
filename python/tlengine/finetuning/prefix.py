"""What the frozen part of a network gives: computed once for each row and view, then read."""

from __future__ import annotations

import copy
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from tlengine.errors import CutRefused, InputError
from tlengine.features import Backbone, EmbeddingCache
from tlengine.features.cache import Hasher
from tlengine.finetuning.cut import Cut
from tlengine.finetuning.precision import computing
from tlengine.finetuning.prefix_tables import PrefixTables, byte_size, refuse_more
from tlengine.finetuning.standins import token_lengths, widened
from tlengine.plugins.contracts import Rows

__all__ = ["PrefixStore", "prefix_recipe"]

_BATCH = 8
"""Rows of every pass: the last bits of a row hang on the size of its batch, but not on the rows beside it."""

_BUCKET = 16
"""A row of tokens is computed and stored with the next multiple of so many, for the same reason."""

_LARGEST_HALF = 65504.0

Pair = tuple[int, int]
"""A row and the number of its view."""


def prefix_recipe(
    backbone: Backbone,
    cut: Cut,
    augmentation: Mapping[str, Any] | None = None,
    precision: str = "float32",
) -> dict[str, Any]:
    """What determines a row besides its content and the number of its view.

    Weights and structure are those in front of the cut alone: all fine-tunings of one backbone from the same
    block on share their rows, whatever they make of the rest.

    Args:
        backbone: whose network was cut.
        cut: checked.
        augmentation: of the views.
        precision: of the pass.

    Raises:
        UnhashableRecipeError, BackboneError: the network cannot be described.
    """
    part = copy.copy(backbone)
    part.module = cut.frozen()
    return {
        **part.recipe(precision),
        "kind": "prefix",
        "dim": list(cut.shape),
        "cut": cut.first,
        "layer": f"input of {cut.entry}",
        "augmentation": dict(augmentation or {}),
    }


class PrefixStore:
    """The inputs of a cut's block for rows and views: from memory, from the cache, or computed.

    A row is computed in a batch of fixed shape, so that its bytes hang on its content and view alone: runs
    that share a cache give what each of them gives alone.

    Args:
        backbone: whose network was cut; its preprocessing enters the key.
        cut: checked. The network's weights in front of it must stay as they are.
        rows: numbers of all rows that will be asked for.
        views: numbers of the views of each of them; ``[-1]`` for the rows as they are.
        load: the preprocessed sample of a row and view; a function of the row's content and the number alone,
            since rows are kept by their content.
        collate: preprocessed samples to what the network is called with, on its device.
        keys: the digests (m, 32) uint8 of the contents of rows.
        augmentation: all that determines a view besides content and number.
        cache: where rows are kept; None keeps them in memory.
        dtype: how they are kept: ``"float32"``, or ``"fp16"``, rounded, in half the space.
        precision: in which they are computed, ``"float32"``, ``"bf16"`` or ``"fp16"``: that in which the
            network is trained, and the cut was checked.
        max_disk: bytes that new rows may take in the cache; None for as many as are free.
        memory: bytes of rows at hand in memory.
        say: is told each note when it is made.

    Raises:
        InputError: an unknown dtype.
        CutRefused: more bytes than ``max_disk``, the disk or, without a cache, ``memory`` have room for.

    Attributes:
        notes: what was said: how much disk is taken, why rows are not kept.
        computed: rows that went through the frozen part.
        read: rows that came from the cache.
        seconds_saved: what the rows that were read had cost.

    >>> from torch import nn
    >>> from tlengine.features import ImagePreprocess, sample_key
    >>> network = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    >>> prep, blocks = ImagePreprocess(resize=8, crop=8), [["0"], ["1"]]
    >>> bb = Backbone(network, preprocess=prep, modality="image", name="mine", blocks=blocks)
    >>> images = np.random.default_rng(0).random((20, 3, 8, 8), np.float32)
    >>> cut = Cut(bb.module, bb.blocks, 1)
    >>> cut.check(torch.from_numpy(images))
    >>> store = PrefixStore(
    ...     bb,
    ...     cut,
    ...     rows=range(20),
    ...     load=lambda row, view: images[row],
    ...     collate=lambda samples: torch.from_numpy(np.stack(samples)),
    ...     keys=lambda rows: np.array([list(sample_key(images[row])) for row in rows], np.uint8),
    ... )
    >>> hidden, _ = store.hidden([3, 1, 3])
    >>> hidden.shape, cut.suffix(hidden).shape, store.computed
    (torch.Size([3, 4, 3, 3]), torch.Size([3, 4]), 8)
    """

    def __init__(
        self,
        backbone: Backbone,
        cut: Cut,
        *,
        rows: Sequence[int] | Rows,
        views: Iterable[int] = (-1,),
        load: Callable[[int, int], Any],
        collate: Callable[[Sequence[Any]], Any],
        keys: Callable[[Rows], npt.NDArray[np.uint8]],
        augmentation: Mapping[str, Any] | None = None,
        cache: EmbeddingCache | None = None,
        dtype: Literal["float32", "fp16"] = "float32",
        precision: str = "float32",
        max_disk: int | None = None,
        memory: int = 1 << 30,
        say: Callable[[str], None] | None = None,
    ) -> None:
        if dtype not in ("float32", "fp16"):
            raise InputError(f"dtype {dtype!r} for the frozen part", hint="use float32 or fp16")
        self._cut, self._load, self._collate, self._say = cut, load, collate, say
        self.notes: list[str] = []
        self.computed, self.read, self.seconds_saved = 0, 0, 0.0
        self._half, self._limit, self._precision = dtype == "fp16", memory, precision
        self._memory: OrderedDict[Pair, torch.Tensor] = OrderedDict()
        self._bytes = 0
        self._keys = _keys_by_row(rows, keys)
        pairs = [(row, int(view)) for view in views for row in self._keys]
        self._lengths = {pair: self._length(pair) if cut.tokens else 0 for pair in pairs}
        self._pad_id = int(getattr(backbone.preprocess, "pad_id", 0))
        self._most: int | None = getattr(backbone.preprocess, "max_tokens", None)
        recipe = prefix_recipe(backbone, cut, augmentation, precision)
        stored: Literal["float32", "float16"] = "float16" if self._half else "float32"
        self._tables = PrefixTables(cache, recipe, stored, self._columns, self._note)
        self._missing = self._not_kept(pairs)
        self._reserve(max_disk)
        if cut.tokens and self._most is None:
            self._refuse_padding()

    def bytes_needed(self, rows: Sequence[int] | Rows, views: Iterable[int] = (-1,)) -> int:
        """Bytes on disk for these rows in each of these views, as if none were kept yet.

        Raises:
            InputError: a row or view that the store was not made for.
        """
        pairs = [(int(row), int(view)) for view in views for row in rows]
        self._refuse_unknown(pairs)
        return sum(self._tables.size(self._width(pair)) for pair in dict.fromkeys(pairs))

    def hidden(
        self, rows: Sequence[int] | Rows, views: Sequence[int] | Rows | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The inputs of the block for a batch, as :meth:`Cut.suffix` takes them.

        Args:
            rows: (m,) of those that the store was made for, in any order, more than once if wanted.
            views: (m,) numbers of their views; None for the rows as they are.

        Returns:
            (m, …) on the network's device, the caller's own, in the dtype in which the block gets them
            (float32; by autocast it may be another one); and for texts (m,) int64, the tokens of each row:
            the first is then (m, the most tokens, d), with zeros behind a row's own.

        Raises:
            InputError: a row or view that the store was not made for.
            Exception: what ``load`` and ``collate`` raise.
        """
        numbers = [-1] * len(rows) if views is None else views
        pairs = [(int(row), int(view)) for row, view in zip(rows, numbers, strict=True)]
        self._refuse_unknown(pairs)
        self._fetch([pair for pair in dict.fromkeys(pairs) if pair not in self._memory])
        for pair in pairs:
            self._memory.move_to_end(pair)
        batch = self._batch([self._memory[pair] for pair in pairs])
        self._forget()
        return batch

    def _batch(self, found: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor | None]:
        device, dtype = self._cut.device, self._cut.dtype
        if not self._cut.tokens:
            return torch.stack([one.float() for one in found]).to(device, dtype), None
        padded = torch.nn.utils.rnn.pad_sequence([one.float() for one in found], batch_first=True)
        return padded.to(device, dtype), torch.tensor([len(one) for one in found], device=device)

    def _fetch(self, pairs: list[Pair]) -> None:
        """Into memory: from the cache in one call for each number of tokens, and what it lacks, computed."""
        groups: dict[int, list[Pair]] = {}
        for pair in pairs:
            groups.setdefault(self._width(pair), []).append(pair)
        for width, group in groups.items():
            if rest := self._read(width, group):
                self._compute(width, rest)

    def _read(self, width: int, pairs: list[Pair]) -> list[Pair]:
        """Take what the cache has; returns the others."""
        X, hit, seconds = self._tables.read(width, self._digests(pairs))
        for pair, row, there in zip(pairs, X, hit, strict=True):
            if there:
                self._missing.pop(pair, None)
                self._remember(pair, torch.from_numpy(row))
        self.read += int(hit.sum())
        self.seconds_saved += seconds * int(hit.sum())
        return [pair for pair, there in zip(pairs, hit, strict=True) if not there]

    def _compute(self, width: int, pairs: list[Pair]) -> None:
        """With others that will be asked for, so that no place in a batch is empty."""
        asked = set(pairs)
        others = (p for p in self._missing if p not in asked and self._width(p) == width)
        pairs = [*pairs, *(pair for pair, _ in zip(others, range(-len(pairs) % _BATCH), strict=False))]
        since, kept = time.perf_counter(), []
        for start in range(0, len(pairs), _BATCH):
            part = pairs[start : start + _BATCH]
            for pair, row in zip(part, self._pass(part, width), strict=True):
                self._missing.pop(pair, None)
                if self._remember(pair, row):
                    kept.append(pair)
        self.computed += len(pairs)
        X = np.zeros((len(kept), self._columns(width)), np.float32)
        for i, pair in enumerate(kept):
            flat = self._memory[pair].float().reshape(-1)
            X[i, : len(flat)] = flat
        self._tables.put(width, self._digests(kept), X, time.perf_counter() - since)

    def _pass(self, pairs: list[Pair], width: int) -> torch.Tensor:
        samples = [self._load(*pair) for pair in pairs]
        inputs = self._collate(samples + samples[-1:] * (_BATCH - len(samples)))
        if width:
            inputs = widened(inputs, width, {"input_ids": self._pad_id})
        kind = self._cut.device.type
        with torch.autocast(kind, enabled=False), computing(self._precision, kind, cached=False):
            return self._cut.prefix(inputs)[: len(pairs)].float().cpu()

    def _remember(self, pair: Pair, row: torch.Tensor) -> bool:
        """Without padding and in the precision in which it is kept; False where that cannot hold it."""
        shape = (-1, *self._cut.shape) if self._cut.tokens else self._cut.shape
        own = row.reshape(shape)[: self._lengths[pair]] if self._cut.tokens else row.reshape(shape)
        fits = not self._half or float(own.abs().max()) <= _LARGEST_HALF
        dtype = torch.float16 if self._half and fits else torch.float32
        self._bytes -= self._memory[pair].nbytes if pair in self._memory else 0
        self._memory[pair] = own.to(dtype, copy=True, memory_format=torch.contiguous_format)
        self._bytes += self._memory[pair].nbytes
        return fits

    def _forget(self) -> None:
        """The rows that were not used for the longest time, beyond the limit."""
        while self._bytes > self._limit and self._memory:
            self._bytes -= self._memory.popitem(last=False)[1].nbytes

    def _length(self, pair: Pair) -> int:
        lengths = token_lengths(self._collate([self._load(*pair)]))
        assert lengths is not None
        return int(lengths[0])

    def _width(self, pair: Pair) -> int:
        """The tokens with which a row is computed and stored; 0 where there are none."""
        width = -(-self._lengths[pair] // _BUCKET) * _BUCKET
        return width if self._most is None else min(width, self._most)

    def _columns(self, width: int) -> int:
        return math.prod(self._cut.shape) * (width or 1)

    def _digests(self, pairs: Sequence[Pair]) -> npt.NDArray[np.uint8]:
        """(m, 32): a digest of content and view number for each row."""
        found = np.empty((len(pairs), 32), np.uint8)
        for i, (row, view) in enumerate(pairs):
            hasher = Hasher()
            hasher.update(self._keys[row])
            hasher.update(view.to_bytes(16, "little", signed=True))
            found[i] = np.frombuffer(hasher.digest(), np.uint8)
        return found

    def _not_kept(self, pairs: Sequence[Pair]) -> dict[Pair, None]:
        """What the cache does not have, in order."""
        there = {width: self._tables.keys(width) for width in {self._width(pair) for pair in pairs}}
        digests = self._digests(pairs)
        return {
            pair: None
            for pair, digest in zip(pairs, digests, strict=True)
            if digest.tobytes() not in there[self._width(pair)]
        }

    def _reserve(self, max_disk: int | None) -> None:
        """Say how much room is needed, and refuse where there is less."""
        sizes = [self._tables.size(self._width(pair)) for pair in self._missing]
        if not sizes:
            return
        if not self._tables.keeps:
            refuse_more(sum(sizes), self._limit, "of memory", "keep them in a cache, or allow more memory")
            return
        self._tables.reserve(sum(sizes), max(sizes), max_disk)
        self._note(
            f"what the frozen part gives takes {byte_size(sum(sizes))} of disk: {len(sizes):,} rows "
            f"in {byte_size(max(sizes))} each at most"
        )

    def _refuse_padding(self) -> None:
        """A tokenizer that does not say how long its rows are: are padded ones too long for the network?"""
        longest = max(self._missing, key=self._width, default=None)
        if longest is not None:
            try:
                self._pass([longest], self._width(longest))
            except (IndexError, RuntimeError) as error:
                raise CutRefused(
                    f"the network fails with {self._width(longest)} tokens: {error}",
                    hint="give the preprocessing an attribute max_tokens",
                ) from error

    def _refuse_unknown(self, pairs: Sequence[Pair]) -> None:
        for row, view in pairs:
            if (row, view) not in self._lengths:
                raise InputError(
                    f"row {row} in view {view} is not one of {len(self._lengths)} that were announced",
                    hint="name all rows and views when the store is made",
                )

    def _note(self, text: str) -> None:
        self.notes.append(text)
        if self._say is not None:
            self._say(text)


def _keys_by_row(
    rows: Sequence[int] | Rows, keys: Callable[[Rows], npt.NDArray[np.uint8]]
) -> dict[int, npt.NDArray[np.uint8]]:
    numbers = np.unique(np.asarray(rows, dtype=np.intp))
    return dict(zip(numbers.tolist(), keys(numbers), strict=True))
