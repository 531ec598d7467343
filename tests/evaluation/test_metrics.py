import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss

from tlengine.evaluation.metrics import METRICS, Outcome, influence, pool, scores
from tlengine.statistics import expected_calibration_error, softmax


def predictions(seed, n, k):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, k, size=n)
    proba = softmax(rng.normal(size=(n, k)) + np.eye(k)[codes])
    return codes, proba


cases = st.tuples(st.integers(0, 10_000), st.integers(2, 60), st.integers(2, 6))


@settings(max_examples=60, deadline=None)
@given(cases)
def test_metrics_equal_scikit_learn(case):
    codes, proba = predictions(*case)
    found = scores(Outcome.of(np.arange(len(codes)), codes, proba))
    labels = np.arange(proba.shape[1])
    assert found["accuracy"] == pytest.approx(accuracy_score(codes, proba.argmax(1)))
    if np.isin(proba.argmax(1), codes).all() and len(set(codes.tolist())) > 1:
        assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(codes, proba.argmax(1)))
    assert found["log_loss"] == pytest.approx(log_loss(codes, proba, labels=labels))
    assert found["ece"] == pytest.approx(expected_calibration_error(codes, proba), abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(cases, st.sampled_from(METRICS))
def test_influence_sums_to_nothing_and_predicts_the_effect_of_a_row(case, metric):
    codes, proba = predictions(*case)
    codes[0], codes[1] = 0, 1
    n = len(codes)
    value, each = influence(metric, Outcome.of(np.arange(n), codes, proba))
    assert each.sum() == pytest.approx(0, abs=1e-9)
    many = 400
    again = np.concatenate([np.tile(np.arange(n), many), [n - 1]])
    moved, _ = influence(metric, Outcome.of(again, codes[again], proba[again]))
    assert moved - value == pytest.approx(each[n - 1] / many, abs=2e-2 / many)


def test_certain_mistakes_have_a_finite_loss():
    outcome = Outcome.of(np.arange(1), np.array([1]), np.array([[1.0, 0.0]]))
    assert scores(outcome)["log_loss"] == pytest.approx(34.5, abs=0.1)


def test_pooling_keeps_every_row():
    codes, proba = predictions(0, 20, 3)
    whole = Outcome.of(np.arange(20), codes, proba)
    halves = [Outcome.of(r, codes[r], proba[r]) for r in (np.arange(10), np.arange(10, 20))]
    assert scores(pool(halves)) == scores(whole)
