"""What a command keeps: a fitted probe with the backbone it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tlengine.data import Dataset
    from tlengine.types import CheckRows, Features

__all__ = ["AS_OFFERED", "save_model", "to_be_kept"]

AS_OFFERED: Mapping[str, Any] = {"kind": "logits", "value": 1.0, "reading": "offered"}
"""Calibration of an estimator whose probabilities are taken as they are."""


def to_be_kept(features: Features, data: str) -> Features:
    """``features`` with the samples that a model keeps; those of an ``.npz`` lie in the file."""
    if features.check_rows is not None or not data.lower().endswith(".npz"):
        return features
    return replace(features, check_rows=_stored_check_rows(Path(data)))


def _stored_check_rows(path: Path) -> CheckRows | None:
    import numpy as np

    from tlengine.types import CheckRows

    with np.load(path, allow_pickle=False) as archive:
        if "check_embeddings" not in archive.files:
            return None
        names = sorted(name for name in archive.files if name.startswith("check_input_"))
        return CheckRows(inputs=tuple(archive[name] for name in names), X=archive["check_embeddings"])


def save_model(
    estimator: Any,
    features: Features,
    dataset: Dataset,
    out: Path,
    *,
    strategy: str,
    chosen: Mapping[str, Any],
    rows: int,
    calibration: Mapping[str, Any] = AS_OFFERED,
) -> str:
    """Write the folder that ``tlengine predict`` takes; returns its path."""
    from tlengine.evaluation import Model
    from tlengine.evaluation.sizes import told_size

    metadata = {
        "backbone": features.backbone,
        "fingerprint": features.fingerprint,
        "modality": dataset.metadata.get("modality", dataset.modality),
        "recipe": dict(features.recipe),
        "image_size": told_size(dataset.metadata),
        "strategy": strategy,
        "chosen": dict(chosen),
        "classes": [str(label) for label in estimator.classes_],
        "rows": rows,
    }
    model = Model(
        estimator=estimator, calibration=calibration, metadata=metadata, check_rows=features.check_rows
    )
    return str(model.save(out))
