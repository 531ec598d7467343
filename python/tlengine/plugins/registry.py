"""Names to records: what the plugins offer, by the one table of kinds (:mod:`.offers`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tlengine.errors import MissingPackageError
from tlengine.plugins.manager import PluginInfo, plugin_manager
from tlengine.plugins.naming import nearest_names, trouble, unknown_name
from tlengine.plugins.offers import RESERVED, kind_of, offered
from tlengine.plugins.records import (
    BackboneSource,
    BackboneSpec,
    ExporterSpec,
    HeadSpec,
    MetricSpec,
    ProbeSpec,
    StrategySpec,
)
from tlengine.plugins.shipped import SHIPPED, default_plugin, install_hint, shipped
from tlengine.plugins.sources import names_in, resolve_in

__all__ = [
    "RESERVED",
    "SHIPPED",
    "backbone_names",
    "backbones",
    "check_strict",
    "default_plugin",
    "exporters",
    "heads",
    "install_hint",
    "metrics",
    "nearest_names",
    "origin",
    "owner",
    "probes",
    "records",
    "resolve",
    "resolve_backbone",
    "resolve_exporter",
    "resolve_head",
    "resolve_probe",
    "resolve_strategy",
    "strategies",
    "trouble",
    "unknown_name",
]


def records(noun: str) -> Mapping[str, Any]:
    """Every record of a kind by name, sorted: ``"backbone" "probe" "head" "strategy" "metric" "exporter"``.

    Raises:
        PluginError: where ``TLENGINE_STRICT_PLUGINS`` is set and a plugin failed.

    >>> sorted(records("exporter"))
    ['html']
    """
    return {name: record for name, (_, record) in offered(strict=True)[kind_of(noun).noun].items()}


def resolve(noun: str, name: str) -> Any:
    """The record ``name`` of a kind; for ``"strategy"`` also a probe's, which is a strategy by its name.

    Raises:
        UnknownNameError: nothing of that name; the hint shows the nearest three.
        MissingPackageError: it is shipped with tlengine, but its plugin is not installed.
        PluginError: a source of backbones fails, or a plugin where ``TLENGINE_STRICT_PLUGINS`` is set.

    >>> resolve("backbone", "raw").modality
    'any'
    """
    known = {name: record for name, (_, record) in _entries(noun, strict=True).items()}
    found = known.get(name)
    if found is not None and not isinstance(found, BackboneSource):
        return found
    prefix, slash, rest = name.partition("/")
    if slash and isinstance(source := known.get(prefix), BackboneSource):
        return resolve_in(source, rest, origin(prefix, noun))
    plugin = shipped(name) if noun == "backbone" else None
    if plugin and not trouble(plugin):
        raise MissingPackageError(
            f"{noun} {name!r} needs the plugin {plugin}, which is not installed", hint=install_hint(plugin)
        )
    raise unknown_name(noun, name, _offline(known))


def _entries(noun: str, *, strict: bool) -> dict[str, tuple[str, Any]]:
    """Plugin and record by name, also of the kinds that this one includes."""
    offers, kind = offered(strict=strict), kind_of(noun)
    return {name: entry for one in (*kind.includes, kind.noun) for name, entry in offers[one].items()}


def _offline(known: Mapping[str, Any]) -> Iterator[str]:
    """Every name that is known offline; those of sources carry their prefix."""
    yield from (name for name, record in known.items() if not isinstance(record, BackboneSource))
    for record in known.values():
        if isinstance(record, BackboneSource):
            yield from names_in(record)


def backbones() -> Mapping[str, BackboneSpec]:
    """Every backbone with a name of its own, sorted by name.

    >>> backbones()["raw"].modality
    'any'
    """
    return {n: record for n, record in records("backbone").items() if isinstance(record, BackboneSpec)}


def backbone_names() -> Iterator[str]:
    """Every backbone name that is known offline; those of sources carry their prefix."""
    yield from _offline(records("backbone"))


def probes() -> Mapping[str, ProbeSpec]:
    """Every probe, sorted by name."""
    return records("probe")


def heads() -> Mapping[str, HeadSpec]:
    """Every head, sorted by name."""
    return records("head")


def strategies() -> Mapping[str, StrategySpec]:
    """Every strategy and control that is no probe, sorted by name; :func:`resolve_strategy` knows both."""
    return records("strategy")


def metrics() -> Mapping[str, MetricSpec]:
    """Every metric, sorted by name."""
    return records("metric")


def exporters() -> Mapping[str, ExporterSpec]:
    """Every exporter, sorted by name."""
    return records("exporter")


def resolve_backbone(name: str) -> BackboneSpec:
    """The record of the backbone ``name``, from a plugin or from a source; errors as :func:`resolve`.

    >>> resolve_backbone("raw").name
    'raw'
    """
    spec: BackboneSpec = resolve("backbone", name)
    return spec


def resolve_probe(name: str) -> ProbeSpec:
    """The record of the probe ``name``; errors as :func:`resolve`."""
    spec: ProbeSpec = resolve("probe", name)
    return spec


def resolve_head(name: str) -> HeadSpec:
    """The record of the head ``name``; errors as :func:`resolve`."""
    spec: HeadSpec = resolve("head", name)
    return spec


def resolve_strategy(name: str) -> StrategySpec | ProbeSpec:
    """The record of the strategy, control or probe ``name``; errors as :func:`resolve`."""
    spec: StrategySpec | ProbeSpec = resolve("strategy", name)
    return spec


def resolve_exporter(name: str) -> ExporterSpec:
    """The record of the exporter ``name``; errors as :func:`resolve`."""
    spec: ExporterSpec = resolve("exporter", name)
    return spec


def origin(name: str, noun: str = "backbone") -> str:
    """The plugin that offers ``name``, with its distribution and version, for messages.

    Raises:
        KeyError: none does.

    >>> origin("raw").partition(" ")[0]
    'builtin'
    """
    return str(owner(name, noun))


def owner(name: str, noun: str) -> PluginInfo:
    """The plugin that offers ``name``.

    Raises:
        KeyError: none does.

    >>> owner("knn", "strategy").distribution
    'tlengine'
    """
    found = _entries(noun, strict=False)
    plugin, _ = found.get(name) or found[name.partition("/")[0]]
    return plugin_manager().info(plugin)


def check_strict() -> None:
    """Where ``TLENGINE_STRICT_PLUGINS`` is set, a plugin that failed is an error.

    Raises:
        PluginError: for the first of them; its cause is what the plugin raised.
    """
    plugin_manager().check_strict()
