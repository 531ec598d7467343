"""A user's own estimator as a probe: a class, an instance, or a function that makes one."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tlengine.errors import InputError
from tlengine.plugins.records import ProbeSpec

__all__ = ["as_probe_spec"]

_FIX = "pass an estimator, its class, a function that makes one, or (name, any of these)"


def as_probe_spec(thing: Any) -> ProbeSpec:
    """A probe of what a user passes in place of a strategy's name; all forms give equal numbers.

    Args:
        thing: a ``ProbeSpec``, which is returned; an estimator (a clone of it is fitted, never itself); its
            class; a function that takes keywords and makes one; or ``(name, any of these)``.

    Returns:
        The probe. Its default name is the estimator's class in lower case.

    Raises:
        InputError: anything else; a name that is not allowed; something that makes no classifier.

    >>> from sklearn.discriminant_analysis import LinearDiscriminantAnalysis as LDA
    >>> spec = as_probe_spec(("lda", LDA(solver="lsqr")))
    >>> spec.name, spec.estimator(shrinkage=0.1)
    ('lda', LinearDiscriminantAnalysis(shrinkage=0.1, solver='lsqr'))
    >>> as_probe_spec(LDA).name
    'lineardiscriminantanalysis'
    """
    if isinstance(thing, ProbeSpec):
        return thing
    name, thing = thing if _is_named(thing) else (None, thing)
    if isinstance(thing, type):
        _check_classifier(thing, thing.__name__)
        return ProbeSpec(name=name or _legal(thing.__name__), estimator=thing)
    if hasattr(thing, "fit"):
        kind = type(thing).__name__
        _check_classifier(thing, kind)
        return ProbeSpec(name=name or _legal(kind), estimator=_clones(thing))
    if not callable(thing):
        raise InputError(f"{_shown(thing)} is no estimator", hint=_FIX)
    made = _made(thing)
    _check_classifier(made, _shown(thing))
    return ProbeSpec(name=name or _legal(type(made).__name__), estimator=thing)


def _is_named(thing: Any) -> bool:
    return isinstance(thing, tuple) and len(thing) == 2 and isinstance(thing[0], str)


def _check_classifier(found: Any, what: str) -> None:
    """Refuses what can neither be fitted nor predict: it would fail in every task."""
    if missing := [method for method in ("fit", "predict") if not callable(getattr(found, method, None))]:
        raise InputError(f"{what} has no {' and no '.join(missing)}: it is no classifier", hint=_FIX)


@dataclass(frozen=True, eq=False)
class _Clones:
    """Makes unfitted copies of an estimator; can be pickled if that can."""

    original: Any

    def __call__(self, **options: Any) -> Any:
        from sklearn.base import clone

        return clone(self.original).set_params(**options)


def _clones(estimator: Any) -> Callable[..., Any]:
    make = _Clones(estimator)
    try:
        make()
    except (AttributeError, TypeError, RuntimeError) as error:
        raise InputError(
            f"{type(estimator).__name__} cannot be cloned: {error}",
            hint="derive it from sklearn.base.BaseEstimator, or pass a function that makes one",
        ) from None
    return make


def _made(make: Callable[..., Any]) -> Any:
    try:
        return make()
    except Exception as error:
        raise InputError(
            f"{_shown(make)} makes no estimator: {type(error).__name__}: {error}", hint=_FIX
        ) from error


def _legal(name: str) -> str:
    return re.sub(r"[^a-z0-9_.\-]+", "-", name.lower()).strip("-") or "estimator"


def _shown(thing: Any) -> str:
    text = repr(thing)
    return text if len(text) <= 80 else f"{text[:80]}..."
