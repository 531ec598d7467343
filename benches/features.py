"""Real features for the probe benchmarks: extracted once, then from the embedding cache."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

Data = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]
REUTERS = Path(__file__).parents[2] / "shared" / "data" / "reuters-r8-train.csv.gz"


@cache
def text() -> Data | None:
    """Reuters R8 through MiniLM: 5,485 x 384, 8 classes. None where the data are not at hand."""
    kept = _kept("reuters-minilm.npz", "X_train", "y_train")
    if kept is not None or not REUTERS.exists():
        return kept
    return _extract(REUTERS, "minilm")


@cache
def image() -> Data:
    """Simulated textile textures through EfficientNet-Lite0: 2,000 x 1,280, 3 classes."""
    kept = _kept("textile-lite0.npz", "X", "y")
    if kept is not None:
        return kept
    import conformal_clip_data

    folder = Path(conformal_clip_data.__file__).parent / "data" / "textile_images" / "simulated"
    return _extract(folder, "efficientnet-lite0")


def synthetic(
    n: int,
    d: int,
    classes: int,
    seed: int = 0,
    *,
    turned: bool = False,
    signal: float = 2.0,
    scale: float = 1.0,
    noise: float = 0.0,
) -> Data:
    """Gaussian classes with a power-law spectrum and a common offset.

    Args:
        n: rows.
        d: columns.
        classes: how many.
        seed: of everything.
        turned: the axes of the spectrum are not the columns, as in features of a network.
        signal: distance of the classes, in standard deviations.
        scale: of all features.
        noise: share of rows with a class drawn at random.
    """
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    spectrum = np.arange(1, d + 1) ** -0.5
    X = rng.standard_normal((n, d)) * spectrum
    X += signal * (rng.standard_normal((classes, d)) * spectrum)[y]
    if turned:
        X @= np.linalg.qr(rng.standard_normal((d, d)))[0]
    X = ((X + rng.standard_normal(d)) * scale).astype(np.float32)
    return X, np.where(rng.random(n) < noise, rng.integers(0, classes, n), y) if noise else y


def _kept(name: str, X: str, y: str) -> Data | None:
    """Features saved by hand in ``$TLENGINE_BENCH_DATA``, to skip the extraction."""
    path = Path(os.environ.get("TLENGINE_BENCH_DATA", ".")) / name
    if not path.exists():
        return None
    with np.load(path) as saved:
        return np.ascontiguousarray(saved[X]), np.unique(saved[y], return_inverse=True)[1]


def _extract(source: Path, backbone: str) -> Data:
    import tlengine as tl

    found = tl.extract(tl.load_dataset(source), tl.load_backbone(backbone), cache=tl.EmbeddingCache())
    assert found.y is not None
    return found.X, np.unique(found.y, return_inverse=True)[1]
