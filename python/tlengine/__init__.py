"""Answers you can trust from a small labelled dataset and a pretrained backbone.

Public names load on first use, so ``import tlengine`` is quick and loads no torch::

    import tlengine as tl

    ds = tl.load_dataset("photos/")                      # a folder, a table, arrays
    bb = tl.load_backbone("efficientnet-lite0")
    feats = tl.extract(ds, bb)                           # each content once, ever: rows are cached
    probe = tl.LinearProbeCV().fit(feats.X, feats.y)
    result = tl.compare(ds, bb)                          # which strategy, and does transfer help?
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOMES = {
    "Dataset": "tlengine.data",
    "load_dataset": "tlengine.data",
    "Backbone": "tlengine.features",
    "EmbeddingCache": "tlengine.features",
    "extract": "tlengine.features",
    "load_backbone": "tlengine.features",
    "sample_key": "tlengine.features",
    "Features": "tlengine.types",
    "LinearProbe": "tlengine.probes",
    "LinearProbeCV": "tlengine.probes",
    "LinearSVMProbe": "tlengine.probes",
    "LinearSVMProbeCV": "tlengine.probes",
    "PreValProbe": "tlengine.probes",
    "RidgeProbe": "tlengine.probes",
    "RidgeProbeCV": "tlengine.probes",
    "KNeighborsProbe": "tlengine.probes",
    "NearestCentroidProbe": "tlengine.probes",
    "NeighborIndex": "tlengine.probes",
    "cpu_info": "tlengine.probes",
    "nearest": "tlengine.probes",
    "probe_path": "tlengine.probes",
    "ridge_path": "tlengine.probes",
    "probe_grid": "tlengine.probes",
    "RunResult": "tlengine.evaluation",
    "compare": "tlengine.evaluation",
    "from_pretrained": "tlengine.evaluation",
    "Model": "tlengine.evaluation",
    "hookimpl": "tlengine.plugins",
    "BackboneSpec": "tlengine.plugins",
    "BackboneSource": "tlengine.plugins",
    "ExporterSpec": "tlengine.plugins",
    "ProbeSpec": "tlengine.plugins",
}

__all__ = ["__version__", "build_profile", *_HOMES]


def __getattr__(name: str) -> Any:
    if name in ("__version__", "build_profile"):
        return getattr(import_module("tlengine._core"), name)
    if name not in _HOMES:
        raise AttributeError(f"module 'tlengine' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


if TYPE_CHECKING:
    from tlengine._core import __version__ as __version__
    from tlengine._core import build_profile as build_profile
    from tlengine.data import Dataset as Dataset
    from tlengine.data import load_dataset as load_dataset
    from tlengine.evaluation import Model as Model
    from tlengine.evaluation import RunResult as RunResult
    from tlengine.evaluation import compare as compare
    from tlengine.evaluation import from_pretrained as from_pretrained
    from tlengine.features import Backbone as Backbone
    from tlengine.features import EmbeddingCache as EmbeddingCache
    from tlengine.features import extract as extract
    from tlengine.features import load_backbone as load_backbone
    from tlengine.features import sample_key as sample_key
    from tlengine.plugins import BackboneSource as BackboneSource
    from tlengine.plugins import BackboneSpec as BackboneSpec
    from tlengine.plugins import ExporterSpec as ExporterSpec
    from tlengine.plugins import ProbeSpec as ProbeSpec
    from tlengine.plugins import hookimpl as hookimpl
    from tlengine.probes import KNeighborsProbe as KNeighborsProbe
    from tlengine.probes import LinearProbe as LinearProbe
    from tlengine.probes import LinearProbeCV as LinearProbeCV
    from tlengine.probes import LinearSVMProbe as LinearSVMProbe
    from tlengine.probes import LinearSVMProbeCV as LinearSVMProbeCV
    from tlengine.probes import NearestCentroidProbe as NearestCentroidProbe
    from tlengine.probes import NeighborIndex as NeighborIndex
    from tlengine.probes import PreValProbe as PreValProbe
    from tlengine.probes import RidgeProbe as RidgeProbe
    from tlengine.probes import RidgeProbeCV as RidgeProbeCV
    from tlengine.probes import cpu_info as cpu_info
    from tlengine.probes import nearest as nearest
    from tlengine.probes import probe_grid as probe_grid
    from tlengine.probes import probe_path as probe_path
    from tlengine.probes import ridge_path as ridge_path
    from tlengine.types import Features as Features
