"""The linear probe that a head starts from."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tlengine.errors import GridEdgeWarning
from tlengine.plugins.contracts import Codes, Matrix, Roles, Rows, View
from tlengine.statistics import calibrate, log_loss, probabilities

__all__ = ["StartingProbe", "starting_probe"]

GRID = np.logspace(-3, 3.5, 14)
"""C times the scale of the features, as the strategy ``probe`` has it."""
DEFAULT = 10.0
TOL = 1e-4


@dataclass(frozen=True, kw_only=True, eq=False)
class StartingProbe:
    """A probe as the weights of a head.

    Attributes:
        coef, intercept: (K, d) and (K,), already divided by the temperature.
        C: the inverse penalty.
        temperature: by which held-out logits are too large; at least 1. A saturated head has no gradient.
        held_out: (h, K) logits of the rows ``roles.held``, not divided; None where there are none.
    """

    coef: npt.NDArray[np.float64]
    intercept: npt.NDArray[np.float64]
    C: float
    temperature: float
    held_out: npt.NDArray[np.float64] | None


def starting_probe(view: View, roles: Roles, known: Codes) -> StartingProbe:
    """The probe on the frozen features of ``roles.train``, C by the log-loss of the rows held out.

    Args:
        view: its features are those of the backbone.
        roles: of the fit.
        known: (K,) the classes of the training rows.
    """
    from sklearn.exceptions import ConvergenceWarning

    from tlengine.probes import LinearProbe

    scale = view.scale or 1.0
    rows, folds = roles.train, _folds(roles)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", GridEdgeWarning)  # nobody who fine-tunes can pass another grid
        C, held = DEFAULT / scale, None
        if folds:
            C, held = _by_folds(view.features(rows), view.codes(rows), GRID / scale, folds)
        elif roles.inner:  # the user's validation rows, which are no training rows
            C = min(GRID / scale, key=lambda one: _loss(view, roles, known, float(one)))
        if roles.inner and len(folds) < len(roles.inner):
            held = _held_out(view, roles, known, C)
        probe = LinearProbe(C=C, tol=TOL).fit(view.features(rows), view.codes(rows))
    coef, intercept = _columns(probe.coef_, probe.intercept_)
    temperature = 1.0
    if held is not None:
        scores, codes = _of_known(view, roles, known, held)
        temperature = max(1.0, calibrate("logits", scores, codes, labels=len(rows), classes=len(known)))
    return StartingProbe(
        coef=coef / temperature,
        intercept=intercept / temperature,
        C=C,
        temperature=temperature,
        held_out=held,
    )


def _folds(roles: Roles) -> list[tuple[Rows, Rows]]:
    """The inner folds among the training rows, by their place in these."""
    pairs = [(np.searchsorted(roles.train, fit), held) for fit, held in roles.inner]
    inside = [(fit, held) for fit, held in pairs if np.isin(held, roles.train).all()]
    return [(fit, np.searchsorted(roles.train, held)) for fit, held in inside]


def _by_folds(
    X: Matrix, codes: Codes, Cs: npt.NDArray[np.float64], folds: Sequence[tuple[Rows, Rows]]
) -> tuple[float, npt.NDArray[np.float64]]:
    """The C with the least held-out log-loss, and the logits there, as :func:`_held_out` has them."""
    from tlengine.probes import probe_path

    path = probe_path(X, codes, Cs, folds=folds, patience=3, tol=1e-2, progress=False)
    C = path.best().C
    (place,) = np.flatnonzero(path.Cs == C)
    found = []
    for fold, (fit, held) in zip(path.folds, folds, strict=True):
        coef, intercept = _columns(fold.coef_[place], fold.intercept_[place])
        logits = X[held] @ coef.T + intercept
        logits[:, ~np.isin(path.classes_, codes[fit])] = -np.inf
        found.append(logits)
    return C, np.concatenate(found)


def _held_out(view: View, roles: Roles, known: Codes, C: float) -> npt.NDArray[np.float64]:
    """(h, K) logits of the rows held out, -inf for a class that the inner fit has not seen."""
    from tlengine.probes import LinearProbe

    found = np.full((len(roles.held), len(known)), -np.inf)
    end = 0
    for fit, held in roles.inner:
        start, end = end, end + len(held)
        probe = LinearProbe(C=C, tol=1e-2).fit(view.features(fit), view.codes(fit))
        coef, intercept = _columns(probe.coef_, probe.intercept_)
        columns = np.searchsorted(known, probe.classes_)
        found[start:end, columns] = view.features(held) @ coef.T + intercept
    return found


def _of_known(
    view: View, roles: Roles, known: Codes, held: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], Codes]:
    """Logits and places in ``known`` of the rows held out, without those of classes that are not trained."""
    codes = view.codes(roles.held)
    among = np.isin(codes, known)
    return held[among], np.searchsorted(known, codes[among])


def _loss(view: View, roles: Roles, known: Codes, C: float) -> float:
    """The log-loss of the rows held out."""
    scores, codes = _of_known(view, roles, known, _held_out(view, roles, known, C))
    return log_loss(codes, probabilities("logits", scores, 1.0)) if len(codes) else 0.0


def _columns(
    coef: npt.NDArray[np.floating], intercept: npt.NDArray[np.floating]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """A column for each class; two classes that share one get half of it each."""
    weights, offsets = coef.astype(np.float64), intercept.astype(np.float64)
    if len(weights) > 1:
        return weights, offsets
    return np.concatenate([-weights / 2, weights / 2]), np.concatenate([-offsets / 2, offsets / 2])
