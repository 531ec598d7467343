"""What others do for nearest neighbours, each prepared once and then timed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Work = Callable[[], Any]


def load(folder: Path) -> tuple[Any, Any]:
    """Unit rows (n, d) and queries (m, d) in float32."""
    return np.load(folder / "X.npy"), np.load(folder / "Q.npy")


def faiss_flat(folder: Path, k: int, queries: int) -> Work:
    """``IndexFlatIP`` of faiss."""
    import faiss

    X, Q = load(folder)
    index = faiss.IndexFlatIP(X.shape[1])
    index.add(X)
    return lambda: index.search(Q[:queries], k)[1]


def torch_topk(folder: Path, k: int, queries: int) -> Work:
    """A matrix product and ``topk`` of torch."""
    import torch

    X, Q = (torch.from_numpy(array) for array in load(folder))
    return lambda: (Q[:queries] @ X.T).topk(k, dim=1)[1].numpy()


def sklearn_brute(folder: Path, k: int, queries: int) -> Work:
    """``NearestNeighbors(algorithm="brute")`` of scikit-learn; on unit rows the order is the same."""
    from sklearn.neighbors import NearestNeighbors

    X, Q = load(folder)
    search = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(X)
    return lambda: search.kneighbors(Q[:queries], return_distance=False)


def dino_vote(folder: Path, ks: list[int], classes: int, temperature: float) -> Work:
    """The vote of DINOv2's kNN evaluation, written anew: one-hot labels times softmax weights."""
    import torch

    rows, scores, labels = (
        torch.from_numpy(np.load(folder / f"{name}.npy")) for name in ("rows", "scores", "labels")
    )

    def vote(rows: Any, scores: Any) -> dict[int, Any]:
        weights = torch.softmax(scores / temperature, dim=1)
        one_hot = torch.nn.functional.one_hot(labels[rows], num_classes=classes)
        votes = one_hot * weights[..., None]
        return {k: votes[:, :k].sum(dim=1) for k in ks}

    def work() -> Any:
        parts = [vote(r, s) for r, s in zip(rows.split(256), scores.split(256), strict=True)]
        return {k: torch.cat([part[k] for part in parts]).numpy() for k in ks}

    return work
