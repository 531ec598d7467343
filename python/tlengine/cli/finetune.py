"""``tlengine finetune``: one network, trained on all labels and kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from tlengine.cli.assigned import assignments
from tlengine.cli.common import (
    DataOptions,
    backbone_option,
    data_options,
    echo,
    image_size_option,
    print_json,
    say,
)
from tlengine.cli.loading import open_dataset

__all__ = ["command"]


def _settings(context: click.Context, parameter: click.Parameter, given: Sequence[str]) -> Any:
    """Name or "", key and value of each."""
    return list(assignments(given, "rate=1e-4"))


@click.command("finetune")
@click.argument("data", type=click.Path())
@backbone_option
@click.option(
    "--strategy",
    metavar="NAME",
    default="lp-ft",
    show_default=True,
    help="lp-ft, finetune, last-block, gradual, bitfit, l2-sp, surgical, wise, lora, scratch, or a plugin's.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    required=True,
    help="Where to write model/, metrics.jsonl and finetune.json. Checkpoints are kept there on the way: the "
    "same command goes on from the last one.",
)
@click.option(
    "--set",
    "assigned",
    metavar="KEY=VALUE",
    multiple=True,
    callback=_settings,
    help="A setting of the strategy, as often as you like: --set rate=1e-4 --set steps=200.",
)
@click.option("--tune", is_flag=True, help="Choose among three learning rates, by folds of the labels.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of all that is drawn."
)
@image_size_option
@click.option("--fresh", is_flag=True, help="Train anew, whatever DIR has.")
@data_options
def command(
    data: str,
    backbone: str | None,
    strategy: str,
    out: Path,
    assigned: list[tuple[str, str, Any]],
    tune: bool,
    seed: int,
    image_size: int | None,
    fresh: bool,
    options: DataOptions,
) -> None:
    """Train one network on all labelled samples of DATA, and keep it.

    Every label is trained on, so nothing is left to judge the model by: tlengine compare says what to expect
    of it. Of your own split (--split, or folders train/ and test/) the training part alone is trained on, and
    the test part judges. Ctrl-C stops with exit code 130; run the same command again to go on.

    \b
    tlengine finetune photos/ --out tuned
    tlengine finetune photos/ --out tuned --strategy last-block --image-size 128 --set steps=200
    tlengine finetune reviews.csv --label stars --backbone minilm --strategy lora --out tuned
    tlengine predict tuned/model new-photos/
    """
    from tlengine.evaluation import finetune

    dataset = open_dataset(data, options)
    if backbone is None and dataset.modality != "features":
        from tlengine.features import default_backbone

        backbone = default_backbone(dataset.modality)
        say(f"backbone: {backbone} (the default for {dataset.modality} data)", quiet=options.quiet)
    result = finetune(
        dataset,
        backbone,
        strategy=strategy,
        settings=_of(strategy, assigned, tune),
        seed=seed,
        image_size=image_size,
        out=out,
        fresh=fresh,
        progress=not options.quiet,
        **options.extraction,
    )
    if result.taken_up:
        say(f"trained already: taken up from {out}; --fresh trains anew", quiet=options.quiet)
    paths = {"model": str(out / "model"), "metrics": str(out / "metrics.jsonl")}
    if options.as_json:
        print_json({**result.document, **paths, "taken_up": result.taken_up})
    else:
        echo(_summary(result.document))
        echo(f"model:  {paths['model']}")


def _of(strategy: str, assigned: Sequence[tuple[str, str, Any]], tune: bool) -> dict[str, Any]:
    """The settings of the strategy, which may be named before the key."""
    for name, key, _ in assigned:
        if name not in ("", strategy):
            raise click.BadParameter(
                f"{name}.{key} is not of the strategy {strategy!r}", param_hint="'--set'"
            )
    return {key: value for _, key, value in assigned} | ({"tune": True} if tune else {})


def _summary(document: Mapping[str, Any]) -> str:
    facts, test = document["facts"], document["test"]
    lines = [
        f"{document['strategy']} on {document['backbone']['name']}: {document['rows']:,} rows of "
        f"{len(document['classes'])} classes, {facts.get('steps', '?')} steps in "
        f"{document['costs']['seconds']:,.0f} s"
    ]
    if "loss" in facts and facts["loss"] is not None:
        lines.append(f"training loss {facts['loss']:.4f}")
    if test is None:
        lines.append("not judged: every label was trained on; tlengine compare says what to expect")
    else:
        accuracy = test["accuracy"]
        span = "" if accuracy["low"] is None else f" ({accuracy['low']:.4f} to {accuracy['high']:.4f})"
        lines.append(f"accuracy {accuracy['value']:.4f}{span} on {test['rows']:,} test rows")
    return "\n".join(lines)
