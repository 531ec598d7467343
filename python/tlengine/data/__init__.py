"""Data: folders, tables, arrays and dataset objects become samples; rows get their roles.

In: a path or an object. Out: :class:`Dataset` (:func:`load_dataset`); resamples and budgets over its
rows live in :mod:`.resamples` and :mod:`.budgets`. No torch here.
"""

from __future__ import annotations

from tlengine.data.dataset import Dataset
from tlengine.data.sources import load_dataset

__all__ = ["Dataset", "load_dataset"]
