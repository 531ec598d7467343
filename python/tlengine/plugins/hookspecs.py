"""Every hook on one screen. A plugin implements the ones it needs and yields records.

A plugin is an installed distribution with an entry point in the group ``tlengine``::

    [project.entry-points.tlengine]
    tiny = "tlengine_tiny"

Hooks only grow: arguments are added, never removed without a warning for one minor release.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pluggy import HookimplMarker, HookspecMarker

if TYPE_CHECKING:
    import click

    from tlengine.plugins.records import BackboneSource, BackboneSpec, ExporterSpec, ProbeSpec

__all__ = ["hookimpl"]

hookspec = HookspecMarker("tlengine")
hookimpl = HookimplMarker("tlengine")


@hookspec
def tlengine_backbones() -> Iterable[BackboneSpec | BackboneSource]:  # type: ignore[empty-body]
    """Yield pretrained networks, and open namespaces of them. Added in 0.1.

    **Example:**

        @tlengine.hookimpl
        def tlengine_backbones():
            yield tlengine.BackboneSpec(
                name="tiny", modality="image", embedding_dim=64, load=load, preprocess=ImagePreprocess()
            )

    :return: records; their names are unique over all plugins.
    """


@hookspec
def tlengine_probes() -> Iterable[ProbeSpec]:  # type: ignore[empty-body]
    """Yield classifiers that are solved on frozen features. Added in 0.1.

    **Example:**

        @tlengine.hookimpl
        def tlengine_probes():
            yield ProbeSpec(name="lda", estimator=LinearDiscriminantAnalysis)

    :return: records.
    """


@hookspec
def tlengine_exporters() -> Iterable[ExporterSpec]:  # type: ignore[empty-body]
    """Yield ways to write a run down. Added in 0.1.

    **Example:**

        @tlengine.hookimpl
        def tlengine_exporters():
            yield ExporterSpec(name="json", suffix=".json", render=json.dumps)

    :return: records.
    """


@hookspec
def tlengine_commands(cli: click.Group) -> None:
    """Add commands to the command line. Added in 0.1.

    **Example:**

        @tlengine.hookimpl
        def tlengine_commands(cli):
            cli.add_command(my_command)

    :param cli: the ``tlengine`` group.
    """
