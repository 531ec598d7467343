"""``tlengine compare``: which backbone, which strategy, and does transfer help?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tlengine.cli.assigned import assignments
from tlengine.cli.common import (
    DataOptions,
    GateNotMet,
    backbones_option,
    data_options,
    echo,
    fail,
    image_size_option,
    print_json,
    say,
)
from tlengine.cli.loading import open_dataset
from tlengine.cli.quantities import max_disk_option

if TYPE_CHECKING:
    from tlengine.data import Dataset
    from tlengine.evaluation import RunResult

__all__ = ["command"]


EXAMPLE = "random.networks=3"
LISTS = ("strategies", "controls", "budgets", "metrics")
RUN = ("extract", "fit")
"""The steps that a run consists of: what was named and fails in one of them has no numbers."""


def _words(text: str | None) -> list[str] | None:
    """The words of a list; ``none`` is the empty one."""
    if text is None:
        return None
    words = [word.strip() for word in text.split(",") if word.strip()]
    return [] if words == ["none"] else words


def _settings(context: click.Context, parameter: click.Parameter, given: Sequence[str]) -> Any:
    """Keywords by name."""
    found: dict[str, dict[str, Any]] = {}
    for word, (name, key, value) in zip(given, assignments(given, EXAMPLE), strict=True):
        if not name:
            raise click.BadParameter(f"{word!r} is not like {EXAMPLE}")
        found.setdefault(name, {})[key] = value
    return found


@click.command("compare")
@click.argument("data", type=click.Path())
@backbones_option
@click.option(
    "--strategies",
    metavar="A,B",
    help="Among knn, probe, ridge, centroid (the default), preval, svm; of networks lp-ft, finetune, "
    "last-block, gradual, bitfit, l2-sp, surgical, wise, lora; and plugins' strategies and probes.",
)
@click.option(
    "--controls",
    metavar="A,B",
    help="Among raw, stats, rcf (the default, as the data allow), random and scratch (default, too, where a "
    "strategy trains networks; scratch may take longer than all else: 'raw,stats' leaves it out), and "
    "plugins'; 'none' for none.",
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
    "--metrics",
    metavar="A,B",
    help="Beside accuracy, balanced_accuracy, log_loss and ece: macro_f1, auroc, average_precision, top5, "
    "brier, and plugins'.",
)
@click.option(
    "--set",
    "assigned",
    metavar="NAME.KEY=VALUE",
    multiple=True,
    callback=_settings,
    help="A setting of a strategy or control, as often as you like: --set random.networks=3 takes three "
    "untrained networks.",
)
@click.option(
    "--executor",
    metavar="NAME",
    help="Where fits are run: 'here', 'processes', or 'torchrun' (by the ranks of a launch, which share "
    "--out). [default: here; many fits of networks on the CPU side by side in processes]",
)
@image_size_option
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where to write run.json, report.html and model/. Every fit is kept there as it comes: the same "
    "command goes on from what it finds.",
)
@click.option("--fresh", is_flag=True, help="Fit everything anew, whatever --out has.")
@click.option(
    "--max-minutes",
    type=click.FloatRange(min=0, min_open=True),
    metavar="MINUTES",
    help="For all of it. Where networks take longer, their inner folds are left out, then all train for "
    "fewer steps; when time is over, the seeds that are whole are tested.",
)
@max_disk_option
@click.option(
    "--tune",
    is_flag=True,
    help="Each fine-tuning chooses among three learning rates, by folds of its labels: ten times the work.",
)
@click.option(
    "--all-seeds",
    is_flag=True,
    help="Run every seed, also where those that remain cannot change the outcome.",
)
@click.option(
    "--min-accuracy", type=click.FloatRange(0, 1), help="Exit 3 if the recommended strategy stays below."
)
@click.option("--fail-on-negative-transfer", is_flag=True, help="Exit 3 if the verdict is negative.")
@data_options
def command(
    data: str,
    backbone: str | None,
    out: Path | None,
    min_accuracy: float | None,
    fail_on_negative_transfer: bool,
    tune: bool,
    options: DataOptions,
    **settings: Any,
) -> None:
    """Compare backbones and strategies on the labelled samples of DATA, and with using none.

    Exit code 1 if a backbone, strategy or control that was named has no result; the rest is done and written.
    A strategy that is judged and cannot be kept as a model costs a warning. Exit code 3 if all is well but a
    gate (--min-accuracy, --fail-on-negative-transfer) is not met.

    \b
    tlengine compare photos/ --out out
    tlengine compare reviews.csv --label stars --backbone minilm --strategies knn,probe --budgets 5,20,all
    """
    from tlengine.evaluation.ranks import told_by_rank_0

    if told_by_rank_0(settings["executor"], out) is not None:
        return
    settings |= {name: _words(settings[name]) for name in LISTS}
    settings["settings"] = settings.pop("assigned")
    if tune:
        _tune(settings)
    dataset = open_dataset(data, options)
    result = _compare(dataset, backbone, out, options, settings)
    if out is not None and (taken_up := result.document["journal"]["taken_up"]):
        say(
            f"took up {taken_up} of {result.document['journal']['fits']} fits from {out}", quiet=options.quiet
        )
    _report(result, out, options)
    gate = _missed_gate(result, min_accuracy, fail_on_negative_transfer)
    if missed := [
        failed for failed in result.document["failed"] if failed["asked"] and failed["step"] in RUN
    ]:
        if gate:
            say(f"gate not met: {gate}")
        found = "; ".join(f"{_who(failed)}: {failed['error']}" for failed in missed)
        raise click.exceptions.Exit(fail(f"what was asked for has no result: {found}", "the rest is done"))
    if gate:
        raise GateNotMet(gate)


def _tune(settings: Mapping[str, Any]) -> None:
    """Sets it for every way to fine-tune that is named."""
    from tlengine.finetuning import PRESETS

    named = [name for name in settings["strategies"] or () if name in PRESETS]
    if not named:
        raise click.UsageError("--tune is for ways to fine-tune: name them with --strategies")
    for name in named:
        settings["settings"].setdefault(name, {}).setdefault("tune", True)


def _compare(
    dataset: Dataset, backbone: str | None, out: Path | None, options: DataOptions, settings: dict[str, Any]
) -> RunResult:
    from tlengine.evaluation import compare

    asked = _words(backbone)
    if dataset.modality == "features":
        return compare(dataset, asked, out=out, progress=not options.quiet, **settings)
    from tlengine.features import default_backbone

    if asked is None:
        asked = [default_backbone(dataset.modality)]
        say(f"backbone: {asked[0]} (the default for {dataset.modality} data)", quiet=options.quiet)
    return compare(dataset, asked, out=out, progress=not options.quiet, **settings, **options.extraction)


def _report(result: RunResult, out: Path | None, options: DataOptions) -> None:
    """The answer, before anything is saved; then the files, and what failed in writing them."""
    document = result.document
    _warn(document["failed"])
    known = len(document["failed"])
    if not options.as_json:
        echo(result.table())
        echo(f"\n{result.verdict.answer}")
        for advice in document["advice"]:
            echo(f"next: {advice['text']}")
    written: dict[str, str] = {}
    try:
        written = {} if out is None else result.save(out)
    finally:  # a full disk takes nothing from what is printed
        _warn(document["failed"][known:])
        _print_rest(document, written, options)


def _print_rest(document: Mapping[str, Any], written: Mapping[str, str], options: DataOptions) -> None:
    extraction = document["costs"]["extraction"]
    counts = {n: sum(e[n] for e in extraction) for n in ("embedded", "cached")}
    if options.as_json:
        paths = {name: written.get(name) for name in ("run", "report", "model")}
        print_json({**document, **counts, **paths})
        return
    for name, path in written.items():
        echo(f"{name + ':':<8}{path}")
    if extraction:
        saved = sum(e["seconds_saved"] for e in extraction)
        reused = f"reused {counts['cached']:,} from the cache, which saved {saved:.1f} s"
        say(f"embedded {counts['embedded']:,}, {reused}", quiet=options.quiet)


def _warn(failures: Sequence[Mapping[str, Any]]) -> None:
    for failed in failures:
        budgets = ", ".join(str(budget) for budget in failed["budgets"])
        where = f" at {budgets} labels per class" if budgets else ""
        who = f"{_who(failed)} failed" if _who(failed) else "failed"
        say(f"warning: {who} in the step {failed['step']}{where}: {failed['error']}")


def _who(failed: Mapping[str, Any]) -> str:
    return " with ".join(part for part in (failed["backbone"], failed["strategy"]) if part)


def _missed_gate(result: RunResult, min_accuracy: float | None, fail_on_negative: bool) -> str | None:
    """Why a gate is not met; None where all are."""
    verdict = result.verdict
    if min_accuracy is not None and verdict.accuracy < min_accuracy:
        return f"accuracy {verdict.accuracy:.4f} is below --min-accuracy {min_accuracy:g}"
    if fail_on_negative and verdict.outcome == "negative":
        points = 100 * (verdict.effect or 0)
        return f"negative transfer: {points:+.1f} points against {verdict.control}"
    return None
