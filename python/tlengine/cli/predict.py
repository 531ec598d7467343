"""``tlengine predict``: a saved model applied to new data."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tlengine.cli.common import (
    DataOptions,
    data_options,
    echo,
    print_json,
    say,
)
from tlengine.cli.loading import open_features, open_unlabelled
from tlengine.documents import replace_text
from tlengine.errors import BackboneError, InputError, TlengineError, UnknownNameError

if TYPE_CHECKING:
    from tlengine.data import Dataset
    from tlengine.evaluation import Model
    from tlengine.features import Backbone
    from tlengine.finetuning import NetworkModel
    from tlengine.types import Features

__all__ = ["command"]


@click.command("predict")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path())
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where to write the predictions: .json, or anything else for CSV. [default: CSV on stdout]",
)
@click.option(
    "--top-k", type=click.IntRange(min=1), default=3, show_default=True, help="Labels to name for each row."
)
@data_options
def command(
    model: Path,
    data: str,
    out: Path | None,
    top_k: int,
    options: DataOptions,
) -> None:
    """Name the most probable labels of the samples of DATA with MODEL.

    MODEL is the model/ that compare --out or finetune --out wrote, or the folder of probe --out or knn --out.

    DATA needs no labels, and may be a .npy of features where the model was fitted on such. A backbone whose
    fingerprint is not the model's is refused. Pictures are taken at the size that the model was fitted with.

    \b
    tlengine predict out/model new-photos/ --out predictions.csv
    """
    from tlengine.evaluation import predictions_csv

    start = time.perf_counter()
    loaded = _load(model)
    dataset = open_unlabelled(data, options)
    _check_modality(loaded, dataset)
    if loaded.reads == "contents":
        features = loaded.scores(dataset, progress=not options.quiet, **_without_cache(options))
    else:
        loaded, features = _features(loaded, dataset, options)
    predictions = loaded.predict(features, top_k=top_k)
    document = {
        "rows": len(dataset),
        "failed": len(features.failures),
        "failures": [{"id": f.id, "reason": f.reason} for f in features.failures],
        "backbone": loaded.metadata["backbone"],
        "classes": loaded.metadata["classes"],
        "seconds": round(time.perf_counter() - start, 3),
        "out": None if out is None else str(out),
        "predictions": predictions,
    }
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        wants_json = out.suffix.lower() == ".json"
        text = json.dumps(predictions, indent=1) + "\n" if wants_json else predictions_csv(predictions)
        replace_text(out, text)
        say(f"{len(predictions)} predictions in {out}", quiet=options.quiet)
    if options.as_json:
        print_json(document)
    elif out is None:
        echo(predictions_csv(predictions), nl=False)


def _load(path: Path) -> Model | NetworkModel:
    from tlengine.evaluation import Model, from_pretrained

    found = from_pretrained(path)
    if getattr(found, "reads", None) == "contents":
        network: NetworkModel = found
        return network
    return found if isinstance(found, Model) else Model.load(path)


def _without_cache(options: DataOptions) -> dict[str, object]:
    """How to run the network: its logits are kept nowhere."""
    return {name: value for name, value in options.extraction.items() if name != "cache"}


def _check_modality(model: Model | NetworkModel, dataset: Dataset) -> None:
    """Refuse data of another kind; features are for the model to refuse where it takes such."""
    known = model.metadata.get("modality")
    if dataset.modality == "features" and model.reads == "contents":
        raise InputError(
            f"{dataset.name} holds features, the model is a network that takes samples",
            hint="pass the images or texts themselves",
        )
    if dataset.modality != "features" and known in ("image", "text") and dataset.modality != known:
        raise BackboneError(
            f"the model takes {known} data, {dataset.name} is {dataset.modality} data",
            hint="name the column with --text or --image",
        )


def _features(model: Model, dataset: Dataset, options: DataOptions) -> tuple[Model, Features]:
    """The features of the model's backbone, refused before any sample is embedded if it is another one."""
    from tlengine.features import extract

    if dataset.modality == "features":
        features = open_features(dataset, None, options)
        return _for_features(model, features, options), features
    backbone = _backbone(model)
    model = model.for_backbone(backbone, device=_device(options))
    return model, extract(dataset, backbone, progress=not options.quiet, **options.extraction)


def _for_features(model: Model, features: Features, options: DataOptions) -> Model:
    """The model for features of another fingerprint, if it is the backbone of today, and gives equal rows."""
    if features.fingerprint is None or features.fingerprint == model.fingerprint:
        return model
    try:
        backbone = _backbone(model)
        if backbone.fingerprint == features.fingerprint:
            return model.for_backbone(backbone, device=_device(options))
    except TlengineError:
        pass  # predict refuses the features, and says what they are
    return model


def _backbone(model: Model) -> Backbone:
    from tlengine.features import load_backbone

    name = model.metadata.get("backbone")
    if not name:
        raise BackboneError(
            "the model was fitted on features that name no backbone",
            hint="pass features of the same kind, an .npz or .csv of numbers",
        )
    try:
        return load_backbone(name, image_size=model.metadata.get("image_size"))
    except UnknownNameError as error:
        raise UnknownNameError(
            error.message,
            hint=f"{error.hint}; for a module of your own, in Python: "
            "tl.from_pretrained(MODEL).predict(tl.extract(ds, backbone))",
        ) from None


def _device(options: DataOptions) -> str:
    from tlengine.features.forward import choose_device

    return choose_device(options.extraction["device"])
