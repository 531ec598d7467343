"""Results above 16 MiB, whose bytes are written past the processor's caches."""

from __future__ import annotations

import numpy as np
import pytest

from tlengine.features.cache import EmbeddingCache

RECIPE = {"backbone": "large"}


@pytest.mark.parametrize("dim", [768, 1001])
def test_a_large_gather_equals_what_was_put_and_misses_what_is_damaged(tmp_path, dim):
    rng = np.random.default_rng(0)
    rows = (20 << 20) // (4 * dim)
    keys = rng.integers(0, 256, (rows, 32)).astype(np.uint8)
    X = rng.standard_normal((rows, dim), dtype=np.float32)
    with EmbeddingCache(tmp_path) as cache:
        cache.table(RECIPE, dim=dim).put(keys, X)
    order = rng.permutation(rows)
    with EmbeddingCache(tmp_path) as cache:
        found, hit = cache.table(RECIPE, dim=dim).get(keys[order])
    assert found.nbytes > 16 << 20
    assert hit.all()
    np.testing.assert_array_equal(found, X[order])

    victim = X[rows // 2].tobytes()
    (segment,) = [path for path in tmp_path.rglob("*") if path.is_file() and victim in path.read_bytes()]
    data = bytearray(segment.read_bytes())
    data[data.find(victim) + 5] ^= 1
    segment.chmod(0o644)
    segment.write_bytes(data)
    with EmbeddingCache(tmp_path) as cache, pytest.warns():
        found, hit = cache.table(RECIPE, dim=dim).get(keys)
    assert np.flatnonzero(~hit).tolist() == [rows // 2]
    np.testing.assert_array_equal(found, np.where(hit[:, None], X, 0))
