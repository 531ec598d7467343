"""Which probe a grid fits, by name or as an estimator; and what a file of its records is known by."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tlengine.errors import InputError
from tlengine.plugins import registry
from tlengine.probes.scoring import Scoring

__all__ = ["LOGISTIC", "check_unused", "identity_of", "read_probe", "scorer_identity"]

LOGISTIC = "logistic"
"""The probe that the core solves in batches."""


def _svm() -> Any:
    from tlengine.probes.svm import LinearSVMProbeCV

    return LinearSVMProbeCV()


def _ridge() -> Any:
    from tlengine.probes.ridge import RidgeProbeCV

    return RidgeProbeCV()


def _preval() -> Any:
    from tlengine.probes.preval import PreValProbe

    return PreValProbe()


def _knn() -> Any:
    from tlengine.probes.neighbors import KNeighborsProbe

    return KNeighborsProbe()


def _centroid() -> Any:
    from tlengine.probes.centroid import NearestCentroidProbe

    return NearestCentroidProbe()


NAMES: Mapping[str, Callable[[], Any]] = {
    "svm": _svm, "ridge": _ridge, "preval": _preval, "knn": _knn, "centroid": _centroid,
}  # fmt: skip


def read_probe(probe: Any) -> Any:
    """An estimator to clone; None for the logistic probe.

    Args:
        probe: ``"logistic"``, ``"svm"``, ``"ridge"``, ``"preval"``, ``"knn"``, ``"centroid"``, the name of a
            plugin's probe, which is made with its defaults; or an estimator with ``fit`` and ``predict``.

    Raises:
        UnknownNameError: no probe has this name.
        InputError: neither a name nor an estimator; a class instead of an instance.

    >>> read_probe("knn"), read_probe("logistic")
    (KNeighborsProbe(), None)
    """
    if isinstance(probe, str):
        if probe == LOGISTIC:
            return None
        return NAMES[probe]() if probe in NAMES else registry.resolve_probe(probe).estimator()
    if isinstance(probe, type):
        raise InputError(f"probe is the class {probe.__name__}", hint=f"pass an instance: {probe.__name__}()")
    if not all(callable(getattr(probe, name, None)) for name in ("fit", "predict", "get_params")):
        names = ", ".join((LOGISTIC, *NAMES))
        raise InputError(
            f"probe is {probe!r:.40}, neither a name nor an estimator",
            hint=f"an estimator of scikit-learn's kind, or one of {names}",
        )
    return probe


def check_unused(estimator: Any, given: Mapping[str, tuple[Any, Any]]) -> None:
    """Refuse settings of the logistic probe beside another one.

    Args:
        estimator: the other one.
        given: name -> (value, default).

    Raises:
        InputError: one differs from its default.
    """
    for name, (value, default) in given.items():
        if not (np.ndim(value) == np.ndim(default) and np.all(value == default)):
            raise InputError(
                f"{name}={value!r:.40} is of the logistic probe, the probe is {type(estimator).__name__}",
                hint="set it on the estimator: probe=LinearSVMProbeCV(Cs=20)",
            )


def identity_of(value: Any, what: str) -> Any:
    """What a value is, in JSON's types: estimators by class, version and parameters, arrays by a digest.

    Raises:
        InputError: a parameter that tells nobody what it is, such as a function; ``what`` says where.

    >>> from sklearn.linear_model import LogisticRegression
    >>> identity_of(LogisticRegression(C=2.0), "probe")[0]
    'sklearn.linear_model._logistic.LogisticRegression'
    """
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufU":
        digest = hashlib.blake2b(np.ascontiguousarray(value).tobytes(), digest_size=16).hexdigest()
        return [value.dtype.str, list(value.shape), digest]
    if isinstance(value, list | tuple):
        return [identity_of(one, what) for one in value]
    if isinstance(value, Mapping):
        return [[str(key), identity_of(one, f"{what}, {key}")] for key, one in value.items()]
    if hasattr(value, "get_params") and not isinstance(value, type):
        return _estimator(value, what)
    raise InputError(
        f"{what} is a {type(value).__name__}, which a later call cannot know again",
        hint="leave out resume, or use parameters that are numbers, text, lists or estimators",
    )


def _estimator(value: Any, what: str) -> list[Any]:
    kind = type(value)
    if kind.__module__ == "__main__":
        raise InputError(
            f"{what} is the class {kind.__qualname__} of __main__, which a later call cannot know again",
            hint="leave out resume, or put the class into a module",
        )
    package = sys.modules.get(kind.__module__.partition(".")[0])
    version = str(getattr(package, "__version__", ""))
    params = value.get_params(deep=False)
    known = [[name, identity_of(params[name], f"{what}, {name}")] for name in sorted(params)]
    return [f"{kind.__module__}.{kind.__qualname__}", version, known]


def scorer_identity(column: str, scoring: Scoring) -> list[Any]:
    """What a scorer is: its name among scikit-learn's, or its metric and options.

    Raises:
        InputError: a function of the user's.
    """
    metric = getattr(scoring.scorer, "_score_func", None)
    if metric is None or not metric.__module__.startswith("sklearn."):
        raise InputError(
            f"scoring {column!r} is a function, which a later call cannot know again",
            hint="leave out resume, or name one of sklearn.metrics.get_scorer_names()",
        )
    import sklearn

    return [column, repr(scoring.scorer), sklearn.__version__]
