"""A chosen C at the edge of the grid is said, unless nothing is to be gained beyond."""

import warnings
from functools import partial

import numpy as np
import pytest
from sklearn.datasets import load_iris

from tlengine.errors import GridEdgeWarning
from tlengine.probes import (
    LinearProbeCV,
    LinearSVMProbeCV,
    PreValProbe,
    RidgeProbeCV,
    RidgeRegressor,
    probe_grid,
    probe_path,
)
from tlengine.probes.choice import choose

CS = np.array([1.0, 10.0, 0.1, 100.0])
"""In any order: the positions of the smallest and the largest are 2 and 3."""


def folds(means, noise=0.0, n=5):
    """Scores of folds with these means; the last C has more luck in some of them."""
    scores = np.tile(np.asarray(means), (n, 1))
    scores[:, -1] += noise * np.linspace(-1, 1, n)
    return scores


@pytest.mark.parametrize(
    ("means", "expected", "words"),
    [
        ([0.5, 0.6, 0.2, 0.8], 3, "C=100 is the largest of the grid.*Cs up to 100000"),
        ([0.5, 0.4, 0.8, 0.2], 2, "C=0.1 is the smallest of the grid.*Cs down to 0.0001"),
    ],
)
def test_a_best_score_at_an_edge_is_said(means, expected, words):
    with pytest.warns(GridEdgeWarning, match=words):
        assert choose(folds(means), np.array(means), CS) == expected


def test_a_score_that_rises_where_the_loss_ended_the_path_is_said():
    """C by accuracy, the path by the loss: of raw pixels 12 points of accuracy may lie beyond."""
    means = np.array([0.5, 0.6, 0.2, 0.8])
    with pytest.warns(GridEdgeWarning, match="C=100 is the largest before the path was ended.*patience=None"):
        choose(folds(means), means, CS, ended_early=True)


