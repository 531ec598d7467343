"""How an estimator is told of groups, so that the folds by which it chooses part none of them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.errors import TlengineWarning

__all__ = ["groups_parameter", "warn_of_parted"]


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
    from sklearn import get_config
    from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
    from sklearn.pipeline import Pipeline
    from sklearn.utils.validation import has_fit_parameter

    if has_fit_parameter(estimator, "groups"):
        return "groups"
    if get_config()["enable_metadata_routing"]:
        return "groups" if _asks(estimator, "fit") else None
    if isinstance(estimator, Pipeline):
        name, last = estimator.steps[-1]
        inner = groups_parameter(last) if hasattr(last, "fit") else None
        return inner and f"{name}__{inner}"
    if isinstance(estimator, GridSearchCV | RandomizedSearchCV) and _asks(estimator.cv, "split"):
        return "groups"
    return None


def _asks(what: Any, method: str) -> bool:
    from sklearn.utils.metadata_routing import get_routing_for_object

    return "groups" in get_routing_for_object(what).consumes(method, ["groups"])


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
