"""Names to records: what the plugins offer, clashes, and near misses."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING, Any

from tlengine.errors import MissingPackageError, PluginError, TlengineError, UnknownNameError
from tlengine.plugins.manager import PluginManager, plugin_manager
from tlengine.plugins.records import BackboneSource, BackboneSpec, ExporterSpec, ProbeSpec

if TYPE_CHECKING:
    import click

__all__ = [
    "add_commands",
    "backbone_names",
    "backbones",
    "describe_plugins",
    "exporters",
    "nearest_names",
    "origin",
    "probes",
    "resolve_backbone",
    "resolve_exporter",
    "resolve_probe",
    "sources",
]

SHIPPED = {"efficientnet-lite0": "tlengine-efficientnet-lite", "minilm": "tlengine-minilm"}
"""Backbones that live in this repository's ``plugins/``, and the folder that brings each."""

_KINDS: dict[str, tuple[type, ...]] = {
    "tlengine_backbones": (BackboneSpec, BackboneSource),
    "tlengine_probes": (ProbeSpec,),
    "tlengine_exporters": (ExporterSpec,),
}
"""What each hook may yield."""


def _records(hook: str) -> dict[str, Any]:
    return {name: record for name, (_, record) in _collect(hook, plugin_manager()).items()}


@cache
def _collect(hook: str, manager: PluginManager) -> Mapping[str, tuple[str, Any]]:
    """Names, each with the plugin that offers it and its record."""
    found: dict[str, tuple[str, Any]] = {}
    for plugin, records in manager.call_each(hook):
        wrong = [record for record in records if not isinstance(record, _KINDS[hook])]
        if wrong:
            manager.failed(plugin, TypeError(f"{hook} yields {type(wrong[0]).__name__}, not a record"))
            continue
        for record in records:
            if record.name in found:
                first, second = manager.info(found[record.name][0]), manager.info(plugin)
                raise PluginError(
                    f"two plugins offer {record.name!r}: {first} and {second}",
                    hint="uninstall one, or name the plugins to load in TLENGINE_LOAD_PLUGINS",
                )
            found[record.name] = (plugin, record)
    return dict(sorted(found.items()))


def backbones() -> Mapping[str, BackboneSpec]:
    """Every backbone with a name of its own, sorted by name.

    >>> backbones()["raw"].modality
    'any'
    """
    found = _records("tlengine_backbones")
    return {name: record for name, record in found.items() if isinstance(record, BackboneSpec)}


def sources() -> Mapping[str, BackboneSource]:
    """Every open namespace of backbones, by prefix."""
    found = _records("tlengine_backbones")
    return {name: record for name, record in found.items() if isinstance(record, BackboneSource)}


def backbone_names() -> Iterator[str]:
    """Every backbone name that is known offline; those of sources carry their prefix."""
    yield from backbones()
    for prefix, source in sources().items():
        yield from (f"{prefix}/{name}" for name in source.list())


def probes() -> Mapping[str, ProbeSpec]:
    """Every probe, sorted by name."""
    return _records("tlengine_probes")


def exporters() -> Mapping[str, ExporterSpec]:
    """Every exporter, sorted by name."""
    return _records("tlengine_exporters")


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
    if name in SHIPPED:
        raise MissingPackageError(
            f"backbone {name!r} needs the plugin {SHIPPED[name]}, which is not installed",
            hint=f"pip install ./plugins/{SHIPPED[name]}",
        )
    raise _unknown("backbone", name, backbone_names())


def _resolve_in(source: BackboneSource, rest: str) -> BackboneSpec:
    name = f"{source.prefix}/{rest}"
    try:
        spec = source.resolve(rest)
    except TlengineError:
        raise
    except LookupError:
        raise _unknown("backbone", name, (f"{source.prefix}/{n}" for n in source.list())) from None
    except Exception as error:
        raise PluginError(
            f"backbone {name!r}: its source failed: {type(error).__name__}: {error}",
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
    found = _collect("tlengine_backbones", plugin_manager())
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
        raise _unknown(kind, name, known)
    return known[name]


def nearest_names(name: str, known: Iterable[str]) -> list[str]:
    """The three of ``known`` that are spelled most like ``name``, nearest first.

    >>> nearest_names("minilmm", ["raw", "minilm", "efficientnet-lite0", "knn"])[0]
    'minilm'
    """
    lowered = {candidate.lower(): candidate for candidate in known}
    return [lowered[match] for match in difflib.get_close_matches(name.lower(), lowered, n=3, cutoff=0.0)]


def _unknown(kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
    near = nearest_names(name, known)
    hint = f"nearest names: {', '.join(near)}" if near else f"no {kind} is registered; see tlengine plugins"
    return UnknownNameError(f"no {kind} is named {name!r}", hint=hint, name=name, nearest=near)


def describe_plugins() -> list[dict[str, Any]]:
    """Every plugin found, as JSON: name, distribution, version, module, status, hooks, error.

    The hooks that yield records are called first, so that what fails in them is known.
    """
    for hook in _KINDS:
        _records(hook)
    return [asdict(info) for info in plugin_manager().infos]


def add_commands(cli: click.Group) -> None:
    """Let every plugin add its commands to the group ``cli``."""
    for _ in plugin_manager().call_each("tlengine_commands", cli=cli):
        pass
