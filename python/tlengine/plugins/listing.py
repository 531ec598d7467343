"""What plugins and their records say about themselves, for people and as JSON; no plugin can make it fail."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

from tlengine.plugins.manager import plugin_manager
from tlengine.plugins.offers import KINDS, kind_of, offered
from tlengine.plugins.records import BackboneSource, BackboneSpec, HeadSpec
from tlengine.plugins.registry import origin

__all__ = ["describe", "describe_offers", "describe_plugins", "describe_records", "kinds_of", "names"]


def describe_plugins() -> list[dict[str, Any]]:
    """Every plugin found, as JSON: name, distribution, version, module, status, hooks, error.

    The hooks that yield records are called first, so that what fails in them is known. It never fails, also
    where ``TLENGINE_STRICT_PLUGINS`` is set.
    """
    offered(strict=False)
    return [asdict(info) for info in plugin_manager().infos]


def describe_offers() -> dict[str, list[str]]:
    """The names that the plugins offer, by the plural of each kind; open namespaces as ``prefix/...``.

    It never fails, also where ``TLENGINE_STRICT_PLUGINS`` is set.

    >>> "raw" in describe_offers()["backbones"]
    True
    """
    return {kind.plural: names(kind.noun) for kind in KINDS}


def names(noun: str) -> list[str]:
    """The names of a kind, sorted; open namespaces as ``prefix/...``. It never fails."""
    offers = offered(strict=False)[kind_of(noun).noun]
    return [
        f"{name}/..." if isinstance(record, BackboneSource) else name for name, (_, record) in offers.items()
    ]


def describe_records(noun: str) -> list[dict[str, Any]]:
    """What every record of a kind says about itself, sorted by name. It never fails.

    >>> [record["name"] for record in describe_records("exporters")]
    ['html']
    """
    return [describe(noun, record) for _, record in offered(strict=False)[kind_of(noun).noun].values()]


def describe(noun: str, record: Any) -> dict[str, Any]:
    """What a record says about itself, as JSON: its fields that are no functions, and its plugin."""
    shown = {f.name: getattr(record, f.name) for f in fields(record) if f.repr}
    return {"name": record.name, **shown, **_more(record), "plugin": origin(record.name, noun)}


def _more(record: Any) -> dict[str, Any]:
    """What the functions of a record tell."""
    if isinstance(record, BackboneSpec):
        return {"preprocess": repr(record.preprocess)}
    return {"settings": record.settings} if isinstance(record, HeadSpec) else {}


def kinds_of(name: str) -> list[str]:
    """The nouns of the kinds that have a record of this name, in the order of the table.

    >>> kinds_of("html")
    ['exporter']
    """
    offers, prefix = offered(strict=False), name.partition("/")[0]
    return [
        kind.noun
        for kind in KINDS
        if name in offers[kind.noun]
        or isinstance(offers[kind.noun].get(prefix, (None, None))[1], BackboneSource)
    ]
