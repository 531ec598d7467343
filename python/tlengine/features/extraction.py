"""A dataset through a backbone: each content is embedded once, ever, and a row is kept as soon as it is."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from tlengine.data import Dataset
from tlengine.errors import DecodeError, InputError, TlengineWarning
from tlengine.features.backbone import Backbone
from tlengine.features.batching import RANDOM, Batch, image_batches, text_batches
from tlengine.features.cache import CacheLike, opened
from tlengine.features.contents import CHANGING, Hashed
from tlengine.features.forward import Forward, choose_device
from tlengine.features.images import MAX_PIXELS
from tlengine.features.loading import load_backbone
from tlengine.features.store import DistinctContents, Store
from tlengine.features.telling import depths_message, unreadable_message
from tlengine.settings import hidden_bar
from tlengine.types import ExtractionStats, Failure, Features

__all__ = ["extract"]

_BATCH = {"cpu": 8, "cuda": 256, "mps": 64}
"""Samples per forward pass where the user names no number."""


def extract(
    ds: Dataset,
    bb: Backbone | str,
    *,
    cache: CacheLike = True,
    image_size: int | None = None,
    device: str = "auto",
    batch_size: int | None = None,
    workers: int | None = None,
    precision: str = "float32",
    max_pixels: int = MAX_PIXELS,
    progress: bool = True,
    strict: bool = False,
) -> Features:
    """The embeddings of ``ds`` by ``bb``, in the order of the dataset.

    Rows are looked up in ``cache`` first; a row that is computed is committed with its batch, so that an
    interrupted call goes on where it stopped. Equal contents are embedded once. In float32 the result
    does not depend on batch size, workers or order (within 1e-5).

    Args:
        ds: images or texts.
        bb: a backbone, or its name.
        cache: where rows are kept: True is the usual cache (``TLENGINE_HOME``), a path or an
            ``EmbeddingCache`` another one; None or False keeps nothing.
        image_size: side of the pictures in pixels, in place of the backbone's own; see
            :meth:`Backbone.at_size`.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        batch_size: samples per forward pass; None takes 8 on a CPU, 256 on CUDA. Halved when memory ends.
        workers: decoding processes for images; None takes half the cores.
        precision: ``float32``, ``bf16`` or ``fp16``; rows of each are cached apart.
        max_pixels: images with more are failures, by their header.
        progress: show a bar on stderr, if that is a terminal.
        strict: raise if any sample cannot be read.

    Returns:
        Features with float32 ``X`` (n_readable, embedding_dim), ``keys``, ``stats`` and ``failures``.

    Raises:
        InputError: a dataset of another modality; a batch size, worker count or precision out of range; an
            image size that is not allowed, or of a backbone that takes none; items
            that are other ones each time they are read, or a preprocessing that is random.
        DecodeError: no sample can be read, or with ``strict`` any cannot.
        ResourceError: memory ended at a batch of one; a worker died. Rows committed before are kept.
        CacheFullError: the disk is full. Rows committed before are kept.
        BackboneError, PluginError: the backbone returned another shape, or NaN.

    >>> import tlengine as tl
    >>> feats = tl.extract(tl.load_dataset(["a film", "a film", "a book"]), "raw", progress=False)
    >>> feats.X.shape, feats.stats.embedded
    ((3, 3072), 2)
    """
    started = time.perf_counter()
    bb = _backbone(bb) if image_size is None else _backbone(bb).at_size(image_size)
    contents = _checked_contents(ds, bb, batch_size, workers)
    bb = bb.for_modality(ds.modality)
    device = choose_device(device)
    size = batch_size or _BATCH[device.partition(":")[0]]
    samples = DistinctContents.of(contents)
    recipe = bb.recipe(precision)
    notes: Counter[str] = Counter()
    with (
        opened(cache) as kept,
        contextlib.closing(Store(kept, recipe, samples.keys[samples.first], bb.embedding_dim)) as store,
    ):
        if todo := [samples.first[i] for i in store.missing()]:
            hashed = Hashed(contents, samples.keys)
            if ds.modality == "image":
                batches = image_batches(
                    hashed, todo, bb.preprocess, batch_size=size, workers=workers, max_pixels=max_pixels
                )
            else:
                batches = text_batches(hashed, todo, bb.preprocess, batch_size=size)
            with Forward(bb, device, precision) as forward:
                for batch in _shown(batches, len(todo), ds.modality, progress):
                    _refuse_random(ds, bb, batch)
                    _embed(batch, forward, samples, store)
                    notes.update(batch.notes.values())
    if notes:
        warnings.warn(depths_message(ds.name, notes), TlengineWarning, stacklevel=2)
    rows = _readable(ds, bb, samples, strict)
    stats = ExtractionStats(
        rows=len(ds),
        embedded=store.embedded,
        cached=len(rows) - store.embedded,
        failed=len(samples.failures),
        seconds=time.perf_counter() - started,
        device=device,
        precision=precision,
        seconds_saved=store.seconds_saved,
    )
    return _features(ds, bb, samples, store, rows, stats, recipe)


def _backbone(bb: Any) -> Backbone:
    if isinstance(bb, str):
        return load_backbone(bb)
    if not isinstance(bb, Backbone):
        raise InputError(
            f"a {type(bb).__name__} is no backbone",
            hint="pass a name, or tl.Backbone(module, preprocess=..., modality=..., name=...)",
        )
    return bb


def _checked_contents(
    ds: Dataset, bb: Backbone, batch_size: int | None, workers: int | None
) -> Sequence[Any]:
    if ds.contents is None or not bb.takes(ds.modality):
        raise InputError(
            f"{ds.name} holds {ds.modality}, backbone {bb.name!r} takes {bb.modality}",
            hint="features need no backbone" if ds.contents is None else "choose another --backbone",
        )
    for name, value, least in (("batch_size", batch_size, 1), ("workers", workers, 0)):
        if value is not None and not (isinstance(value, int | np.integer) and value >= least):
            raise InputError(f"{name} is {value!r:.40}", hint=f"use a whole number, {least} or more")
    return ds.contents


def _shown(batches: Iterator[Batch], total: int, unit: str, progress: bool) -> Iterator[Batch]:
    """``batches``, with a bar on stderr that counts samples; None lets tqdm look for a terminal."""
    with tqdm(total=total, unit=unit, desc="embedding", disable=hidden_bar(progress)) as bar:
        for batch in batches:
            yield batch
            bar.update(len(batch))


def _refuse_random(ds: Dataset, bb: Backbone, batch: Batch) -> None:
    """One draw of an augmentation must not become the row of a sample."""
    for row, reason in batch.failures.items():
        if reason == CHANGING:
            raise InputError(
                f"{ds.name}: sample {ds.ids[row]!r} cannot be embedded: {CHANGING}",
                hint="turn random augmentation off: features are computed once and kept",
            )
        if reason == RANDOM:
            raise bb.fault(
                f"{RANDOM} (sample {ds.ids[row]!r})",
                hint="leave random steps out of preprocess: features are computed once and kept",
            )


def _embed(batch: Batch, forward: Forward, samples: DistinctContents, store: Store) -> None:
    for row, reason in batch.failures.items():
        samples.fail(row, reason)
    if batch.rows:
        store.put(samples.distinct[batch.rows], forward(batch.arrays))


def _readable(ds: Dataset, bb: Backbone, samples: DistinctContents, strict: bool) -> npt.NDArray[np.intp]:
    """The rows to return; says on the way which ones are not among them.

    Raises:
        DecodeError: none is left, or with ``strict`` one is missing.
        BackboneError, PluginError: the preprocessing failed on all of them.
    """
    rows = samples.readable()
    failures = samples.failures
    if not failures:
        return rows
    reasons = sorted(set(failures.values()))
    if not len(rows) and all(reason.startswith("preprocessing ") for reason in reasons):
        raise bb.fault(
            f"cannot preprocess any of {len(ds)} samples: {reasons[0]}", hint="mend its preprocess"
        )
    message = unreadable_message(ds, failures, rows)
    if strict or not len(rows):
        raise DecodeError(message, hint="mend or remove them" if len(rows) else "check the paths and formats")
    warnings.warn(message, TlengineWarning, stacklevel=3)
    return rows


def _features(
    ds: Dataset,
    bb: Backbone,
    samples: DistinctContents,
    store: Store,
    rows: npt.NDArray[np.intp],
    stats: ExtractionStats,
    recipe: Mapping[str, Any],
) -> Features:
    kept = ds if len(rows) == len(ds) else ds.take(rows)
    index = samples.distinct[rows]
    in_order = np.array_equal(index, np.arange(len(store.X)))
    return Features(
        X=store.X if in_order else store.X[index],
        ids=kept.ids,
        y=kept.y,
        groups=kept.groups,
        domains=kept.domains,
        splits=kept.splits,
        keys=samples.keys[rows],
        backbone=bb.name,
        fingerprint=str(recipe["fingerprint"]),
        dataset=ds.name,
        stats=stats,
        failures=tuple(
            Failure(id=str(ds.ids[row]), reason=why) for row, why in sorted(samples.failures.items())
        ),
        recipe=recipe,
        rows=rows,
    )
