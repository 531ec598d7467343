"""Probes: classifiers solved directly on frozen features, with no SGD and no torch.

In come arrays, ``X`` (n, d) and labels ``y`` (n,); out come scikit-learn estimators, whole
regularisation paths with a certificate for every solution, and exact nearest neighbours::

    from tlengine.probes import LinearProbeCV

    probe = LinearProbeCV(Cs=45).fit(X, y)      # every C, every fold, in one solve
    probe.C_, probe.score(X_test, y_test)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOMES = {
    "KNeighborsProbe": "neighbors",
    "LinearProbe": "linear",
    "LinearProbeCV": "linear",
    "LinearSVMProbe": "svm",
    "LinearSVMProbeCV": "svm",
    "NearestCentroidProbe": "centroid",
    "NeighborIndex": "neighbors",
    "PreValProbe": "preval",
    "ProbeGrid": "grid",
    "ProbePath": "paths",
    "RidgePath": "ridge",
    "RidgeProbe": "ridge",
    "RidgeProbeCV": "ridge",
    "cpu_info": "cpu",
    "from_pretrained": "persistence",
    "nearest": "neighbors",
    "neighbor_votes": "neighbors",
    "probe_grid": "grid",
    "probe_path": "paths",
    "ridge_path": "ridge",
}

__all__ = [
    "KNeighborsProbe",
    "LinearProbe",
    "LinearProbeCV",
    "LinearSVMProbe",
    "LinearSVMProbeCV",
    "NearestCentroidProbe",
    "NeighborIndex",
    "PreValProbe",
    "ProbeGrid",
    "ProbePath",
    "RidgePath",
    "RidgeProbe",
    "RidgeProbeCV",
    "cpu_info",
    "from_pretrained",
    "nearest",
    "neighbor_votes",
    "probe_grid",
    "probe_path",
    "ridge_path",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tlengine.probes' has no attribute {name!r}")
    value = getattr(import_module(f"tlengine.probes.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


if TYPE_CHECKING:
    from tlengine.probes.centroid import NearestCentroidProbe as NearestCentroidProbe
    from tlengine.probes.cpu import cpu_info as cpu_info
    from tlengine.probes.grid import ProbeGrid as ProbeGrid
    from tlengine.probes.grid import probe_grid as probe_grid
    from tlengine.probes.linear import LinearProbe as LinearProbe
    from tlengine.probes.linear import LinearProbeCV as LinearProbeCV
    from tlengine.probes.neighbors import KNeighborsProbe as KNeighborsProbe
    from tlengine.probes.neighbors import NeighborIndex as NeighborIndex
    from tlengine.probes.neighbors import nearest as nearest
    from tlengine.probes.neighbors import neighbor_votes as neighbor_votes
    from tlengine.probes.paths import ProbePath as ProbePath
    from tlengine.probes.paths import probe_path as probe_path
    from tlengine.probes.persistence import from_pretrained as from_pretrained
    from tlengine.probes.preval import PreValProbe as PreValProbe
    from tlengine.probes.ridge import RidgePath as RidgePath
    from tlengine.probes.ridge import RidgeProbe as RidgeProbe
    from tlengine.probes.ridge import RidgeProbeCV as RidgeProbeCV
    from tlengine.probes.ridge import ridge_path as ridge_path
    from tlengine.probes.svm import LinearSVMProbe as LinearSVMProbe
    from tlengine.probes.svm import LinearSVMProbeCV as LinearSVMProbeCV
