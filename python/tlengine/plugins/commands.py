"""The commands that plugins add to the command line, and whose they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING

from tlengine.errors import PluginError, TlengineError
from tlengine.plugins.containment import reason
from tlengine.plugins.discovery import PluginInfo
from tlengine.plugins.manager import PluginManager, plugin_manager
from tlengine.plugins.naming import TRACEBACK
from tlengine.plugins.offers import collect

if TYPE_CHECKING:
    import click

__all__ = ["add_commands", "command_fault", "commands"]


def add_commands(cli: click.Group) -> None:
    """Let every plugin add its commands to the group ``cli``; see :func:`commands` for what is refused."""
    for name, (_, command) in commands(cli.commands).items():
        cli.add_command(command, name)


def commands(taken: Iterable[str]) -> Mapping[str, tuple[PluginInfo, click.Command]]:
    """The commands of the plugins by name, each with its plugin.

    A plugin whose hook fails, or that wants a name of ``taken`` or of another plugin, is marked as failed and
    adds nothing.
    """
    manager = plugin_manager()
    collect(manager)  # records first: what is refused must not depend on what was asked for first
    found = _commands(manager, frozenset(taken))
    manager.tell()
    return found


@cache
def _commands(
    manager: PluginManager, taken: frozenset[str]
) -> Mapping[str, tuple[PluginInfo, click.Command]]:
    import click

    found: dict[str, tuple[PluginInfo, click.Command]] = {}
    for info in sorted(manager.infos, key=lambda info: info.rank):
        if "tlengine_commands" not in info.hooks or info.status != "loaded":
            continue
        group = click.Group("tlengine")
        if manager.call(info.name, "tlengine_commands", cli=group) is None:
            continue
        if clashes := sorted(group.commands.keys() & (taken | found.keys())):
            owner = found[clashes[0]][0] if clashes[0] in found else "tlengine"
            fault = f"{owner} has the command {clashes[0]!r} already; rename yours"
            manager.failed(info.name, PluginError(fault))
            continue
        found.update({name: (info, command) for name, command in group.commands.items()})
    return found


def command_fault(name: str, taken: Iterable[str], error: Exception) -> Exception | None:
    """The error to show for what a plugin's command ``name`` raised; None where there is none to add."""
    found = commands(taken)
    if isinstance(error, TlengineError) or name not in found:
        return None
    return PluginError(f"command {name!r} of plugin {found[name][0]} failed: {reason(error)}", hint=TRACEBACK)
