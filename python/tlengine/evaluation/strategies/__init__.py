"""Strategies: ways to use frozen features, each fitted with nothing but the labels of its budget.

A strategy chooses its hyper-parameters on predictions for rows that were held out *inside* the budget, and
hands those predictions over: evaluation turns scores into probabilities by them. Grids are relative to the
scale of the features, so that it does not matter in which unit a backbone counts. The built-in ones register
through the same hook as a plugin's (``tlengine/builtin.py``).
"""

from __future__ import annotations

from tlengine.evaluation.strategies.base import read_scores
from tlengine.evaluation.strategies.estimators import EstimatorStrategy
from tlengine.evaluation.strategies.logistic import LogisticStrategy, TfidfStrategy
from tlengine.evaluation.strategies.ridge import RidgeStrategy
from tlengine.evaluation.strategies.similarity import CentroidStrategy, NeighborsStrategy

__all__ = [
    "CentroidStrategy",
    "EstimatorStrategy",
    "LogisticStrategy",
    "NeighborsStrategy",
    "RidgeStrategy",
    "TfidfStrategy",
    "read_scores",
]
