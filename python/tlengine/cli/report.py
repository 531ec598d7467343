"""``tlengine report``: a run.json becomes an HTML page."""

from __future__ import annotations

from pathlib import Path

import click

from tlengine.cli.common import echo, json_option, print_json
from tlengine.documents import replace_text

__all__ = ["command"]


@click.command("report")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where to write the report. [default: report.html beside RUN]",
)
@click.option("--format", "exporter", default="html", show_default=True, help="An exporter by name.")
@json_option
def command(run: Path, out: Path | None, exporter: str, as_json: bool) -> None:
    """Turn RUN, a run.json that compare --out wrote, into a report.

    \b
    tlengine report out/run.json
    """
    from tlengine.evaluation import load_run
    from tlengine.plugins import render, resolve

    spec = resolve("exporter", exporter)
    text = render(exporter, load_run(run).document)
    folder = run if run.is_dir() else run.parent
    path = out or folder / f"report{spec.suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, text)
    print_json({"report": str(path)}) if as_json else echo(path)
