"""Names to records: what the plugins offer, clashes, and near misses."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlengine.errors import MissingPackageError, PluginError, TlengineError, UnknownNameError
from tlengine.plugins.containment import contained, reason
from tlengine.plugins.discovery import SHIPPED, PluginInfo, canonical
from tlengine.plugins.manager import PluginManager, plugin_manager
from tlengine.plugins.offers import BACKBONES, EXPORTERS, KINDS, PROBES, Kind, Offers, collect
from tlengine.plugins.records import BackboneSource, BackboneSpec, ExporterSpec, ProbeSpec

if TYPE_CHECKING:
    import click

__all__ = [
    "RESERVED",
    "SHIPPED",
    "add_commands",
    "backbone_names",
    "backbones",
    "check_strict",
    "command_fault",
    "commands",
    "describe_offers",
    "describe_plugins",
    "exporters",
    "install_hint",
    "nearest_names",
    "origin",
    "probes",
    "render",
    "resolve_backbone",
    "resolve_exporter",
    "resolve_probe",
    "sources",
    "trouble",
    "unknown_name",
]


RESERVED = PROBES.reserved
"""Names of strategies that are no probes: no plugin's probe may have them."""


def _records(kind: Kind) -> dict[str, Any]:
    return {name: record for name, (_, record) in _offers(strict=True)[kind.hook].items()}


def _offers(*, strict: bool) -> Offers:
    """What the plugins offer.

    Raises:
        PluginError: with ``strict``, where ``TLENGINE_STRICT_PLUGINS`` is set and a plugin failed.
    """
    manager = plugin_manager()
    offers = collect(manager)
    manager.tell()
    if strict:
        manager.check_strict()
    return offers


def backbones() -> Mapping[str, BackboneSpec]:
    """Every backbone with a name of its own, sorted by name.

    >>> backbones()["raw"].modality
    'any'
    """
    found = _records(BACKBONES)
    return {name: record for name, record in found.items() if isinstance(record, BackboneSpec)}


def sources() -> Mapping[str, BackboneSource]:
    """Every open namespace of backbones, by prefix."""
    found = _records(BACKBONES)
    return {name: record for name, record in found.items() if isinstance(record, BackboneSource)}


def backbone_names() -> Iterator[str]:
    """Every backbone name that is known offline; those of sources carry their prefix."""
    yield from backbones()
    for source in sources().values():
        yield from _names_in(source)


def _names_in(source: BackboneSource) -> list[str]:
    """The names that a source lists; none where it fails: it is asked for near misses alone."""
    try:
        with contained():
            return [f"{source.prefix}/{name}" for name in source.list()]
    except KeyboardInterrupt:
        raise
    except BaseException:  # a plugin may even exit
        return []


def probes() -> Mapping[str, ProbeSpec]:
    """Every probe, sorted by name."""
    return _records(PROBES)


def exporters() -> Mapping[str, ExporterSpec]:
    """Every exporter, sorted by name."""
    return _records(EXPORTERS)


def resolve_backbone(name: str) -> BackboneSpec:
    """The record of the backbone ``name``, from a plugin or from a source.

    Raises:
        UnknownNameError: nothing of that name; the hint shows the nearest three.
        MissingPackageError: the backbone is shipped with tlengine, but its plugin is not installed.
        PluginError: two plugins offer it, or a source fails.

    >>> resolve_backbone("raw").name
    'raw'
    """
    known = backbones()
    if name in known:
        return known[name]
    prefix, slash, rest = name.partition("/")
    if slash and (source := sources().get(prefix)) is not None:
        return _resolve_in(source, rest)
    if name in SHIPPED and not trouble(SHIPPED[name]):
        raise MissingPackageError(
            f"backbone {name!r} needs the plugin {SHIPPED[name]}, which is not installed",
            hint=install_hint(SHIPPED[name]),
        )
    raise unknown_name("backbone", name, backbone_names())


def _resolve_in(source: BackboneSource, rest: str) -> BackboneSpec:
    name = f"{source.prefix}/{rest}"
    try:
        with contained():
            spec = source.resolve(rest)
    except (TlengineError, KeyboardInterrupt):
        raise
    except LookupError:
        raise unknown_name("backbone", name, _names_in(source)) from None
    except BaseException as error:  # a plugin may even exit
        raise PluginError(
            f"backbone {name!r}: its source, {origin(name)}, failed: {reason(error)}",
            hint="see 'tlengine plugins' for the plugin behind it",
        ) from error
    if not isinstance(spec, BackboneSpec):
        raise PluginError(f"backbone {name!r}: its source returned {type(spec).__name__}, not a BackboneSpec")
    return spec


def origin(name: str) -> str:
    """The plugin that offers the backbone ``name``, with its distribution and version, for messages.

    >>> origin("raw").partition(" ")[0]
    'builtin'
    """
    found = _offers(strict=False)[BACKBONES.hook]
    plugin, _ = found.get(name) or found[name.partition("/")[0]]
    return str(plugin_manager().info(plugin))


