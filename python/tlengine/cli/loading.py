"""From the command line's words to samples and features."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from tlengine.cli.common import COLUMNS, DataOptions, say

if TYPE_CHECKING:
    from tlengine.data import Dataset
    from tlengine.types import Features

__all__ = ["open_dataset", "open_features", "open_labelled", "open_unlabelled"]


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


def is_npy(data: str) -> bool:
    """Whether DATA is an array in a file of its own."""
    return data.lower().endswith(".npy")


def open_labelled(data: str, labels: Path | None, groups: Path | None, options: DataOptions) -> Dataset:
    """The dataset with its labels: one source, or a file for each array.

    Raises:
        UsageError: ``labels`` or ``groups`` beside a source that has its own; none beside an array.
    """
    if not is_npy(data):
        if labels is not None or groups is not None:
            raise click.UsageError("--labels and --groups belong to a .npy of features")
        return open_dataset(data, options)
    if labels is None:
        raise click.UsageError(f"{data} has no labels: name theirs with --labels y.npy")
    return _open_npy(data, labels, groups, options)


def open_unlabelled(data: str, options: DataOptions) -> Dataset:
    """The dataset; its labels, if it has some, are not read."""
    if not is_npy(data):
        return open_dataset(data, options, labels="ignore")
    return _open_npy(data, None, None, options)


def _open_npy(data: str, labels: Path | None, groups: Path | None, options: DataOptions) -> Dataset:
    from tlengine.data.npy import dataset_from_npy

    if named := [name for name, column in options.columns.items() if column is not None]:
        raise click.UsageError(f"a .npy has no columns, so --{named[0]} names none")
    return dataset_from_npy(Path(data), labels=labels, groups=groups)


def open_features(
    dataset: Dataset,
    backbone: str | None,
    options: DataOptions,
    *,
    keep: bool = False,
    image_size: int | None = None,
) -> Features:
    """The dataset's features: its own, or by one backbone through the cache.

    With ``keep`` a few samples come with them, for a model or a file that is to be kept. ``image_size`` is
    the side of the pictures, in place of the backbone's own.

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
    loaded = load_backbone(backbone, image_size=image_size)
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
