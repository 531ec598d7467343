"""What tlengine itself offers of every kind, registered through the same hooks as a third party's.

Backbones that controls look at, probes, heads, strategies and controls, metrics, and the report. It may
import any room, and nothing imports it: it stands behind tlengine's own entry point.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from tlengine.features import (
    RAW_DIM,
    RCF_DIM,
    RCF_PREPROCESS,
    STATS_DIMS,
    RawPreprocess,
    StatsPreprocess,
    load_raw,
    load_rcf,
    load_stats,
)
from tlengine.plugins import (
    BackboneSpec,
    ExporterSpec,
    HeadSpec,
    MetricSpec,
    ProbeSpec,
    StrategySpec,
    hookimpl,
)
from tlengine.reports import render_html

__all__ = [
    "tlengine_backbones",
    "tlengine_exporters",
    "tlengine_heads",
    "tlengine_metrics",
    "tlengine_probes",
    "tlengine_strategies",
]


@hookimpl
def tlengine_backbones() -> Iterable[BackboneSpec]:
    """What the controls without pretrained weights look at."""
    yield BackboneSpec(
        name="raw",
        modality="any",
        embedding_dim=RAW_DIM,
        load=load_raw,
        preprocess=RawPreprocess(),
        revision="1",
        description="Control: downsampled pixels, or a hashed bag of words.",
    )
    yield BackboneSpec(
        name="stats",
        modality="any",
        embedding_dim=STATS_DIMS,
        load=load_stats,
        preprocess=StatsPreprocess(),
        revision="1",
        description="Control: hand-written statistics of colour and texture, or of words and their pieces.",
    )
    yield BackboneSpec(
        name="rcf",
        modality="image",
        embedding_dim=RCF_DIM,
        load=load_rcf,
        preprocess=RCF_PREPROCESS,
        revision="1",
        paper="https://www.nature.com/articles/s41467-021-24638-z",
        description="Control: 512 random convolutions, rectified and averaged.",
    )


def _make(probe: str, /, **options: Any) -> Any:
    """A probe by the name of its class, imported when it is made."""
    from tlengine import probes

    return getattr(probes, probe)(**options)


def _svm_candidates(n: int, d: int, scale: float) -> list[dict[str, Any]]:
    """C times the scale of the features, so that their unit does not matter."""
    return [{"C": c / (scale or 1.0)} for c in (1.0, 1e-3, 1e-2, 1e-1, 1e1, 1e2)]


def _preval_candidates(n: int, d: int, scale: float) -> list[dict[str, Any]]:
    """Penalties relative to the squares that they stand beside."""
    return [{"alphas": [a * n * (scale or 1.0)]} for a in (1e-2, 1e-5, 1e-4, 1e-3, 1e-1)]


@hookimpl
def tlengine_probes() -> Iterable[ProbeSpec]:
    """The probes that are no strategies of their own; they save themselves."""
    yield ProbeSpec(
        name="preval",
        estimator=partial(_make, "PreValProbe"),
        candidates=_preval_candidates,
        description="Ridge with probabilities, their temperature by leave-one-out.",
    )
    yield ProbeSpec(
        name="svm",
        estimator=partial(_make, "LinearSVMProbe"),
        candidates=_svm_candidates,
        description="Linear SVM with the squared hinge.",
    )


@hookimpl
def tlengine_heads() -> Iterable[HeadSpec]:
    """The heads for fine-tuning."""
    from tlengine.finetuning import HEADS

    yield from HEADS


def _strategy(name: str, /, **settings: Any) -> Any:
    """A strategy by the name of its class, imported when it is made."""
    from tlengine.evaluation import strategies

    return getattr(strategies, name)(**settings)


@hookimpl
def tlengine_strategies() -> Iterable[StrategySpec]:
    """Ways to use frozen features, and controls that borrow nothing from pretraining."""
    for name, strategy, spoken, description in (
        ("knn", "NeighborsStrategy", "nearest neighbours", "The vote of the nearest neighbours."),
        ("probe", "LogisticStrategy", "a linear probe", "Linear (logistic) probe."),
        ("ridge", "RidgeStrategy", "a ridge probe", "Ridge classifier."),
        ("centroid", "CentroidStrategy", "nearest centroids", "Nearest class centroid."),
    ):
        make = partial(_strategy, strategy)
        yield StrategySpec(name=name, make=make, default=True, spoken=spoken, description=description)
    probe, weighed = partial(_strategy, "LogisticStrategy"), partial(_strategy, "TfidfStrategy")
    for name, makers, spoken in (
        ("raw", {"image": probe, "text": probe}, "a probe on raw samples (raw)"),
        ("stats", {"image": probe, "text": weighed}, "a probe on hand-written statistics (stats)"),
        ("rcf", {"image": probe}, "a probe on random convolutions (rcf)"),
    ):
        yield StrategySpec(
            name=name,
            make=makers,
            role="control",
            view=name,
            modalities=tuple(makers),
            default=True,
            spoken=spoken,
            description="Control: a linear probe on what needs no pretrained network.",
        )
    yield StrategySpec(
        name="random",
        make=probe,
        role="control",
        view="random",
        modalities=("image", "text"),
        default="networks",
        spoken="a probe on the untrained network (random)",
        description="Control: a linear probe on the backbone's architecture with untrained weights.",
    )


def _finetuning(preset: str, /, **settings: Any) -> Any:
    """A way to fine-tune, imported when it is made."""
    from tlengine.finetuning import FineTuning

    return FineTuning(preset, **settings)


@hookimpl(specname="tlengine_strategies")
def finetuning_strategies() -> Iterable[StrategySpec]:
    """Ways to fine-tune, and the control that trains from scratch."""
    from tlengine.finetuning import PRESETS

    for name, preset in PRESETS.items():
        yield StrategySpec(
            name=name,
            make=partial(_finetuning, name),
            role=preset.role,
            modalities=("image", "text"),
            default="networks" if preset.role == "control" else False,
            spoken=preset.spoken,
            description=preset.description,
        )


@hookimpl
def tlengine_metrics() -> Iterable[MetricSpec]:
    """What is measured on test rows."""
    from tlengine.statistics import METRICS

    yield from METRICS.values()


@hookimpl
def tlengine_exporters() -> Iterable[ExporterSpec]:
    """The report."""
    yield ExporterSpec(
        name="html", suffix=".html", render=render_html, description="One self-contained page."
    )
