"""Does the backbone of today give the rows of yesterday? A sample is embedded anew and compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tlengine.errors import InputError
from tlengine.features.backbone import Backbone
from tlengine.features.extraction import extract
from tlengine.features.loading import load_backbone

if TYPE_CHECKING:
    from tlengine.data import Dataset
    from tlengine.features.cache import EmbeddingCache

__all__ = ["Drift", "measure_drift"]


@dataclass(frozen=True, kw_only=True)
class Drift:
    """How far rows embedded anew are from those in the cache.

    Attributes:
        rows: samples embedded anew; ``compared``: how many of them the cache holds.
        largest: the largest distance between old and new row, relative to the length of the old one.
        id: the sample with that distance, or None where nothing was compared.
    """

    rows: int
    compared: int
    largest: float
    id: str | None


def measure_drift(
    ds: Dataset, bb: Backbone | str, cache: EmbeddingCache, *, rows: int = 16, seed: int = 0
) -> Drift:
    """Embed ``rows`` samples of ``ds`` anew and compare them with the cache.

    Other versions of libraries or another processor change the last digits (1e-6 in float32); more means
    that something which determines the rows is not in the recipe.

    Raises:
        InputError: fewer than one row.
    """
    if rows < 1:
        raise InputError(f"rows={rows} to compute anew", hint="use 1 or more")
    bb = load_backbone(bb) if isinstance(bb, str) else bb
    chosen = np.sort(np.random.default_rng(seed).permutation(len(ds))[:rows])
    fresh = extract(ds.take(chosen), bb, cache=None, progress=False)
    assert fresh.keys is not None, "extraction names every row"
    table = cache.find(fresh.recipe, dim=fresh.dim)
    if table is None or not (found := table.get(fresh.keys))[1].any():
        return Drift(rows=len(fresh), compared=0, largest=0.0, id=None)
    old, hit = found
    scale = np.maximum(np.linalg.norm(old[hit], axis=1), np.finfo(np.float32).tiny)
    distance = np.linalg.norm(fresh.X[hit] - old[hit], axis=1) / scale
    worst = int(distance.argmax())
    return Drift(
        rows=len(fresh),
        compared=int(hit.sum()),
        largest=float(distance[worst]),
        id=str(fresh.ids[hit][worst]),
    )
