"""The table of what plugins may offer, and what they offer together: every record under its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from tlengine.errors import PluginError
from tlengine.plugins.manager import PluginInfo, PluginManager, plugin_manager
from tlengine.plugins.records import (
    BackboneSource,
    BackboneSpec,
    ExporterSpec,
    HeadSpec,
    MetricSpec,
    ProbeSpec,
    StrategySpec,
)

__all__ = ["KINDS", "RESERVED", "Kind", "Offers", "collect", "kind_of", "offered"]

RESERVED: frozenset[str] = frozenset(
    {"raw", "stats", "rcf", "random", "scratch", "finetune", "lp-ft", "lora"}
)
"""Names of strategies that are tlengine's own, also where nothing has registered them."""


@dataclass(frozen=True)
class Kind:
    """A row of the table: what one hook may yield.

    Attributes:
        hook: its name.
        records: the types that it may yield.
        noun, plural: for people.
        space: kinds of one space share their names.
        reserved: names that no third party may take, though perhaps no record has them.
        includes: the nouns of kinds whose records are also of this one where a name is resolved.
    """

    hook: str
    records: tuple[type, ...]
    noun: str
    plural: str
    space: str
    reserved: frozenset[str] = frozenset()
    includes: tuple[str, ...] = ()

    def takes(self, record: object) -> bool:
        """Whether ``record`` is of this kind."""
        return isinstance(record, self.records)


# fmt: off
KINDS = (
    Kind("tlengine_backbones", (BackboneSpec, BackboneSource), "backbone", "backbones", "backbones"),
    Kind("tlengine_probes", (ProbeSpec,), "probe", "probes", "strategies", RESERVED),
    Kind("tlengine_heads", (HeadSpec,), "head", "heads", "heads"),
    Kind("tlengine_strategies", (StrategySpec,), "strategy", "strategies", "strategies", RESERVED,
         includes=("probe",)),
    Kind("tlengine_metrics", (MetricSpec,), "metric", "metrics", "metrics"),
    Kind("tlengine_exporters", (ExporterSpec,), "exporter", "exporters", "exporters"),
)
# fmt: on
"""All kinds. A probe is a strategy by its name, so the two share a space."""

Offers = Mapping[str, Mapping[str, tuple[str, Any]]]
"""By noun and name: the plugin that offers it, and its record."""


def kind_of(noun: str) -> Kind:
    """The row of ``noun``, in the singular or the plural.

    Raises:
        KeyError: there is none.

    >>> kind_of("strategies").hook
    'tlengine_strategies'
    """
    return {word: kind for kind in KINDS for word in (kind.noun, kind.plural)}[noun]


@cache
def collect(manager: PluginManager) -> Offers:
    """What the plugins of ``manager`` offer; a plugin offers all of its records or none.

    All hooks are called at once, so that what is refused does not depend on what was asked for first.
    """
    found: dict[str, dict[str, tuple[str, Any]]] = {kind.noun: {} for kind in KINDS}
    for info in sorted(manager.infos, key=lambda info: info.rank):
        if info.status != "loaded":
            continue
        brought = {kind.noun: manager.call(info.name, kind.hook) for kind in KINDS if kind.hook in info.hooks}
        if None in brought.values():
            continue
        fault = _fault(manager, found, info, brought)
        if fault is not None:
            manager.failed(info.name, fault)
            continue
        for noun, records in brought.items():
            found[noun].update({record.name: (info.name, record) for record in records or ()})
    return {noun: dict(sorted(records.items())) for noun, records in found.items()}


def _fault(
    manager: PluginManager,
    found: Offers,
    info: PluginInfo,
    brought: Mapping[str, list[Any] | None],
) -> Exception | None:
    """Why nothing of ``brought`` can be taken: a record that is none, or a name that is taken."""
    own: dict[tuple[str, str], Kind] = {}
    for kind in KINDS:
        for record in brought.get(kind.noun) or ():
            if not kind.takes(record):
                wanted = " or ".join(one.__name__ for one in kind.records)
                return TypeError(f"{kind.hook} yields {_described(record)}, not a record ({wanted})")
            owner = _owner(manager, kind, found, info, record.name)
            if (kind.space, record.name) in own:
                owner = f"it has the {own[kind.space, record.name].noun}"
            if owner:
                return PluginError(f"{owner} {record.name!r} already; rename yours")
            own[kind.space, record.name] = kind
    return None


def _described(record: object) -> str:
    return f"the class {record.__name__}" if isinstance(record, type) else type(record).__name__


def _owner(manager: PluginManager, kind: Kind, found: Offers, info: PluginInfo, name: str) -> str | None:
    """Who has the name already: a plugin of lower rank, or tlengine's reserve."""
    for other in KINDS:
        if other.space == kind.space and name in found[other.noun]:
            return f"{manager.info(found[other.noun][name][0])} has the {other.noun}"
    return f"tlengine has the {kind.noun}" if name in kind.reserved and info.rank[0] else None


def offered(*, strict: bool) -> Offers:
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
