"""The built-in backbones and probes, registered through the same hooks as a third party's.

It may import any room, and nothing imports it: it stands behind tlengine's own entry point.
"""

from __future__ import annotations

from collections.abc import Iterable
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


class _Lazy:
    """A class of :mod:`tlengine.probes` with these defaults, imported when it is looked at or called."""

    def __init__(self, name: str, **defaults: Any) -> None:
        self._name = name
        self._defaults = defaults

    def __call__(self, **options: Any) -> Any:
        from tlengine import probes

        return getattr(probes, self._name)(**{**self._defaults, **options})

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("_"):
            raise AttributeError(attribute)
        from tlengine import probes

        return getattr(getattr(probes, self._name), attribute)


@hookimpl
def tlengine_probes() -> Iterable[ProbeSpec]:
    """The probes that are solved by the core."""
    for name, estimator, description in (
        ("centroid", _Lazy("NearestCentroidProbe"), "Nearest class centroid."),
        ("knn", _Lazy("KNeighborsProbe"), "Nearest neighbours."),
        ("preval", _Lazy("PreValProbe"), "Ridge with probabilities, all by leave-one-out."),
        ("probe", _Lazy("LinearProbeCV"), "Linear (logistic) probe, C by cross-validation."),
        ("ridge", _Lazy("RidgeProbeCV"), "Ridge classifier, alpha by leave-one-out."),
        ("svm", _Lazy("LinearSVMProbeCV", patience=2), "Linear SVM, C by cross-validation."),
    ):
        yield ProbeSpec(name=name, estimator=estimator, description=description)


@hookimpl
def tlengine_exporters() -> Iterable[ExporterSpec]:
    """The report."""
    yield ExporterSpec(
        name="html", suffix=".html", render=render_html, description="One self-contained page."
    )
