"""By what a later call knows the probe, the scorers and the rows of a grid again, to take up its file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tlengine.errors import InputError
from tlengine.probes.grid_splits import Parts
from tlengine.probes.own_code import code_digest, version_of
from tlengine.probes.scoring import Scoring

__all__ = ["identity_of", "rows_digest", "scorer_identity"]


def identity_of(value: Any, what: str) -> Any:
    """What a value is, in JSON's types: estimators by class, code and parameters, arrays by a digest.

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
        named = [[identity_of(key, what), identity_of(one, f"{what}, {key}")] for key, one in value.items()]
        # Equal dicts are one identity in any order; the label 1 is not the label "1".
        return sorted(named, key=lambda pair: json.dumps(pair[0]))
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
    params = value.get_params(deep=False)
    known = [[name, identity_of(params[name], f"{what}, {name}")] for name in sorted(params)]
    code = [version_of(kind.__module__), code_digest(kind, what)]
    return [f"{kind.__module__}.{kind.__qualname__}", *code, known]


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


def rows_digest(units: npt.NDArray[np.intp], splits: Mapping[str, Mapping[int, Parts]] | None) -> str:
    """Which rows are not parted, and which the user parts."""
    digest = hashlib.blake2b(units.tobytes(), digest_size=16)
    for name, seeds in sorted((splits or {}).items()):
        for seed, parts in sorted(seeds.items()):
            for part in parts:
                digest.update(f"\0{name}\0{seed}\0{len(part)}".encode() + part.tobytes())
    return digest.hexdigest()
