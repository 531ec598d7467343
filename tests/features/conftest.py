"""Small photographs and a cache; with torch, a small network as well."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tlengine.features import EmbeddingCache

if find_spec("torch"):  # scripts/next_python.sh runs the tests of the cache without it
    from tests.features.networks import backbone, net  # noqa: F401 - fixtures


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Ten images of several sizes in two classes."""
    rng = np.random.default_rng(0)
    for i in range(10):
        path = tmp_path / "photos" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (16 + i, 30 - i, 3), dtype=np.uint8)).save(path)
    return tmp_path / "photos"


@pytest.fixture
def cache(tmp_path: Path) -> EmbeddingCache:
    return EmbeddingCache(tmp_path / "cache")
