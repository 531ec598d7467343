"""Run documents as the exporters of plugins write them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tlengine.errors import PluginError, TlengineError
from tlengine.plugins.containment import contained, reason
from tlengine.plugins.naming import TRACEBACK
from tlengine.plugins.registry import origin, resolve_exporter

__all__ = ["render"]


def render(name: str, document: Mapping[str, Any]) -> str:
    """The run ``document`` as the exporter ``name`` writes it.

    Raises:
        UnknownNameError: no plugin offers it.
        PluginError: the exporter failed, or returned something else than text.
    """
    spec = resolve_exporter(name)
    whose = f"exporter {name!r} of plugin {origin(name, 'exporter')}"
    try:
        with contained():
            text = spec.render(document)
    except (TlengineError, KeyboardInterrupt):
        raise
    except BaseException as error:  # a plugin may even exit
        raise PluginError(f"{whose} failed: {reason(error)}", hint=TRACEBACK) from error
    if not isinstance(text, str):
        raise PluginError(
            f"{whose} returned {type(text).__name__}, not text",
            hint="its render is to return the text of the file",
        )
    return text
