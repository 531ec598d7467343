"""Three samples and their embeddings, kept with a model: does a backbone of today still give them?"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from tlengine.errors import BackboneError
from tlengine.features.contents import Hashed
from tlengine.features.images import MAX_PIXELS
from tlengine.types import CheckRows, Features

if TYPE_CHECKING:
    from tlengine.data import Dataset
    from tlengine.features.backbone import Backbone
    from tlengine.features.batching import Batch

__all__ = ["largest_difference", "other_backbone", "with_check_rows"]

_ROWS = 3
_LIMIT = 8 << 20
"""Bytes of inputs that a model may carry; larger ones are left out."""


def with_check_rows(
    features: Features, ds: Dataset, bb: Backbone, *, max_pixels: int = MAX_PIXELS
) -> Features:
    """``features`` with up to three of their samples, preprocessed, beside their embeddings.

    The first, the middle and the last row are taken, as far as they fit into 8 MiB together.
    """
    assert features.rows is not None, "extraction names the rows"
    assert features.keys is not None
    chosen = np.unique(np.linspace(0, len(features) - 1, _ROWS).astype(int))
    keys = np.zeros((len(ds), 32), np.uint8)
    keys[features.rows] = features.keys
    assert ds.contents is not None
    batch = _preprocessed(Hashed(ds.contents, keys), features.rows[chosen].tolist(), ds, bb, max_pixels)
    place = {int(features.rows[i]): i for i in chosen}
    kept, size = [], 0
    for row, array in zip(batch.rows, batch.arrays, strict=True):
        if (size := size + array.nbytes) <= _LIMIT:
            kept.append((np.ascontiguousarray(array), features.X[place[row]]))
    if not kept:
        return features
    inputs, X = zip(*kept, strict=True)
    return replace(features, check_rows=CheckRows(inputs=inputs, X=np.stack(X)))


def _preprocessed(contents: Hashed, rows: list[int], ds: Dataset, bb: Backbone, max_pixels: int) -> Batch:
    from tlengine.features.batching import Batch, image_batches, text_batches

    if ds.modality == "image":
        batches = image_batches(
            contents, rows, bb.preprocess, batch_size=_ROWS, workers=0, max_pixels=max_pixels
        )
    else:
        batches = text_batches(contents, rows, bb.preprocess, batch_size=_ROWS)
    whole = Batch()
    for batch in batches:
        whole.rows += batch.rows
        whole.arrays += batch.arrays
    return whole


def largest_difference(check: CheckRows, bb: Backbone, *, device: str = "cpu", precision: str) -> float:
    """How far the embeddings by ``bb`` are from the kept ones, relative to the largest number of a row.

    Raises:
        BackboneError, PluginError: the backbone gives rows of another width, or none.
    """
    from tlengine.features.forward import Forward

    with Forward(bb, device, precision) as forward:
        now = np.concatenate([forward([row]) for row in check.inputs])
    if now.shape != check.X.shape:
        return float("inf")
    scale = np.maximum(np.abs(check.X).max(axis=1), np.finfo(np.float32).tiny)
    return float((np.abs(now - check.X).max(axis=1) / scale).max())


def other_backbone(found: str | None, name: str, fitted: str | None, why: str) -> BackboneError:
    """The error of a model that is to be used with another backbone than its own.

    Args:
        found: the fingerprint of what was given.
        name: its name.
        fitted: the fingerprint that the model was fitted with.
        why: what is different.
    """
    return BackboneError(
        f"backbone {name!r} has fingerprint {_short(found)}, the model was fitted with {_short(fitted)}",
        hint=f"{why}; run compare again to fit a new model",
    )


def _short(fingerprint: str | None) -> str:
    return "none" if fingerprint is None else fingerprint[:12]
