"""What the plugins offer together: every record under its name, and who had the name first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from tlengine.errors import PluginError
from tlengine.plugins.manager import PluginInfo, PluginManager
from tlengine.plugins.records import BackboneSource, BackboneSpec, ExporterSpec, ProbeSpec

__all__ = ["BACKBONES", "EXPORTERS", "KINDS", "PROBES", "Kind", "Offers", "collect"]


@dataclass(frozen=True)
class Kind:
    """What one hook may yield."""

    hook: str
    records: tuple[type, ...]
    noun: str
    reserved: frozenset[str] = frozenset()
    """Names that no plugin may take, though no record of this kind has them."""

    def takes(self, record: object) -> bool:
        """Whether ``record`` is of this kind."""
        return isinstance(record, self.records)


BACKBONES = Kind("tlengine_backbones", (BackboneSpec, BackboneSource), "backbone")
PROBES = Kind(
    "tlengine_probes",
    (ProbeSpec,),
    "probe",
    # A probe is a strategy by its name, and these are tlengine's controls and strategies that are no probes.
    reserved=frozenset({"raw", "stats", "rcf", "random", "scratch", "finetune", "lp-ft", "lora"}),
)
EXPORTERS = Kind("tlengine_exporters", (ExporterSpec,), "exporter")
KINDS = (BACKBONES, PROBES, EXPORTERS)

Offers = Mapping[str, Mapping[str, tuple[str, Any]]]
"""By hook and name: the plugin that offers it, and its record."""


@cache
def collect(manager: PluginManager) -> Offers:
    """What the plugins of ``manager`` offer; a plugin offers all of its records or none.

    All hooks are called at once, so that what is refused does not depend on what was asked for first.
    """
    found: dict[str, dict[str, tuple[str, Any]]] = {kind.hook: {} for kind in KINDS}
    for info in sorted(manager.infos, key=lambda info: info.rank):
        if info.status != "loaded":
            continue
        offered = {kind.hook: manager.call(info.name, kind.hook) for kind in KINDS if kind.hook in info.hooks}
        if None in offered.values():
            continue
        fault = _fault(manager, found, info, offered)
        if fault is not None:
            manager.failed(info.name, fault)
            continue
        for hook, records in offered.items():
            found[hook].update({record.name: (info.name, record) for record in records or ()})
    return {hook: dict(sorted(records.items())) for hook, records in found.items()}


def _fault(
    manager: PluginManager,
    found: Offers,
    info: PluginInfo,
    offered: Mapping[str, list[Any] | None],
) -> Exception | None:
    """Why nothing of ``offered`` can be taken: a record that is none, or a name that is taken."""
    for kind in KINDS:
        names: set[str] = set()
        for record in offered.get(kind.hook) or ():
            if not kind.takes(record):
                wanted = " or ".join(one.__name__ for one in kind.records)
                return TypeError(f"{kind.hook} yields {_described(record)}, not a record ({wanted})")
            if owner := _owner(manager, kind, found, info, names, record.name):
                return PluginError(f"{owner} has the {kind.noun} {record.name!r} already; rename yours")
            names.add(record.name)
    return None


def _described(record: object) -> str:
    return f"the class {record.__name__}" if isinstance(record, type) else type(record).__name__


def _owner(
    manager: PluginManager, kind: Kind, found: Offers, info: PluginInfo, own: set[str], name: str
) -> str | None:
    """Who has the name already: a plugin of lower rank, this one itself, or tlengine's reserve."""
    if name in found[kind.hook]:
        return str(manager.info(found[kind.hook][name][0]))
    if name in own:
        return "it"
    return "tlengine" if name in kind.reserved and info.rank[0] else None
