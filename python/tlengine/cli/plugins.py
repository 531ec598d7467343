"""``tlengine plugins``: what is installed, whether it keeps its promises, and how to start a new one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tlengine.cli.common import echo, json_option, print_json, say

__all__ = ["command"]


@click.group("plugins", invoke_without_command=True)
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List, show, check and create plugins.

    \b
    tlengine plugins
    tlengine plugins show minilm
    tlengine plugins check efficientnet-lite0
    tlengine plugins new mynet
    """
    if ctx.invoked_subcommand is None:
        _list(as_json)


@command.command("list")
@json_option
def list_(as_json: bool) -> None:
    """The plugins found, and the backbones, probes, exporters and commands that they offer."""
    _list(as_json)


def _list(as_json: bool) -> None:
    from tlengine.cli import COMMANDS
    from tlengine.plugins import describe_plugins, registry

    commands = list(registry.commands(COMMANDS))  # first: it may mark a plugin as failed
    plugins = describe_plugins()
    offers = {**registry.describe_offers(), "commands": commands}
    if as_json:
        print_json({"plugins": plugins, **offers})
        return
    for info in plugins:
        why = f": {info['error']}" if info["error"] else ""
        echo("{name}  {distribution} {version}  {status}".format(**info) + why)
    if any(info["status"] == "failed" for info in plugins):
        say("hint: TLENGINE_STRICT_PLUGINS=1 tlengine plugins check shows the traceback of what failed")
    for kind, names in offers.items():
        echo(f"{kind}: {', '.join(names) or 'none'}")


@command.command("show")
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """What the backbone NAME says about itself; no weights are loaded."""
    from tlengine.plugins import registry, resolve_backbone

    spec = resolve_backbone(name)
    shown = ("name", "modality", "embedding_dim", "default", "licence", "paper", "description", "revision")
    document: dict[str, Any] = {field: getattr(spec, field) for field in shown}
    document["preprocess"] = repr(spec.preprocess)
    document["plugin"] = registry.origin(spec.name)
    if as_json:
        print_json(document)
        return
    for field, value in document.items():
        echo(f"{field}: {value}")


@command.command("check")
@click.argument("names", nargs=-1)
@json_option
def check(names: tuple[str, ...], as_json: bool) -> None:
    """Run the conformance checks on the backbones NAMES, or on all that are installed.

    Exit code 1 if any check fails.
    """
    from tlengine.errors import PluginError
    from tlengine.plugins import backbones, resolve_backbone
    from tlengine.testing import backbone_checks

    results: list[dict[str, Any]] = []
    for name in names or tuple(backbones()):
        for checked, fault in backbone_checks(resolve_backbone(name)):
            results.append({"backbone": name, "check": checked, "ok": fault is None, "fault": fault})
            if not as_json:
                echo(f"{name}  {checked}  {'ok' if fault is None else f'FAILED: {fault}'}")
    if as_json:
        print_json({"checks": results, "ok": all(result["ok"] for result in results)})
    bad = [result for result in results if not result["ok"]]
    if bad:
        raise PluginError(
            f"{len(bad)} of {len(results)} checks failed, first {bad[0]['backbone']}: {bad[0]['check']}",
            hint="see docs/plugins.md for what a backbone promises",
        )


@command.command("new")
@click.argument("name")
@click.option("--into", type=click.Path(file_okay=False, path_type=Path), default=".", help="Parent folder.")
def new(name: str, into: Path) -> None:
    """Write a plugin with a backbone NAME, its tests and its pyproject, ready to be changed."""
    from tlengine.cli import COMMANDS
    from tlengine.errors import InputError
    from tlengine.testing import write_plugin

    if name in COMMANDS:
        raise InputError(f"there is a command named {name!r} already", hint="choose another name")
    folder = write_plugin(name, into)
    echo(folder)
    say(f"next: pip install -e {folder} && tlengine plugins check {name}")
