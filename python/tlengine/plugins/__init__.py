"""Plugins: installed packages that bring backbones, probes, heads, strategies, metrics, exporters, commands.

In: the entry points of the group ``tlengine``. Out: frozen records by name (:mod:`.registry`); events of a
run go the other way (:mod:`.lifecycle`).
"""

from __future__ import annotations

from tlengine.plugins import registry
from tlengine.plugins.commands import add_commands
from tlengine.plugins.discovery import PluginInfo
from tlengine.plugins.estimators import as_probe_spec
from tlengine.plugins.hookspecs import hookimpl
from tlengine.plugins.lifecycle import notify
from tlengine.plugins.listing import describe_offers, describe_plugins
from tlengine.plugins.manager import PluginManager, plugin_manager
from tlengine.plugins.records import (
    BackboneSource,
    BackboneSpec,
    ExporterSpec,
    HeadSpec,
    MetricSpec,
    ProbeSpec,
    StrategySpec,
)
from tlengine.plugins.registry import (
    backbones,
    exporters,
    heads,
    metrics,
    probes,
    resolve,
    resolve_backbone,
    resolve_head,
    resolve_strategy,
    strategies,
)
from tlengine.plugins.rendering import render
from tlengine.plugins.simple import SimpleStrategy

__all__ = [
    "BackboneSource",
    "BackboneSpec",
    "ExporterSpec",
    "HeadSpec",
    "MetricSpec",
    "PluginInfo",
    "PluginManager",
    "ProbeSpec",
    "SimpleStrategy",
    "StrategySpec",
    "add_commands",
    "as_probe_spec",
    "backbones",
    "describe_offers",
    "describe_plugins",
    "exporters",
    "heads",
    "hookimpl",
    "metrics",
    "notify",
    "plugin_manager",
    "probes",
    "registry",
    "render",
    "resolve",
    "resolve_backbone",
    "resolve_head",
    "resolve_strategy",
    "strategies",
]
