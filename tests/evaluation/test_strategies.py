import numpy as np
import pytest
from sklearn.metrics import log_loss

from tlengine.errors import UnknownNameError
from tlengine.evaluation.strategies import DEFAULT_STRATEGIES, calibrated, resolve_strategy
from tlengine.evaluation.strategies.base import make_trial
from tlengine.evaluation.strategies.linear import _fold_scores
from tlengine.probes import RidgeProbe, RidgeProbeCV


@pytest.fixture(params=DEFAULT_STRATEGIES)
def strategy(request):
    return resolve_strategy(request.param)


@pytest.mark.parametrize("n_classes", [2, 3, 4])
def test_every_strategy_learns_and_its_probabilities_are_sound(strategy, digits, n_classes):
    X, y = digits
    kept = np.isin(y, np.unique(y)[:n_classes])
    X, y = X[kept], y[kept]
    half = len(X) // 2
    fit = strategy.fit(X[:half], y[:half], units=np.arange(half))
    proba = fit.predict_proba(X[half:])
    classes = np.unique(y)
    assert proba.shape == (len(X) - half, n_classes)
    assert proba.sum(axis=1) == pytest.approx(1)
    assert proba.min() > 0
    right = (classes[proba.argmax(axis=1)] == y[half:]).mean()
    assert right > 0.75
    assert log_loss(y[half:], proba) < 0.65
    accuracy, loss = fit.inner
    assert accuracy == pytest.approx(right, abs=0.2)
    assert 0 < loss < 0.65


def test_one_label_per_class_is_enough_to_fit(strategy, digits):
    X, y = digits
    rows = np.array([np.flatnonzero(y == name)[0] for name in np.unique(y)])
    fit = strategy.fit(X[rows], y[rows], units=rows)
    assert fit.inner is None
    assert np.isfinite(np.log(fit.predict_proba(X))).all()


def test_the_unit_of_the_features_does_not_matter(strategy, digits):
    X, y = digits
    rows = np.arange(60)
    small = strategy.fit(X[rows], y[rows], units=rows).predict_proba(X[200:260])
    large = strategy.fit(X[rows] * 1024, y[rows], units=rows).predict_proba(X[200:260] * 1024)
    assert large == pytest.approx(small, abs=0.02)


def test_a_selection_split_chooses_instead_of_folds(digits):
    X, y = digits
    rows, select = np.arange(40), np.arange(100, 200)
    for name in DEFAULT_STRATEGIES:
        fit = resolve_strategy(name).fit(X[rows], y[rows], units=rows, select=(X[select], y[select]))
        assert fit.inner is not None
        proba = fit.predict_proba(X[select])
        assert fit.inner[1] == pytest.approx(log_loss(y[select], proba), abs=0.05)


def test_inner_folds_keep_units_together(digits):
    X, y = digits
    codes = np.unique(y, return_inverse=True)[1]
    units = np.arange(400) // 4
    trial = make_trial(X, codes, units, None, np.unique(y))
    assert len(trial.parts) == 5
    assert not trial.single
    for rows, held in trial.parts:
        assert not set(units[rows]) & set(units[held])


def test_a_class_in_one_unit_is_in_every_fit_and_the_other_is_held_out():
    codes = np.array([0, 0, 0, 1, 1, 1])
    units = np.array([0, 1, 2, 3, 3, 3])
    trial = make_trial(np.zeros((6, 2), np.float32), codes, units, None, np.array([0, 1]))
    assert sorted(held.tolist() for _, held in trial.parts) == [[0], [1], [2]]


@pytest.mark.parametrize("shape", [(40, 10), (25, 50), (200, 6)])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_left_out_folds_of_ridge_equal_fits_without_them(shape, n_classes):
    n, d = shape
    X = np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)
    codes = np.arange(n) % n_classes
    trial = make_trial(X, codes, np.arange(n), None, np.arange(n_classes))
    found = _fold_scores(trial, RidgeProbeCV(alphas=[3.0]).fit(X, codes))
    for rows, held in trial.parts:
        alone = RidgeProbe(3.0).fit(X[rows], codes[rows]).decision_function(X[held])
        expected = np.stack([-alone, alone], axis=1) if n_classes == 2 else alone
        assert found[held] == pytest.approx(expected, abs=1e-4)


def test_copies_of_noise_look_learnable_unless_they_are_one_unit(strategy):
    rng = np.random.default_rng(0)
    X = np.repeat(rng.normal(size=(60, 40)), 3, axis=0).astype(np.float32)
    y = np.repeat(rng.integers(0, 2, 60), 3)
    honest = strategy.fit(X, y, units=np.repeat(np.arange(60), 3))
    assert honest.inner[0] < 0.75
    if strategy.name != "centroid":
        assert strategy.fit(X, y, units=np.arange(180)).inner[0] > 0.9


def test_a_calibration_is_applied_to_scores_or_votes(digits):
    X, y = digits
    probe = RidgeProbe(1.0).fit(X, y)
    sharp = calibrated(probe, {"kind": "temperature", "value": 0.1}, X)
    flat = calibrated(probe, {"kind": "temperature", "value": 10.0}, X)
    assert np.array_equal(sharp.argmax(1), flat.argmax(1))
    assert sharp.max() > flat.max()


def test_an_unknown_name_shows_near_ones():
    with pytest.raises(UnknownNameError, match="'prob'") as caught:
        resolve_strategy("prob")
    assert "probe" in caught.value.hint
