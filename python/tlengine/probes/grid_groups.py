"""How an estimator is told of groups, which its folds must not part, and of the weights of rows."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.errors import TlengineWarning

__all__ = ["groups_parameter", "warn_of_parted", "weight_parameter"]


def groups_parameter(estimator: Any) -> str | None:
    """The name under which ``fit`` takes groups, or None where it takes none.

    A Pipeline hands them to its last step. ``GridSearchCV`` and ``RandomizedSearchCV`` take them where their
    splitter asks for them. Where scikit-learn's metadata routing is on, the requests of the parts count.

    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from tlengine.probes import LinearProbeCV
    >>> groups_parameter(make_pipeline(StandardScaler(), LinearProbeCV()))
    'linearprobecv__groups'
    """
    return _parameter(estimator, "groups", lambda search: _asks(search.cv, "split", "groups"))


def weight_parameter(estimator: Any) -> str | None:
    """The name under which ``fit`` takes the weights of rows, or None where it takes none.

    As :func:`groups_parameter`; ``GridSearchCV`` and ``RandomizedSearchCV`` hand them to what they fit.

    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from tlengine.probes import RidgeProbeCV
    >>> weight_parameter(RidgeProbeCV()), weight_parameter(KNeighborsClassifier())
    ('sample_weight', None)
    """
    return _parameter(
        estimator, "sample_weight", lambda search: weight_parameter(search.estimator) == "sample_weight"
    )


def _parameter(estimator: Any, name: str, search_takes: Callable[[Any], bool]) -> str | None:
    from sklearn import get_config
    from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
    from sklearn.pipeline import Pipeline
    from sklearn.utils.validation import has_fit_parameter

    if has_fit_parameter(estimator, name):
        return name
    if get_config()["enable_metadata_routing"]:
        return name if _asks(estimator, "fit", name) else None
    if isinstance(estimator, Pipeline):
        step, last = estimator.steps[-1]
        inner = _parameter(last, name, search_takes) if hasattr(last, "fit") else None
        return inner and f"{step}__{inner}"
    if isinstance(estimator, GridSearchCV | RandomizedSearchCV) and search_takes(estimator):
        return name
    return None


def _asks(what: Any, method: str, name: str) -> bool:
    from sklearn.utils.metadata_routing import get_routing_for_object

    return name in get_routing_for_object(what).consumes(method, [name])


def warn_of_parted(estimator: Any, units: npt.NDArray[np.intp], stacklevel: int) -> None:
    """Say that an estimator which takes no groups chooses by folds of its own, where it has a ``cv``.

    Args:
        estimator: as it is.
        units: (n,) rows of one unit may not be parted.
        stacklevel: of the warning.
    """
    params = estimator.get_params(deep=True)
    if any(name == "cv" or name.endswith("__cv") for name in params):
        shared = int((np.bincount(units)[units] > 1).sum())
        warnings.warn(
            f"{shared} of {len(units)} rows share a group, or their content, with another row, and "
            f"{type(estimator).__name__} cannot be told: its own folds part them, so what it chooses suits "
            "rows that it knows. Take a probe whose fit takes groups, such as LinearProbeCV (also as the "
            "last step of a Pipeline), or cv=GroupKFold() in GridSearchCV",
            TlengineWarning,
            stacklevel,
        )
