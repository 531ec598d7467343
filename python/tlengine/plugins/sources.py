"""Open namespaces of backbones: asking a source for a name, and for the names that it can list."""

from __future__ import annotations

from tlengine.errors import PluginError, TlengineError
from tlengine.plugins.containment import contained, reason
from tlengine.plugins.naming import unknown_name
from tlengine.plugins.records import BackboneSource, BackboneSpec

__all__ = ["names_in", "resolve_in"]


def names_in(source: BackboneSource) -> list[str]:
    """The names that a source lists; none where it fails: it is asked for near misses alone."""
    try:
        with contained():
            return [f"{source.prefix}/{name}" for name in source.list()]
    except KeyboardInterrupt:
        raise
    except BaseException:  # a plugin may even exit
        return []


def resolve_in(source: BackboneSource, rest: str, origin: str) -> BackboneSpec:
    """The backbone ``prefix/rest``.

    Args:
        source: the namespace.
        rest: what follows the prefix, case kept.
        origin: the plugin behind the source, for messages.

    Raises:
        UnknownNameError: the source does not know the name.
        PluginError: the source failed, or returned something else than a record.
    """
    name = f"{source.prefix}/{rest}"
    try:
        with contained():
            spec = source.resolve(rest)
    except (TlengineError, KeyboardInterrupt):
        raise
    except LookupError:
        raise unknown_name("backbone", name, names_in(source)) from None
    except BaseException as error:  # a plugin may even exit
        raise PluginError(
            f"backbone {name!r}: its source, {origin}, failed: {reason(error)}",
            hint="see 'tlengine plugins' for the plugin behind it",
        ) from error
    if not isinstance(spec, BackboneSpec):
        raise PluginError(f"backbone {name!r}: its source returned {type(spec).__name__}, not a BackboneSpec")
    return spec
