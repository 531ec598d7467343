"""``tlengine knn``: how far the nearest neighbours in feature space agree on the label."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tlengine.cli.common import (
    DataOptions,
    GateNotMet,
    array_options,
    backbone_option,
    data_options,
    echo,
    print_json,
    say,
)
from tlengine.cli.keeping import save_model, to_be_kept
from tlengine.cli.loading import open_features, open_labelled

if TYPE_CHECKING:
    from tlengine.data import Dataset
    from tlengine.data.parts import Parts
    from tlengine.types import Features

__all__ = ["command"]

Judged = tuple[Any, Any]
"""Rows (m,), and their votes (k, m, K)."""
MEASURED = ("accuracy", "balanced_accuracy", "log_loss", "ece")


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
@array_options
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
    help="Where to save the classifier, for 'tlengine predict'; its k is chosen on the training rows.",
)
@click.option("--min-accuracy", type=click.FloatRange(0, 1), help="Exit 3 if the chosen k stays below.")
@data_options
def command(
    data: str,
    backbone: str | None,
    labels: Path | None,
    groups: Path | None,
    ks: list[int],
    temperature: float,
    metric: str,
    out: Path | None,
    min_accuracy: float | None,
    options: DataOptions,
) -> None:
    """Classify every row of DATA by its nearest neighbours among the others, for each k.

    DATA is a .npz that extract wrote, a .npy of features with --labels, or anything that extract takes.

    With a split of your own, test rows are classified by the training rows (validation rows, where there is
    no test). Rows of one group, and copies of one sample, do not vote for each other.

    \b
    tlengine knn features.npz --k 5,20
    tlengine knn X.npy --labels y.npy
    tlengine knn photos/ --out model/
    """
    dataset = open_labelled(data, labels, groups, options)
    features = open_features(dataset, backbone, options, keep=out is not None)
    matters = out is not None or min_accuracy is not None
    document = vote(features, ks, temperature, metric, choose=matters)
    for note in document["notes"]:
        say(f"note: {note}", quiet=options.quiet)
    if out is not None:
        document["model"] = _save(document, to_be_kept(features, data), dataset, out)
    if options.as_json:
        print_json(document)
    else:
        _print(document)
    if min_accuracy is not None:
        _check_gate(document, min_accuracy)


def vote(
    features: Features, ks: list[int], temperature: float, metric: Any, *, choose: bool = False
) -> dict[str, Any]:
    """Accuracy, balanced accuracy, log-loss and calibration error for each k, as the command's document.

    Its ``k`` is the one that is best for the training rows among themselves: no test row has a say. Where
    there are test rows that costs a search of its own, so it is None unless ``choose``.
    """
    from tlengine.data.parts import parts_of
    from tlengine.probes import neighbor_votes

    start = time.perf_counter()
    parts = parts_of(features)
    search: dict[str, Any] = {"k": ks, "temperature": [temperature], "metric": metric}
    notes, k, own = list(parts.notes), None, None
    if choose or parts.test is None:
        own = _among_themselves(parts, features.X, search)
        k = ks[0] if own is None else max(_records(parts, own, ks), key=_merit)["k"]
    if parts.test is not None:
        X, codes = features.X, parts.codes
        voted = neighbor_votes(X[parts.test], X[parts.train], codes[parts.train], **search).proba[0]
        own = parts.test, voted
    elif own is None:
        raise _nothing_to_judge()
    elif alone := len(parts.train) - len(own[0]):
        notes.append(f"{alone} rows are not judged: no other sample or group has their class")
    return {
        "rows": len(features),
        "judged": len(own[0]),
        "dim": features.dim,
        "classes": [str(label) for label in parts.classes],
        "backbone": features.backbone,
        "metric": metric,
        "temperature": temperature,
        "results": _records(parts, own, ks),
        "k": k,
        "notes": notes,
        "seconds": round(time.perf_counter() - start, 4),
        "model": None,
    }


def _among_themselves(parts: Parts, X: Any, search: dict[str, Any]) -> Judged | None:
    """Training rows judged by those of other units; None where none can be."""
    import numpy as np

    from tlengine.probes import neighbor_votes

    judged, _ = parts.judged_alone()
    if not len(judged):
        return None
    codes, units = parts.codes[parts.train], parts.units[parts.train]
    votes = neighbor_votes(None, X[parts.train], codes, units=units, **search)
    return judged, votes.proba[0][:, np.isin(parts.train, judged)]


def _records(parts: Parts, own: Judged, ks: list[int]) -> list[dict[str, Any]]:
    """What each k reaches on the rows that are judged."""
    import numpy as np

    from tlengine.statistics import METRICS, Outcome, scores

    measured, (rows, proba) = {name: METRICS[name] for name in MEASURED}, own
    counts = np.bincount(parts.codes[parts.train], minlength=proba.shape[2])
    return [
        {"k": k, **scores(Outcome.of(rows, parts.codes[rows], voted, counts=counts), measured)}
        for k, voted in zip(ks, proba, strict=True)
    ]


def _merit(record: dict[str, Any]) -> tuple[float, float]:
    return record["accuracy"], -record["log_loss"]


def _check_gate(document: dict[str, Any], least: float) -> None:
    reached = next(record["accuracy"] for record in document["results"] if record["k"] == document["k"])
    if reached < least:
        raise GateNotMet(f"accuracy {reached:.4f} is below --min-accuracy {least:g}")


def _nothing_to_judge() -> Exception:
    from tlengine.errors import InputError

    return InputError(
        "no class has two different samples (or groups), so no row can be judged by the others",
        hint="label more samples",
    )


def _save(document: dict[str, Any], features: Features, dataset: Dataset, out: Path) -> str:
    """The classifier with the chosen k on the training rows, its votes smoothed by what they got wrong."""
    import numpy as np

    from tlengine.data.parts import parts_of
    from tlengine.probes import KNeighborsProbe
    from tlengine.statistics import calibrate

    parts = parts_of(features)
    train = parts.train
    k = min(document["k"], len(train))
    settings = {"temperature": document["temperature"], "metric": document["metric"]}
    probe = KNeighborsProbe(k, **settings).fit(features.X[train], np.asarray(features.y)[train])
    search = {"k": [k], "temperature": [settings["temperature"]], "metric": settings["metric"]}
    own = _among_themselves(parts, features.X, search)
    held, codes = (None, None) if own is None else (own[1][0], parts.codes[own[0]])
    classes = len(np.unique(parts.codes[train]))
    value = calibrate("votes", held, codes, labels=len(train), classes=classes)
    return save_model(
        probe,
        features,
        dataset,
        out,
        strategy="knn",
        chosen={"k": k, **settings},
        rows=len(train),
        calibration={"kind": "votes", "value": value, "reading": "predict_proba"},
    )


def _print(document: dict[str, Any]) -> None:
    echo(f"{'k':>5}  accuracy  balanced  log-loss")
    for record in document["results"]:
        mark = "*" if record["k"] == document["k"] else " "
        echo(
            f"{record['k']:>5}{mark} {record['accuracy']:>8.2%}  {record['balanced_accuracy']:>8.2%}  "
            f"{record['log_loss']:>8.4f}"
        )
    if document["model"]:
        echo(f"model: {document['model']}")
