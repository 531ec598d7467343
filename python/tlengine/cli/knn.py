"""``tlengine knn``: how far the nearest neighbours in feature space agree on the label."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tlengine.cli.common import (
    DataOptions,
    GateNotMet,
    backbone_option,
    data_options,
    echo,
    print_json,
    say,
)
from tlengine.cli.keeping import save_model, to_be_kept
from tlengine.cli.loading import open_dataset, open_features

if TYPE_CHECKING:
    from tlengine.data import Dataset
    from tlengine.types import Features

__all__ = ["command"]


def _numbers(context: click.Context, parameter: click.Parameter, value: str) -> list[int]:
    try:
        numbers = [int(word) for word in value.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise click.BadParameter(f"{value!r} is not a list of whole numbers from 1 on, such as 5,20")
    return sorted(set(numbers))


@click.command("knn")
@click.argument("data", type=click.Path())
@backbone_option
@click.option(
    "--k",
    "ks",
    default="5,20",
    show_default=True,
    callback=_numbers,
    metavar="N,N",
    help="Neighbours that vote, clamped to the rows there are.",
)
@click.option(
    "--temperature",
    type=click.FloatRange(min=0, min_open=True),
    default=0.07,
    show_default=True,
    help="Of the votes' weights; small lets the nearest decide.",
)
@click.option("--metric", type=click.Choice(["cosine", "euclidean"]), default="cosine", show_default=True)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where to save the classifier with the best k, for 'tlengine predict'.",
)
@click.option("--min-accuracy", type=click.FloatRange(0, 1), help="Exit 3 if the best k stays below.")
@data_options
def command(
    data: str,
    backbone: str | None,
    ks: list[int],
    temperature: float,
    metric: str,
    out: Path | None,
    min_accuracy: float | None,
    options: DataOptions,
) -> None:
    """Classify every row of DATA by its nearest neighbours among the others, for each k.

    With a split of your own, test rows are classified by the training rows (validation rows, where there is
    no test). Rows of one group, and copies of one sample, do not vote for each other.

    \b
    tlengine knn features.npz --k 5,20
    tlengine knn photos/ --out model/
    """
    dataset = open_dataset(data, options)
    features = open_features(dataset, backbone, options, keep=out is not None)
    document = vote(features, ks, temperature, metric)
    for note in document["notes"]:
        say(f"note: {note}", quiet=options.quiet)
    if out is not None:
        document["model"] = _save(document, to_be_kept(features, data), dataset, out)
    if options.as_json:
        print_json(document)
    else:
        _print(document)
    best = max(record["accuracy"] for record in document["results"])
    if min_accuracy is not None and best < min_accuracy:
        raise GateNotMet(f"accuracy {best:.4f} is below --min-accuracy {min_accuracy:g}")


def vote(features: Features, ks: list[int], temperature: float, metric: Any) -> dict[str, Any]:
    """Accuracy, balanced accuracy, log-loss and calibration error for each k, as the command's document."""
    import numpy as np

    from tlengine.data.parts import parts_of
    from tlengine.evaluation.metrics import Outcome, scores
    from tlengine.probes import neighbor_votes

    start = time.perf_counter()
    parts = parts_of(features)
    X, codes = features.X[parts.train], parts.codes[parts.train]
    search: dict[str, Any] = {"k": ks, "temperature": [temperature], "metric": metric}
    notes = list(parts.notes)
    if parts.test is not None:
        judged = parts.test
        proba = neighbor_votes(features.X[judged], X, codes, **search).proba[0]
    else:
        judged, alone = parts.judged_alone()
        if not len(judged):
            raise _nothing_to_judge()
        votes = neighbor_votes(None, X, codes, units=parts.units[parts.train], **search)
        proba = votes.proba[0][:, np.isin(parts.train, judged)]
        if alone:
            notes.append(f"{alone} rows are not judged: no other sample or group has their class")
    return {
        "rows": len(features),
        "judged": len(judged),
        "dim": features.dim,
        "classes": [str(label) for label in parts.classes],
        "backbone": features.backbone,
        "metric": metric,
        "temperature": temperature,
        "results": [
            {"k": k, **scores(Outcome.of(judged, parts.codes[judged], voted))}
            for k, voted in zip(ks, proba, strict=True)
        ],
        "notes": notes,
        "seconds": round(time.perf_counter() - start, 4),
        "model": None,
    }


def _nothing_to_judge() -> Exception:
    from tlengine.errors import InputError

    return InputError(
        "no class has two different samples (or groups), so no row can be judged by the others",
        hint="label more samples",
    )


def _save(document: dict[str, Any], features: Features, dataset: Dataset, out: Path) -> str:
    """The classifier with the best k, on the training rows."""
    import numpy as np

    from tlengine.data.parts import parts_of
    from tlengine.probes import KNeighborsProbe

    train = parts_of(features).train
    k = max(document["results"], key=lambda record: record["accuracy"])["k"]
    settings = {"temperature": document["temperature"], "metric": document["metric"]}
    probe = KNeighborsProbe(min(k, len(train)), **settings).fit(
        features.X[train], np.asarray(features.y)[train]
    )
    chosen = {"k": k, **settings}
    return save_model(probe, features, dataset, out, strategy="knn", chosen=chosen, rows=len(train))


def _print(document: dict[str, Any]) -> None:
    echo(f"{'k':>5}  accuracy  balanced  log-loss")
    for record in document["results"]:
        echo(
            f"{record['k']:>5}  {record['accuracy']:>8.2%}  {record['balanced_accuracy']:>8.2%}  "
            f"{record['log_loss']:>8.4f}"
        )
    if document["model"]:
        echo(f"model: {document['model']}")
