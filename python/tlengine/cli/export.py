"""``tlengine export``: a saved model as ONNX."""

from __future__ import annotations

import time
from pathlib import Path

import click

from tlengine.cli.common import echo, json_option, print_json, short_warnings

__all__ = ["command"]


def _checked_suffix(ctx: click.Context, parameter: click.Parameter, value: Path) -> Path:
    if value.suffix.lower() != ".onnx":
        raise click.BadParameter(f"{str(value)!r} does not end in .onnx")
    return value


@click.command("export")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), callback=_checked_suffix)
@json_option
def command(model: Path, file: Path, as_json: bool) -> None:
    """Write MODEL, which compare or finetune kept, as ONNX into FILE.

    The file takes preprocessed samples, in batches of any size, and gives logits and calibrated
    probabilities; its metadata name the classes and the preprocessing. onnxruntime must agree with torch to
    1e-4, else nothing is written.

    \b
    tlengine export tuned/model tuned.onnx
    """
    from tlengine.errors import InputError
    from tlengine.evaluation import from_pretrained

    short_warnings()
    start = time.perf_counter()
    loaded = from_pretrained(model)
    if not hasattr(loaded, "export_onnx"):
        raise InputError(
            f"{model} holds a {type(loaded).__name__}, which takes features and is no network",
            hint="export what tlengine finetune kept, or compare where it recommends a network",
        )
    written = loaded.export_onnx(file)
    document = {
        "onnx": str(written),
        "bytes": written.stat().st_size,
        "classes": [str(label) for label in loaded.classes],
        "seconds": round(time.perf_counter() - start, 3),
    }
    print_json(document) if as_json else echo(written)
