"""Plugins: installed packages that bring backbones, probes, exporters and commands.

In: the entry points of the group ``tlengine``. Out: frozen records by name (:mod:`.registry`).
"""

from __future__ import annotations

from tlengine.plugins import registry
from tlengine.plugins.discovery import PluginInfo
from tlengine.plugins.hookspecs import hookimpl
from tlengine.plugins.manager import PluginManager, plugin_manager
from tlengine.plugins.records import BackboneSource, BackboneSpec, ExporterSpec, ProbeSpec
from tlengine.plugins.registry import (
    add_commands,
    backbones,
    describe_plugins,
    exporters,
    probes,
    resolve_backbone,
)

__all__ = [
    "BackboneSource",
    "BackboneSpec",
    "ExporterSpec",
    "PluginInfo",
    "PluginManager",
    "ProbeSpec",
    "add_commands",
    "backbones",
    "describe_plugins",
    "exporters",
    "hookimpl",
    "plugin_manager",
    "probes",
    "registry",
    "resolve_backbone",
]
