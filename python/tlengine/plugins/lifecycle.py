"""Events of a run, told to the plugins that want to hear of them."""

from __future__ import annotations

from typing import Any

from tlengine.plugins.manager import plugin_manager

__all__ = ["notify"]


def notify(hook: str, **facts: Any) -> None:
    """Tell every plugin of an event; whatever they do, the run goes on.

    A plugin that fails is named in one ``PluginWarning`` and told nothing more in this process. Each gets
    its own copy of ``facts``, so that none can change the run.

    Args:
        hook: ``"tlengine_run_started"``, ``"tlengine_task_finished"`` or ``"tlengine_run_finished"``.
        facts: its arguments.

    >>> notify("tlengine_run_finished", document={"verdict": None})
    """
    plugin_manager().notify(hook, **facts)
