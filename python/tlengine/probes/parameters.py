"""Parameters of estimators: each is what its name says, or an error shows name, value and limit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from os import PathLike
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tlengine.data.scalars import plain, short
from tlengine.errors import InputError

__all__ = ["check_parameters", "check_positive", "check_values"]


class _Rule(NamedTuple):
    """What a parameter may be, in code and in words, and what to do instead."""

    fits: Callable[[Any], bool]
    limit: str
    hint: str | None = None


def check_parameters(estimator: Any) -> None:
    """Checks the parameters of an estimator that the table below names; others are its own business.

    Raises:
        InputError: the first that is not what its name says.

    >>> from tlengine.probes import LinearProbe
    >>> check_parameters(LinearProbe(max_iter=1.5))
    Traceback (most recent call last):
    tlengine.errors.InputError: max_iter=1.5; it must be a whole number of 1 or more
    """
    names = _checked_names(type(estimator))  # type: ignore[arg-type]  # a class can be hashed
    check_values({name: getattr(estimator, name) for name in names})


@lru_cache(maxsize=256)
def _checked_names(estimator: Any) -> tuple[str, ...]:
    """The parameters that have a rule; scikit-learn reads a signature each time that it is asked."""
    return tuple(name for name in estimator._get_param_names() if name in _RULES)


def check_values(values: Mapping[str, Any]) -> None:
    """:func:`check_parameters` for the arguments of a function, by name."""
    for name, value in values.items():
        rule = _RULES.get(name)
        if rule is not None and not rule.fits(value if isinstance(value, bytes) else plain(value)):
            raise InputError(f"{name}={short(value)}; it must be {rule.limit}", hint=rule.hint)


def check_positive(name: str, values: Any, *, zero: bool = False) -> npt.NDArray[np.float64]:
    """Values as a one-dimensional float64 array; all must be finite and above zero.

    Raises:
        InputError: text, booleans or nothing; the first value that is not above zero.

    >>> check_positive("C", [0.1, 1]).tolist()
    [0.1, 1.0]
    """
    limit = f"{'0 or more' if zero else 'positive'} and finite"
    if not _is_numbers(plain(values)):
        raise InputError(f"{name}={short(values)}; it must be {limit}", hint="pass numbers, not text")
    checked = np.atleast_1d(np.asarray(values, dtype=np.float64)).reshape(-1)
    if not checked.size:
        raise InputError(f"{name} is empty", hint=f"pass at least one value of {name}")
    good = np.isfinite(checked) & ((checked >= 0) if zero else (checked > 0))
    if not good.all():
        raise InputError(f"{name}={checked[~good][0]:g}; it must be {limit}")
    return checked


_LARGEST = float(np.finfo(np.float64).max)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST


def _is_positive(value: Any) -> bool:
    return _is_number(value) and value > 0


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_numbers(values: Any) -> bool:
    """Whether these are numbers and nothing else: one, a sequence, or an array of them."""
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError):
        return False
    if array.dtype.kind == "O":
        return bool(array.size) and all(_is_number(plain(value)) for value in array.flat)
    return array.dtype.kind in "iuf"


_ONE = "a probe whose name ends in CV chooses among several"

_RULES: Mapping[str, _Rule] = {
    "C": _Rule(_is_positive, "one number, positive and finite", _ONE),
    "alpha": _Rule(lambda v: _is_number(v) and v >= 0, "one number, 0 or more and finite", _ONE),
    "temperature": _Rule(_is_positive, "one number above zero"),
    "tol": _Rule(_is_positive, "one number, positive and finite", "1e-4 is a gap of 0.01 %"),
    "max_iter": _Rule(_is_count, "a whole number of 1 or more"),
    "max_seconds": _Rule(lambda v: v is None or _is_positive(v), "None or a number of seconds above zero"),
    "patience": _Rule(lambda v: v is None or _is_count(v), "None or a whole number of 1 or more"),
    "progress": _Rule(lambda v: isinstance(v, bool), "True or False"),
    "resume": _Rule(lambda v: v is None or isinstance(v, str | PathLike), "None or the path of a file"),
    "warm_start": _Rule(lambda v: isinstance(v, bool), "True or False"),
    "fit_intercept": _Rule(lambda v: isinstance(v, bool), "True or False"),
    "n_jobs": _Rule(
        lambda v: v is None or (isinstance(v, int) and not isinstance(v, bool) and v != 0),
        "None or a number of threads, 1 or more, or -1 for all cores",
    ),
    "Cs": _Rule(_is_numbers, "numbers above zero, or how many of them"),
    "alphas": _Rule(_is_numbers, "numbers of 0 or more"),
}
"""By name: one name means one thing in every estimator."""
