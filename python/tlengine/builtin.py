"""The built-in backbones and probes, registered through the same hooks as a third party's.

It may import any room, and nothing imports it: it stands behind tlengine's own entry point.
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
from tlengine.plugins import BackboneSpec, ExporterSpec, ProbeSpec, hookimpl
from tlengine.reports import render_html

__all__ = ["tlengine_backbones", "tlengine_exporters", "tlengine_probes"]


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
    """The probes that are solved by the core; all of them save themselves."""
    for name, probe, description in (
        ("centroid", "NearestCentroidProbe", "Nearest class centroid."),
        ("knn", "KNeighborsProbe", "Nearest neighbours."),
        ("probe", "LinearProbeCV", "Linear (logistic) probe, C by cross-validation."),
        ("ridge", "RidgeProbeCV", "Ridge classifier, alpha by leave-one-out."),
    ):
        yield ProbeSpec(name=name, estimator=partial(_make, probe), description=description)
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
def tlengine_exporters() -> Iterable[ExporterSpec]:
    """The report."""
    yield ExporterSpec(
        name="html", suffix=".html", render=render_html, description="One self-contained page."
    )
