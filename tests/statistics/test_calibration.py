import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss as reference_loss

from tlengine.errors import InputError, NonFiniteError, ShapeMismatchError
from tlengine.statistics import (
    calibrate,
    fit_smoothing,
    fit_temperature,
    log_loss,
    probabilities,
    smooth,
    softmax,
)
from tlengine.statistics.calibration import LEAST, MOST_SMOOTH


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
    losses = [reference_loss(codes, softmax(scores, t)) for t in (best * 0.9, best, best * 1.1)]
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
    losses = [reference_loss(codes, smooth(votes, w)) for w in (best * 0.9, best, best * 1.1)]
    assert losses[1] == min(losses)


def test_log_loss_equals_scikit_learns_and_is_never_infinite():
    rng = np.random.default_rng(1)
    codes, proba = rng.integers(0, 4, 50), rng.dirichlet(np.ones(4), 50)
    assert log_loss(codes, proba) == pytest.approx(reference_loss(codes, proba, labels=range(4)), abs=1e-12)
    assert log_loss(np.array([1]), [[1.0, 0.0]]) == -np.log(LEAST)


UNSEEN = -np.inf


@pytest.mark.parametrize("kind", ["logits", "votes"])
def test_a_class_that_the_fit_has_not_seen_has_no_probability(kind):
    scores = np.array([[0.7, 0.3, UNSEEN], [0.2, 0.8, UNSEEN], [UNSEEN, 0.5, 0.5]])
    value = calibrate(kind, scores, np.array([0, 1, 2]), labels=9, classes=3)
    proba = probabilities(kind, scores, value)
    assert np.isfinite(value)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    assert proba[~np.isfinite(scores)].tolist() == [0, 0, 0]
    assert (proba[np.isfinite(scores)] > 0).all()


@pytest.mark.parametrize("kind", ["logits", "votes"])
def test_an_unseen_column_changes_no_parameter(kind):
    rng = np.random.default_rng(4)
    codes = rng.integers(0, 3, 60)
    scores = rng.dirichlet(np.ones(3), 60) + 0.5 * np.eye(3)[codes]
    scores /= scores.sum(axis=1, keepdims=True)
    wide = np.hstack([scores, np.full((60, 1), UNSEEN)])
    plain = calibrate(kind, scores, codes, labels=60, classes=3)
    assert calibrate(kind, wide, codes, labels=60, classes=3) == pytest.approx(plain, rel=1e-3)


@pytest.mark.parametrize("kind", ["logits", "votes"])
def test_rows_of_an_unseen_class_say_nothing(kind):
    scores = np.array([[0.9, 0.1, UNSEEN], [0.3, 0.7, UNSEEN], [0.6, 0.4, UNSEEN]])
    known = calibrate(kind, scores[:2], np.array([0, 1]), labels=9, classes=3)
    assert calibrate(kind, scores, np.array([0, 1, 2]), labels=9, classes=3) == known
    assert np.isfinite(calibrate(kind, scores, np.array([2, 2, 2]), labels=9, classes=3))


def test_without_held_out_rows_votes_keep_their_order():
    assert calibrate("logits", None, None, labels=3, classes=3) == 1
    weight = calibrate("votes", np.zeros((0, 3)), np.zeros(0, int), labels=3, classes=3)
    assert weight == 0.5
    assert probabilities("votes", [[0, 1, 0]], weight).argmax() == 1


@pytest.mark.parametrize("n", [1, 40])
def test_votes_without_meaning_keep_their_order(n):
    votes, codes = np.tile([[0.0, 1.0, 0.0]], (n, 1)), np.zeros(n, int)
    weight = calibrate("votes", votes, codes, labels=n, classes=3)
    assert weight <= MOST_SMOOTH
    assert (probabilities("votes", votes, weight).astype(np.float32).argmax(axis=1) == 1).all()


@pytest.mark.parametrize("row", [[np.nan, 0.0], [np.inf, 0.0], [UNSEEN, UNSEEN]])
def test_scores_that_are_no_scores_are_an_error(row):
    with pytest.raises(NonFiniteError, match="scores of row 1 are"):
        probabilities("logits", [[0.0, 1.0], row], 1.0)
    with pytest.raises(NonFiniteError):
        calibrate("votes", [[0.0, 1.0], row], np.array([0, 0]), labels=2, classes=2)


def test_other_shapes_and_kinds_are_an_error():
    with pytest.raises(ShapeMismatchError, match=r"shape \(2,\)"):
        probabilities("logits", [0.0, 1.0], 1.0)
    with pytest.raises(ShapeMismatchError, match="1 rows of scores for 2 codes"):
        calibrate("logits", [[0.0, 1.0]], np.array([0, 1]), labels=2, classes=2)
    with pytest.raises(InputError, match="kind 'margins'"):
        probabilities("margins", [[0.0, 1.0]], 1.0)  # type: ignore[arg-type]
