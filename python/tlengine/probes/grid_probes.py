"""Which probe a grid fits, by name or as an estimator."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np

from tlengine.errors import InputError
from tlengine.plugins import registry

__all__ = ["LOGISTIC", "check_unused", "is_deterministic", "read_probe"]

LOGISTIC = "logistic"
"""The probe that the core solves in batches."""


NAMES: Mapping[str, str] = {
    "svm": "LinearSVMProbeCV",
    "ridge": "RidgeProbeCV",
    "preval": "PreValProbe",
    "knn": "KNeighborsProbe",
    "centroid": "NearestCentroidProbe",
}
"""Our other probes: those that choose what they need by themselves."""


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
        if probe in NAMES:
            return getattr(import_module("tlengine.probes"), NAMES[probe])()
        return registry.resolve_probe(probe).estimator()
    if isinstance(probe, type):
        raise InputError(f"probe is the class {probe.__name__}", hint=f"pass an instance: {probe.__name__}()")
    if not all(callable(getattr(probe, name, None)) for name in ("fit", "predict", "get_params")):
        names = ", ".join((LOGISTIC, *NAMES))
        raise InputError(
            f"probe is {probe!r:.40}, neither a name nor an estimator",
            hint=f"an estimator of scikit-learn's kind, or one of {names}",
        )
    return probe


def is_deterministic(estimator: Any) -> bool:
    """Whether two fits on the same rows are known to be equal.

    That is so where all parts are tlengine's or scikit-learn's, and each ``random_state`` is a number.

    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from tlengine.probes import RidgeProbeCV
    >>> is_deterministic(RidgeProbeCV()), is_deterministic(RandomForestClassifier())
    (True, False)
    """
    return all(map(_is_fixed, (estimator, *estimator.get_params(deep=True).values())))


def _is_fixed(value: Any) -> bool:
    if type(value).__module__.partition(".")[0] not in ("builtins", "numpy", "sklearn", "tlengine"):
        return False
    is_random = not isinstance(getattr(value, "random_state", 0), int | np.integer)
    return not is_random and (hasattr(value, "get_params") or not callable(value))


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
