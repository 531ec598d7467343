import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from tlengine.diagnostics import (
    expected_calibration_error,
    fit_smoothing,
    fit_temperature,
    smooth,
    softmax,
)


def naive_ece(codes, proba, bins):
    error = 0.0
    for b in range(bins):
        inside = [
            i
            for i, p in enumerate(proba)
            if b / bins < p.max() <= (b + 1) / bins or (b == 0 and p.max() == 0)
        ]
        if inside:
            accuracy = np.mean([proba[i].argmax() == codes[i] for i in inside])
            error += len(inside) / len(proba) * abs(accuracy - np.mean([proba[i].max() for i in inside]))
    return error


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.integers(2, 6), st.integers(0, 1_000), st.floats(0.05, 5))
def test_ece_equals_the_definition(n, k, seed, temperature):
    rng = np.random.default_rng(seed)
    proba = softmax(rng.normal(size=(n, k)), temperature)
    codes = rng.integers(0, k, size=n)
    assert expected_calibration_error(codes, proba) == pytest.approx(naive_ece(codes, proba, 15), abs=1e-9)


def test_ece_is_zero_when_confidence_is_accuracy():
    proba = np.tile([0.75, 0.25], (8, 1))
    assert expected_calibration_error([0, 0, 0, 1] * 2, proba) == 0


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1_000), st.floats(1e-3, 1e3))
def test_the_temperature_follows_the_scale_of_the_scores(seed, scale):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 3, size=80)
    scores = rng.normal(size=(80, 3)) + np.eye(3)[codes]
    once = fit_temperature(scores, codes)
    assert fit_temperature(scores * scale, codes) == pytest.approx(once * scale, rel=1e-2)


def test_the_temperature_minimises_the_log_loss():
    rng = np.random.default_rng(3)
    codes = rng.integers(0, 4, size=2_000)
    scores = 7 * (rng.normal(size=(2_000, 4)) + np.eye(4)[codes])
    best = fit_temperature(scores, codes)
    losses = [log_loss(codes, softmax(scores, t)) for t in (best * 0.9, best, best * 1.1)]
    assert losses[1] == min(losses)


@pytest.mark.parametrize("n", [2, 10, 1_000])
def test_faultless_predictions_never_become_certain(n):
    codes = np.arange(n) % 2
    scores = np.eye(2)[codes] * 5
    proba = softmax(scores, fit_temperature(scores, codes))
    assert proba.max() < 1 - 1 / (4 * n)
    assert smooth(np.eye(2)[codes], fit_smoothing(np.eye(2)[codes], codes)).min() > 0


def test_scores_without_meaning_become_nearly_uniform():
    scores = np.array([[1.0, 0.0], [1.0, 0.0]] * 20)
    codes = np.array([0, 1] * 20)
    assert softmax(scores, fit_temperature(scores, codes))[0, 0] == pytest.approx(0.5, abs=0.01)


def test_equal_scores_have_a_temperature():
    assert np.isfinite(fit_temperature(np.ones((4, 3)), np.array([0, 1, 2, 0])))


def test_the_smoothing_minimises_the_log_loss():
    rng = np.random.default_rng(5)
    codes = rng.integers(0, 3, size=3_000)
    votes = np.eye(3)[np.where(rng.random(3_000) < 0.8, codes, (codes + 1) % 3)]
    best = fit_smoothing(votes, codes)
    losses = [log_loss(codes, smooth(votes, w)) for w in (best * 0.9, best, best * 1.1)]
    assert losses[1] == min(losses)
