"""The embedding cache: a row that was computed once is read ever after, and is never wrong.

>>> import tempfile
>>> import numpy as np
>>> cache = EmbeddingCache(tempfile.mkdtemp())
>>> table = cache.table({"weights": "…", "pooling": "mean"}, dim=4)
>>> keys = [sample_key("a text"), sample_key("another")]
>>> table.put(keys, np.ones((2, 4), np.float32))
2
>>> table.flush()
>>> X, hit = table.get([sample_key("another"), sample_key("not there")])
>>> X.tolist(), hit.tolist()
([[1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]], [True, False])
>>> cache.close()
"""

from tlengine.features.cache.choosing import CacheLike, opened
from tlengine.features.cache.embedding_cache import EmbeddingCache
from tlengine.features.cache.keys import Hasher, blake3_hex, sample_key
from tlengine.features.cache.table import Table
from tlengine.features.cache.views import SegmentView

__all__ = [
    "CacheLike",
    "EmbeddingCache",
    "Hasher",
    "SegmentView",
    "Table",
    "blake3_hex",
    "opened",
    "sample_key",
]