def resolve_probe(name: str) -> ProbeSpec:
    """The record of the probe ``name``.

    Raises:
        UnknownNameError: nothing of that name; the hint shows the nearest three.
    """
    spec: ProbeSpec = _resolve("probe", name, probes())
    return spec


def resolve_exporter(name: str) -> ExporterSpec:
    """The record of the exporter ``name``.

    Raises:
        UnknownNameError: nothing of that name; the hint shows the nearest three.
    """
    spec: ExporterSpec = _resolve("exporter", name, exporters())
    return spec


def _resolve(kind: str, name: str, known: Mapping[str, Any]) -> Any:
    if name not in known:
        raise unknown_name(kind, name, known)
    return known[name]


def render(name: str, document: Mapping[str, Any]) -> str:
    """The run ``document`` as the exporter ``name`` writes it.

    Raises:
        UnknownNameError: no plugin offers it.
        PluginError: the exporter failed, or returned something else than text.
    """
    spec = resolve_exporter(name)
    plugin, _ = _offers(strict=False)[EXPORTERS.hook][name]
    origin = plugin_manager().info(plugin)
    try:
        with contained():
            text = spec.render(document)
    except (TlengineError, KeyboardInterrupt):
        raise
    except BaseException as error:  # a plugin may even exit
        raise PluginError(
            f"exporter {name!r} of plugin {origin} failed: {reason(error)}", hint=_TRACEBACK
        ) from error
    if not isinstance(text, str):
        raise PluginError(
            f"exporter {name!r} of plugin {origin} returned {type(text).__name__}, not text",
            hint="its render is to return the text of the file",
        )
    return text


def nearest_names(name: str, known: Iterable[str]) -> list[str]:
    """The three of ``known`` that are spelled most like ``name``, nearest first.

    >>> nearest_names("minilmm", ["raw", "minilm", "efficientnet-lite0", "knn"])[0]
    'minilm'
    """
    lowered = {candidate.lower(): candidate for candidate in known}
    return [lowered[match] for match in difflib.get_close_matches(name.lower(), lowered, n=3, cutoff=0.0)]


_TRACEBACK = "TLENGINE_STRICT_PLUGINS=1 shows the traceback"


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """The error for a ``name`` that nothing has; the hint tells of plugins that may have had it.

    >>> unknown_name("probe", "knm", ["knn"]).hint.partition(";")[0]
    'nearest names: knn'
    """
    near = nearest_names(name, known)
    hints = (
        [f"nearest names: {', '.join(near)}"] if near else [f"no {kind} is registered; see tlengine plugins"]
    )
    return UnknownNameError(
        f"no {kind} is named {name!r}", hint="; ".join([*trouble(), *hints]), name=name, nearest=near
    )


def trouble(distribution: str | None = None) -> list[str]:
    """What to say of plugins that failed or were not allowed: of all, or of those of a distribution."""
    wanted = [
        info
        for info in plugin_manager().infos
        if distribution is None or canonical(info.distribution) == canonical(distribution)
    ]
    failed = [
        f"plugin {info} failed ({info.error}), {_TRACEBACK}" for info in wanted if info.status == "failed"
    ]
    blocked = [str(info) for info in wanted if info.status == "not allowed"]
    return failed + ([f"TLENGINE_LOAD_PLUGINS leaves out {', '.join(blocked)}"] if blocked else [])


def install_hint(plugin: str) -> str:
    """How to install a plugin of this repository; the folder is named where it can be seen.

    >>> install_hint("tlengine-none")
    "install the folder plugins/tlengine-none of tlengine's source with pip"
    """
    clone = Path(__file__).parents[3] / "plugins"
    for folder, shown in ((Path("plugins"), "./plugins"), (clone, str(clone))):
        if (folder / plugin / "pyproject.toml").is_file():
            return f"pip install {shown}/{plugin}"
    return f"install the folder plugins/{plugin} of tlengine's source with pip"


def describe_plugins() -> list[dict[str, Any]]:
    """Every plugin found, as JSON: name, distribution, version, module, status, hooks, error.

    The hooks that yield records are called first, so that what fails in them is known. It never fails, also
    where ``TLENGINE_STRICT_PLUGINS`` is set.
    """
    _offers(strict=False)
    return [asdict(info) for info in plugin_manager().infos]


def describe_offers() -> dict[str, list[str]]:
    """The names of the backbones, probes and exporters of the plugins; open namespaces as ``prefix/...``.

    It never fails, also where ``TLENGINE_STRICT_PLUGINS`` is set.

    >>> "raw" in describe_offers()["backbones"]
    True
    """
    offers = _offers(strict=False)
    return {
        f"{kind.noun}s": [
            f"{name}/..." if isinstance(record, BackboneSource) else name
            for name, (_, record) in offers[kind.hook].items()
        ]
        for kind in KINDS
    }


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
    return PluginError(
        f"command {name!r} of plugin {found[name][0]} failed: {reason(error)}", hint=_TRACEBACK
    )


def check_strict() -> None:
    """Where ``TLENGINE_STRICT_PLUGINS`` is set, a plugin that failed is an error.

    Raises:
        PluginError: for the first of them; its cause is what the plugin raised.
    """
    plugin_manager().check_strict()
