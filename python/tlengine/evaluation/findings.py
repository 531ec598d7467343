"""What a run noticed about single samples: mistakes, confusions, near-duplicates, contradicting labels."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.data.resamples import Plan
from tlengine.diagnostics.duplicates import conflicting_labels, near_duplicates
from tlengine.errors import DecodeError
from tlengine.statistics import Outcome, pool

__all__ = ["confusion", "duplicates", "hardest_mistakes", "label_conflicts", "preview"]

SHOWN = 50
THUMBNAIL = 160
SNIPPET = 280


def confusion(outcomes: Sequence[Outcome], n_classes: int) -> list[list[int]]:
    """Counts over all seeds: rows are true classes, columns predicted ones.

    >>> o = Outcome.of(np.arange(2), np.array([0, 1]), np.array([[0.9, 0.1], [0.8, 0.2]]), counts=[1, 1])
    >>> confusion([o], 2)
    [[1, 0], [1, 0]]
    """
    whole = pool(outcomes)
    cells = np.bincount(whole.truth * n_classes + whole.predicted, minlength=n_classes**2)
    counts: list[list[int]] = cells.reshape(n_classes, n_classes).tolist()
    return counts


def hardest_mistakes(outcomes: Sequence[Outcome], n: int = 10) -> list[dict[str, Any]]:
    """Rows wrong in at least half of the seeds that tested them, the least believed truth first.

    Returns:
        Records with ``row``, ``truth`` and ``predicted`` (class numbers), ``confidence`` (mean probability
        of what was predicted), ``p_true``, ``tested`` and ``wrong`` (how often).
    """
    whole = pool(outcomes)
    own = np.arange(len(whole.rows))
    confidence, true = whole.proba[own, whole.predicted], whole.proba[own, whole.truth]
    rows, at = np.unique(whole.rows, return_inverse=True)
    tested = np.bincount(at)
    wrong = np.bincount(at, weights=1 - whole.correct)
    p_true = np.bincount(at, weights=true) / tested
    candidates = np.flatnonzero(2 * wrong >= np.maximum(tested, 1))
    candidates = candidates[wrong[candidates] > 0]
    chosen = candidates[np.lexsort((rows[candidates], p_true[candidates]))][:n]
    records = []
    for i in chosen.tolist():
        mistaken = (at == i) & (whole.correct == 0)
        records.append(
            {
                "row": int(rows[i]),
                "truth": int(whole.truth[mistaken][0]),
                "predicted": int(np.bincount(whole.predicted[mistaken]).argmax()),
                "confidence": float(confidence[mistaken].mean()),
                "p_true": float(p_true[i]),
                "tested": int(tested[i]),
                "wrong": int(wrong[i]),
            }
        )
    return records


def duplicates(
    X: npt.NDArray[np.float32], ids: npt.NDArray[np.str_], y: npt.NDArray[Any], plan: Plan
) -> dict[str, Any]:
    """Test rows that nearly repeat a training row, over all resamples.

    Returns:
        ``count`` distinct test rows, ``tested`` distinct rows tested, the least ``threshold`` of
        similarity, up to 50 ``pairs`` (the most similar first), and ``straddling``: identical contents or
        groups in two parts of the user's own split.
    """
    best: dict[int, tuple[float, int]] = {}
    tested: set[int] = set()
    threshold = 1.0
    for resample in _distinct(plan):
        found = near_duplicates(X[resample.test], X[resample.train])
        threshold = min(threshold, found.threshold)
        tested.update(resample.test.tolist())
        for row, twin, similarity in zip(found.rows, found.nearest, found.similarity, strict=True):
            pair = (float(similarity), int(resample.train[twin]))
            best[int(resample.test[row])] = max(pair, best.get(int(resample.test[row]), pair))
    pairs = sorted(best.items(), key=lambda item: (-item[1][0], item[0]))
    return {
        "threshold": round(threshold, 4),
        "count": len(best),
        "tested": len(tested),
        "straddling": plan.straddling,
        "pairs": [
            {
                "id": str(ids[row]),
                "twin": str(ids[twin]),
                "similarity": round(similarity, 5),
                "same_label": bool(y[row] == y[twin]),
            }
            for row, (similarity, twin) in pairs[:SHOWN]
        ],
    }


def _distinct(plan: Plan) -> list[Any]:
    """Resamples with different test parts; a given split repeats one for every seed."""
    return list(plan.resamples[:1] if plan.kind == "given" else plan.resamples)


def label_conflicts(
    keys: npt.NDArray[np.uint8], y: npt.NDArray[Any], ids: npt.NDArray[np.str_]
) -> list[dict[str, Any]]:
    """Samples of identical content with different labels; up to 50 sets."""
    return [
        {"ids": [str(i) for i in ids[rows]], "labels": [str(label) for label in y[rows]]}
        for rows in conflicting_labels(keys, y)[:SHOWN]
    ]


def preview(content: Any) -> dict[str, str] | None:
    """A sample small enough to show: a re-encoded thumbnail as a ``data:`` URI, or the beginning of a text.

    >>> preview("hello")
    {'kind': 'text', 'text': 'hello'}
    """
    if isinstance(content, str):
        return {"kind": "text", "text": content[:SNIPPET] + ("…" if len(content) > SNIPPET else "")}
    from tlengine.features.images import decode_image

    try:
        image = decode_image(content)
    except DecodeError:
        return None
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    out = io.BytesIO()
    image.convert("RGB").save(out, "JPEG", quality=72)
    return {"kind": "image", "src": "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()}
