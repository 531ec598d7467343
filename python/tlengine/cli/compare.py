"""``tlengine compare``: which backbone, which strategy, and does transfer help?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tlengine.cli.common import (
    DataOptions,
    GateNotMet,
    backbones_option,
    data_options,
    echo,
    print_json,
    say,
)
from tlengine.cli.loading import open_dataset

if TYPE_CHECKING:
    from tlengine.evaluation import RunResult

__all__ = ["command"]


def _words(text: str | None) -> list[str] | None:
    return None if text is None else [word.strip() for word in text.split(",") if word.strip()]


@click.command("compare")
@click.argument("data", type=click.Path())
@backbones_option
@click.option(
    "--strategies",
    metavar="A,B",
    help="Among knn, probe, ridge, centroid, raw (the default), preval, svm, and plugins' probes.",
)
@click.option(
    "--budgets",
    metavar="N,N,all",
    help="Labels per class, nested draws. [default: 5,10,25,50,100,all as far as there are so many]",
)
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="Repetitions with other splits.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where to write run.json, report.html and model/.",
)
@click.option(
    "--min-accuracy", type=click.FloatRange(0, 1), help="Exit 3 if the recommended strategy stays below."
)
@click.option("--fail-on-negative-transfer", is_flag=True, help="Exit 3 if the verdict is negative.")
@data_options
def command(
    data: str,
    backbone: str | None,
    strategies: str | None,
    budgets: str | None,
    seeds: int,
    out: Path | None,
    min_accuracy: float | None,
    fail_on_negative_transfer: bool,
    options: DataOptions,
) -> None:
    """Compare backbones and strategies on the labelled samples of DATA, and with using none.

    \b
    tlengine compare photos/ --out out
    tlengine compare reviews.csv --label stars --backbone minilm --strategies knn,probe --budgets 5,20,all
    """
    from tlengine.evaluation import compare

    dataset = open_dataset(data, options)
    asked = _words(backbone)
    settings: dict[str, Any] = {"strategies": _words(strategies), "budgets": _words(budgets), "seeds": seeds}
    if dataset.modality == "features":
        result = compare(dataset, asked, progress=not options.quiet, **settings)
    else:
        from tlengine.features import default_backbone

        if asked is None:
            asked = [default_backbone(dataset.modality)]
            say(f"backbone: {asked[0]} (the default for {dataset.modality} data)", quiet=options.quiet)
        result = compare(dataset, asked, progress=not options.quiet, **settings, **options.extraction)
    written = {} if out is None else result.save(out)
    _print(result, written, options)
    _check_gates(result, min_accuracy, fail_on_negative_transfer)


def _print(result: RunResult, written: dict[str, str], options: DataOptions) -> None:
    document = result.document
    for failed in document["failed"]:
        name = " with ".join(f for f in (failed["backbone"], failed["strategy"]) if f)
        say(f"warning: {name} failed: {failed['error']}")
    extraction = document["costs"]["extraction"]
    counts = {n: sum(e[n] for e in extraction) for n in ("embedded", "cached")}
    if options.as_json:
        paths = {name: written.get(name) for name in ("run", "report", "model")}
        print_json({**document, **counts, **paths})
        return
    echo(result.table())
    echo(f"\n{result.verdict.answer}")
    for name, path in written.items():
        echo(f"{name + ':':<8}{path}")
    if extraction:
        saved = sum(e["seconds_saved"] for e in extraction)
        reused = f"reused {counts['cached']:,} from the cache, which saved {saved:.1f} s"
        say(f"embedded {counts['embedded']:,}, {reused}", quiet=options.quiet)


def _check_gates(result: RunResult, min_accuracy: float | None, fail_on_negative: bool) -> None:
    verdict = result.verdict
    if min_accuracy is not None and verdict.accuracy < min_accuracy:
        raise GateNotMet(f"accuracy {verdict.accuracy:.4f} is below --min-accuracy {min_accuracy:g}")
    if fail_on_negative and verdict.outcome == "negative":
        raise GateNotMet(f"negative transfer: {100 * (verdict.effect or 0):+.1f} points against the control")
