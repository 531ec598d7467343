"""Strategies: ways to use frozen features, each fitted with nothing but the labels of its budget.

A strategy chooses its hyper-parameters, and the one parameter that turns scores into probabilities, on
predictions for rows that were held out *inside* the budget (or on the user's ``select`` split), then fits all
rows of the budget. Grids are relative to the scale of the features, so that it does not matter in which
unit a backbone counts.
"""

from __future__ import annotations

from collections.abc import Mapping

from tlengine.evaluation.strategies.base import CALIBRATIONS, Fit, Strategy, calibrated
from tlengine.evaluation.strategies.linear import LINEAR
from tlengine.evaluation.strategies.similarity import BY_SIMILARITY, plugged
from tlengine.plugins.registry import probes, unknown_name

__all__ = ["CALIBRATIONS", "DEFAULT_STRATEGIES", "Fit", "Strategy", "calibrated", "resolve_strategy"]

DEFAULT_STRATEGIES = ("knn", "probe", "ridge", "centroid", "raw")

_BUILT_IN: Mapping[str, Strategy] = {strategy.name: strategy for strategy in (*BY_SIMILARITY, *LINEAR)}


def resolve_strategy(name: str) -> Strategy:
    """The strategy of that name: a built-in one, the control, or a probe that a plugin registered.

    Raises:
        UnknownNameError: there is none; the hint has the nearest names.
    """
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    registered = probes()
    if name in registered:
        return plugged(registered[name])
    raise unknown_name("strategy", name, [*_BUILT_IN, *registered])
