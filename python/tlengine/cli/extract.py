"""``tlengine extract``: a dataset through a backbone, each content once, ever."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tlengine.cli.common import (
    DataOptions,
    backbone_option,
    data_options,
    echo,
    image_size_option,
    print_json,
    say,
)
from tlengine.cli.loading import open_dataset, open_features
from tlengine.documents import replace_file

if TYPE_CHECKING:
    from tlengine.data import Dataset
    from tlengine.types import Features

__all__ = ["command"]


def _checked_suffix(ctx: click.Context, parameter: click.Parameter, value: Path | None) -> Path | None:
    """A name that the other commands read again; a device or a pipe has none."""
    if value is not None and value.suffix.lower() != ".npz" and (value.is_file() or not value.exists()):
        raise click.BadParameter(f"{str(value)!r} does not end in .npz")
    return value


@click.command("extract")
@click.argument("data", type=click.Path())
@backbone_option
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=_checked_suffix,
    metavar="F.npz",
    help="Where to write X, y, ids.",
)
@image_size_option
@data_options
def command(
    data: str,
    backbone: str | None,
    out: Path | None,
    image_size: int | None,
    options: DataOptions,
) -> None:
    """Turn the images or texts of DATA into features.

    \b
    tlengine extract photos/ --out features.npz
    tlengine extract reviews.csv --text review --backbone minilm

    Rows are kept in the embedding cache as soon as their batch is done: stop it when you like, and the same
    command goes on where it stopped. Without --out it fills the cache.
    """
    dataset = _open(data, options)
    features = open_features(dataset, backbone, options, keep=out is not None, image_size=image_size)
    if out is not None:
        _save(features, dataset.modality, out, image_size)
    document = _document(features, out)
    print_json(document) if options.as_json else echo(_summary(document))


def _open(data: str, options: DataOptions) -> Dataset:
    """Samples to embed; labels that are none are left out, with a word, since no label is needed here."""
    from tlengine.errors import InputError, LabelError

    try:
        dataset = open_dataset(data, options, labels="auto")
    except LabelError as error:
        say(f"warning: labels are left out: {error.message}")
        without = replace(options, columns={**options.columns, "label": None})
        dataset = open_dataset(data, without, labels="ignore")
    if dataset.modality == "features":
        raise InputError(
            f"{dataset.name} holds features already", hint="use it as it is: tlengine probe, knn"
        )
    return dataset


def _save(features: Features, modality: str, path: Path, image_size: int | None) -> None:
    """``X y ids`` and what else there is, under ``path`` entirely or not at all."""
    import numpy as np

    columns = {n: getattr(features, n) for n in ("X", "y", "ids", "groups", "domains", "splits", "keys")}
    arrays: dict[str, Any] = {name: column for name, column in columns.items() if column is not None}
    for name in ("backbone", "fingerprint"):
        arrays[name] = np.array(getattr(features, name) or "")
    arrays |= {"modality": np.array(modality), "recipe": np.array(json.dumps(dict(features.recipe)))}
    if image_size is not None:
        arrays["image_size"] = np.array(str(image_size))
    if (check := features.check_rows) is not None:
        arrays |= {f"check_input_{place}": array for place, array in enumerate(check.inputs)}
        arrays["check_embeddings"] = check.X
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, lambda file: np.savez(file, **arrays))


def _document(features: Features, out: Path | None) -> dict[str, Any]:
    return {
        **asdict(features.stats),  # type: ignore[arg-type]
        "backbone": features.backbone,
        "fingerprint": features.fingerprint,
        "dim": features.dim,
        "failures": [asdict(failure) for failure in features.failures],
        "out": None if out is None else str(out),
    }


def _summary(document: dict[str, Any]) -> str:
    text = (
        "{rows} rows by {backbone} into {dim} columns: "
        "{embedded} embedded, {cached} cached, {failed} failed, {seconds:.1f} s"
    ).format(**document)
    return f"{text}\n{document['out']}" if document["out"] else text
