"""From the command line's words to samples and features."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from tlengine.cli.common import COLUMNS, DataOptions, say

if TYPE_CHECKING:
    from tlengine.data import Dataset
    from tlengine.types import Features

__all__ = ["open_dataset", "open_features"]


def open_dataset(
    data: str, options: DataOptions, labels: Literal["auto", "require", "ignore"] = "require"
) -> Dataset:
    """The dataset; guessed columns are named on stderr."""
    from tlengine.data import load_dataset

    dataset = load_dataset(data, labels=labels, **options.columns)
    guessed = [f"{role} {dataset.metadata[role]!r}" for role in COLUMNS if role in dataset.metadata]
    if guessed:
        say(f"columns: {', '.join(guessed)}", quiet=options.quiet)
    return dataset


def open_features(
    dataset: Dataset, backbone: str | None, options: DataOptions, *, keep: bool = False
) -> Features:
    """The dataset's features: its own, or by one backbone through the cache.

    With ``keep`` a few samples come with them, for a model or a file that is to be kept.

    Raises:
        InputError: a backbone for features, or several backbones.
    """
    from tlengine.errors import InputError

    if dataset.modality == "features":
        if backbone is not None:
            raise InputError(f"{dataset.name} holds features already", hint="leave --backbone out")
        return replace(dataset.to_features(), recipe=_recipe(dataset.metadata.get("recipe", "")))
    from tlengine.features import default_backbone, extract, load_backbone, with_check_rows

    if backbone is None:
        backbone = default_backbone(dataset.modality)
        say(f"backbone: {backbone} (the default for {dataset.modality} data)", quiet=options.quiet)
    if "," in backbone:
        raise InputError(f"one backbone at a time, not {backbone!r}", hint="tlengine compare takes several")
    loaded = load_backbone(backbone)
    features = extract(dataset, loaded, progress=not options.quiet, **options.extraction)
    limit = options.extraction["max_pixels"]
    return with_check_rows(features, dataset, loaded, max_pixels=limit) if keep else features


def _recipe(text: str) -> dict[str, Any]:
    """The recipe that ``extract`` wrote; empty where the text is the user's own, and no JSON object."""
    try:
        recipe = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return recipe if isinstance(recipe, dict) else {}
