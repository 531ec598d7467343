"""``tlengine plugins``: what is installed, whether it keeps its promises, and how to start a new one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tlengine.cli.common import echo, json_option, print_json, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tlengine.plugins.offers import Kind

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
@click.argument("kind", required=False)
@json_option
def list_(kind: str | None, as_json: bool) -> None:
    """The plugins found, and the backbones, probes, heads, ... that they offer; or those of one KIND.

    \b
    tlengine plugins list
    tlengine plugins list strategies --json
    """
    _list(as_json) if kind is None else _list_kind(kind, as_json)


def _list(as_json: bool) -> None:
    from tlengine.cli import COMMANDS
    from tlengine.plugins import describe_offers, describe_plugins
    from tlengine.plugins.commands import commands
    from tlengine.plugins.listing import describe_records

    brought = list(commands(COMMANDS))  # first: it may mark a plugin as failed
    plugins = describe_plugins()
    offers = {**describe_offers(), "commands": brought}
    roles = {record["name"]: record["role"] for record in describe_records("strategy")}
    if as_json:
        print_json({"plugins": plugins, **offers, "roles": roles})
        return
    for info in plugins:
        why = f": {info['error']}" if info["error"] else ""
        echo("{name}  {distribution} {version}  {status}".format(**info) + why)
    if any(info["status"] == "failed" for info in plugins):
        say("hint: TLENGINE_STRICT_PLUGINS=1 tlengine plugins check shows the traceback of what failed")
    for kind, names in offers.items():
        controls = {name for name, role in roles.items() if kind == "strategies" and role == "control"}
        shown = [f"{name} (control)" if name in controls else name for name in names]
        echo(f"{kind}: {', '.join(shown) or 'none'}")


def _list_kind(word: str, as_json: bool) -> None:
    from tlengine.plugins.listing import describe_records

    kind = _kind(word)
    found = describe_records(kind.noun)
    if as_json:
        print_json({kind.plural: found})
        return
    for record in found:
        words = [record["name"], record.get("role"), record["plugin"], record.get("description")]
        echo("  ".join(word for word in words if word))


def _kind(word: str) -> Kind:
    from tlengine.plugins.offers import KINDS, kind_of

    try:
        return kind_of(word)
    except KeyError:
        known = ", ".join(kind.plural for kind in KINDS)
        raise click.UsageError(f"no kind of record is named {word!r}; there are {known}") from None


@command.command("show")
@click.argument("name")
@click.option(
    "--kind", "word", metavar="KIND", help="Where several kinds have the name. [default: the first]"
)
@json_option
def show(name: str, word: str | None, as_json: bool) -> None:
    """What the backbone, probe, head, strategy, ... NAME says about itself; no weights are loaded.

    \b
    tlengine plugins show raw
    tlengine plugins show raw --kind strategy
    """
    from tlengine.plugins import resolve
    from tlengine.plugins.listing import describe, kinds_of

    nouns = [_kind(word).noun] if word else kinds_of(name) or ["backbone"]
    record = resolve(nouns[0], name)
    document = {"kind": nouns[0], **describe(nouns[0], record)}
    if as_json:
        print_json(document)
    else:
        for field, value in document.items():
            echo(f"{field}: {value}")
    for other in nouns[1:]:
        say(f"note: {name} is also a {other}: --kind {other}")


@command.command("check")
@click.argument("names", nargs=-1)
@json_option
def check(names: tuple[str, ...], as_json: bool) -> None:
    """Run the conformance checks on the backbones and heads NAMES, or on all that are installed.

    Exit code 1 if any check fails.
    """
    from tlengine.errors import PluginError

    results: list[dict[str, Any]] = []
    for noun, name, checked, fault in _checked(names):
        results.append({noun: name, "check": checked, "ok": fault is None, "fault": fault})
        if not as_json:
            echo(f"{name}  {checked}  {'ok' if fault is None else f'FAILED: {fault}'}")
    if as_json:
        print_json({"checks": results, "ok": all(result["ok"] for result in results)})
    bad = [result for result in results if not result["ok"]]
    if bad:
        first = bad[0].get("backbone") or bad[0]["head"]
        raise PluginError(
            f"{len(bad)} of {len(results)} checks failed, first {first}: {bad[0]['check']}",
            hint="see docs/plugins.md for what a backbone or a head promises",
        )


def _checked(names: tuple[str, ...]) -> Iterator[tuple[str, str, str, str | None]]:
    """Noun, name, check and fault: of each named backbone or head, or of all of them."""
    from tlengine.plugins import backbones, heads, resolve_backbone
    from tlengine.testing import backbone_checks, head_checks

    own = heads()
    for name in names or (*backbones(), *own):
        is_head = name in own and name not in backbones()
        noun = "head" if is_head else "backbone"
        found = head_checks(own[name]) if is_head else backbone_checks(resolve_backbone(name))
        yield from ((noun, name, checked, fault) for checked, fault in found)


@command.command("new")
@click.argument("name")
@click.option("--into", type=click.Path(file_okay=False, path_type=Path), default=".", help="Parent folder.")
@click.option(
    "--kind",
    type=click.Choice(["backbone", "head"]),
    default="backbone",
    show_default=True,
    help="What it brings.",
)
def new(name: str, into: Path, kind: str) -> None:
    """Write a plugin with a backbone or a head NAME, its tests and its pyproject, ready to be changed."""
    from tlengine.cli import COMMANDS
    from tlengine.errors import InputError
    from tlengine.testing import write_plugin

    if name in COMMANDS:
        raise InputError(f"there is a command named {name!r} already", hint="choose another name")
    folder = write_plugin(name, into, kind)
    echo(folder)
    say(f"next: pip install -e {folder} && tlengine plugins check {name}")
