"""Every hook on one screen. A plugin implements the ones it needs and yields records.

A plugin is an installed distribution with an entry point in the group ``tlengine``::

    [project.entry-points.tlengine]
    tiny = "tlengine_tiny"

Hooks only grow: arguments are added, never removed without a warning for one minor release.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pluggy import HookimplMarker, HookspecMarker

if TYPE_CHECKING:
    import click

    from tlengine.plugins.contracts import Record
    from tlengine.plugins.records import (
        BackboneSource,
        BackboneSpec,
        ExporterSpec,
        HeadSpec,
        MetricSpec,
        ProbeSpec,
        StrategySpec,
    )

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

    :return: records; their names are unique over all probes and strategies.
    """


@hookspec
def tlengine_heads() -> Iterable[HeadSpec]:  # type: ignore[empty-body]
    """Yield trainable modules that turn rows or tokens into logits. Added in 0.1.

    **Example:**

        @tlengine.hookimpl
        def tlengine_heads():
            yield HeadSpec(name="deep", build=build)

    :return: records; their names are unique over all heads.
    """


@hookspec
def tlengine_strategies() -> Iterable[StrategySpec]:  # type: ignore[empty-body]
    """Yield ways to use a backbone, and controls that do without. Added in 0.1.

    **Example:**

        @tlengine.hookimpl
        def tlengine_strategies():
            yield StrategySpec(name="majority", make=Majority, role="control", view="raw")

    :return: records; their names are unique over all probes and strategies.
    """


@hookspec
def tlengine_metrics() -> Iterable[MetricSpec]:  # type: ignore[empty-body]
    """Yield what is measured on test rows. Added in 0.1.

    **Example:**

        @tlengine.hookimpl
        def tlengine_metrics():
            yield MetricSpec(name="hits", score=lambda codes, proba: (proba.argmax(1) == codes).mean())

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


@hookspec
def tlengine_run_started(run: Mapping[str, Any]) -> None:
    """Hear that a run begins. Added in 0.1.

    **Example:**

        @tlengine.hookimpl
        def tlengine_run_started(run):
            tracker.begin(run["strategies"])

    :param run: its configuration.
    """


@hookspec
def tlengine_task_finished(record: Record) -> None:
    """Hear that a fit is done, or has failed. Added in 0.1.

    **Example:**

        @tlengine.hookimpl
        def tlengine_task_finished(record):
            tracker.log(record.task.strategy, record.seconds, record.error)

    :param record: what the task left behind.
    """


@hookspec
def tlengine_run_finished(document: Mapping[str, Any]) -> None:
    """Hear that a run is over. Added in 0.1.

    **Example:**

        @tlengine.hookimpl
        def tlengine_run_finished(document):
            tracker.log(document["verdict"])

    :param document: the run document, the content of ``run.json``.
    """