@pytest.mark.parametrize(
    ("means", "noise", "options"),
    [
        ([0.5, 0.8, 0.2, 0.6], 0, {}),
        ([0.5, 0.8, 0.2, 0.8], 0, {}),
        ([0.5, 0.8, 0.2, 0.805], 0, {}),
        ([-0.1, -1e-3, -0.7, -5e-4], 0, {}),
        ([0.5, 0.76, 0.2, 0.8], 0.4, {}),
        ([0.5, 0.4, 0.8, 0.2], 0, {"idle": lambda: True}),
    ],
    ids=["inside", "equal", "flat", "separated", "within noise", "nothing learnt"],
)
def test_nothing_to_be_gained_beyond_is_no_warning(means, noise, options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        choose(folds(means, noise), np.array(means), CS, **options)


def test_two_values_are_a_comparison():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert choose(folds([0.1, 0.9]), np.array([0.1, 0.9]), CS[:2]) == 1


def test_values_without_a_score_are_not_chosen():
    scores = np.array([[np.nan, 0.5, 0.9, 0.4], [0.6, 0.7, np.nan, 0.4]])
    assert choose(scores, scores.mean(axis=0), CS) == 1


@pytest.mark.parametrize(
    ("probe", "Cs", "edge"),
    [
        (LinearProbeCV, [1e-5, 1e-4, 1e-3], "largest"),
        (LinearSVMProbeCV, [1e-5, 1e-4, 1e-3], "largest"),
        (LinearProbeCV, [10.0, 1e2, 1e3], "smallest"),
    ],
)
def test_a_grid_that_is_too_narrow(digits, probe, Cs, edge):
    X, y = digits[0][:300] / 16 + np.random.default_rng(0).normal(size=(300, 64)), digits[1][:300]
    with pytest.warns(GridEdgeWarning, match=f"is the {edge} of the grid"):
        found = probe(Cs, cv=3).fit(X, y)
    best = Cs[-1 if edge == "largest" else 0]
    assert best == found.C_


def test_separated_data_whose_loss_falls_for_ever_are_silent():
    X, y = load_iris(return_X_y=True)
    probe = LinearProbeCV(cv=3).fit(X, y == 0)
    assert probe.C_ > 100


NOISE = np.random.default_rng(0).normal(size=(300, 8)), np.random.default_rng(1).integers(0, 2, 300)
"""The best is to learn nothing, and the smallest C learns nothing already."""


@pytest.mark.parametrize(
    "chosen",
    [
        lambda Cs: LinearProbeCV(Cs, patience=None).fit(*NOISE).C_,
        lambda Cs: probe_path(*NOISE, Cs, folds=5).best().C,
        lambda Cs: probe_grid(*NOISE, Cs=Cs, seeds=4, patience=None, progress=False).records[0]["C"],
    ],
    ids=["probe", "path", "grid"],
)
def test_labels_without_features_are_silent_however_c_is_chosen(chosen):
    with pytest.warns(GridEdgeWarning, match="smallest|edge of the grid"):
        assert chosen([1e-1, 1.0, 100.0]) == 1e-1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert chosen([1e-6, 1.0, 100.0]) == 1e-6


def test_a_path_says_it_too(digits):
    X, y = digits[0][:300], digits[1][:300]
    path = probe_path(X, y, [1e-5, 1e-4, 1e-3], folds=3)
    for call in (path.best, lambda: LinearProbeCV([1e-5, 1e-4, 1e-3], cv=3).fit(X, y)):
        with pytest.warns(GridEdgeWarning, match="largest") as told:
            call()
        assert {one.filename for one in told} == {__file__}


WIDE = np.random.default_rng(2).normal(size=(80, 120))
"""Noise beside a weak signal: rows fewer than columns, so that ridge has much to gain from its penalty."""
SIGNAL = WIDE[:, :5].sum(axis=1) + np.random.default_rng(3).normal(size=80) * 3


@pytest.mark.parametrize(
    ("probe", "y"),
    [
        (RidgeProbeCV, SIGNAL > 0),
        (partial(RidgeProbeCV, cv=4), SIGNAL > 0),
        (PreValProbe, SIGNAL > 0),
        (RidgeRegressor, SIGNAL),
        (partial(RidgeRegressor, cv=4), SIGNAL),
    ],
    ids=["ridge", "ridge by folds", "preval", "regressor", "regressor by folds"],
)
def test_a_grid_of_alphas_that_is_too_narrow(probe, y):
    """Features in other units than the default grid is made for."""
    with pytest.warns(GridEdgeWarning, match=r"alpha=1000 is the largest.*np.logspace\(-3, 6, 37") as told:
        probe().fit(WIDE * 30, y)
    assert {one.filename for one in told} == {__file__}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert 1e3 < probe(np.logspace(-3, 8, 45)).fit(WIDE * 30, y).alpha_ < 1e8


def test_the_smallest_alpha_is_an_edge_too():
    for probe, y in ((RidgeProbeCV, SIGNAL > 0), (RidgeRegressor, SIGNAL)):
        with pytest.warns(GridEdgeWarning, match=r"smallest of the grid.*np.logspace\(3, 9, 25\)"):
            probe(np.logspace(6, 9, 7)).fit(WIDE, y)


def test_at_alpha_0_there_is_nothing_beyond():
    X = np.random.default_rng(0).normal(size=(40, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert RidgeRegressor([0.0, 10.0, 100.0]).fit(X, X.sum(axis=1)).alpha_ == 0


def test_a_ridge_that_learns_nothing_already_is_silent():
    X, y = NOISE[0], np.random.default_rng(5).normal(size=300)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for probe, target in ((RidgeRegressor, y), (RidgeProbeCV, NOISE[1]), (PreValProbe, NOISE[1])):
            assert probe([1.0, 1e3, 1e6]).fit(X, target).alpha_ == 1e6


def test_edges_of_ridges_in_a_grid_are_said_once():
    X, y = WIDE * 30, (SIGNAL > 0).astype(int)
    with pytest.warns(GridEdgeWarning, match="4 warnings of fits; first .*alpha=1000 is the largest") as told:
        probe_grid(X, y, probe="ridge", seeds=4, progress=False)
    assert len(told) == 1
