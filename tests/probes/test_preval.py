"""PreVal against the definition: ridge regressions refitted without each row, and scipy for the scale."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.linear_model import Ridge
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.estimator_checks import parametrize_with_checks

from tlengine.data.folds import inner_folds
from tlengine.errors import InputError, NonFiniteError, ShapeMismatchError, SingleClassError
from tlengine.probes import LinearProbeCV, PreValProbe, from_pretrained
from tlengine.probes.preval import fit_scale


@parametrize_with_checks([PreValProbe()])
def test_scikit_learn_contract(estimator, check):
    check(estimator)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_refits_without_each_row(classes, intercept, dtype):
    rng = np.random.default_rng(classes)
    y = rng.integers(0, classes, 40)
    X = (rng.normal(size=(40, 6)) + 1.5 * np.eye(classes, 6)[y]).astype(dtype)
    alphas = [0.1, 10.0]
    probe = PreValProbe(alphas, fit_intercept=intercept).fit(X, y)
    targets = np.where(y[:, None] == np.arange(classes), 1.0, -1.0)
    centre = targets.mean(axis=0) * intercept
    losses, scales = [], []
    for alpha in alphas:
        make = Ridge(alpha, fit_intercept=intercept)
        held = [
            make.fit(np.delete(X, i, 0), np.delete(targets, i, 0)).predict(X[i : i + 1])[0] for i in range(40)
        ]

        def loss(c, held=held):
            moves = np.array(held) - centre
            return -log_softmax(centre + c * moves, axis=1)[np.arange(40), y].mean()

        found = minimize_scalar(loss, bounds=(1e-3, 1e3), method="bounded", options={"xatol": 1e-9})
        losses.append(found.fun)
        scales.append(found.x)
    best = int(np.argmin(losses))
    np.testing.assert_allclose(-probe.scores_, losses, rtol=1e-4)
    assert probe.alpha_ == alphas[best]
    assert probe.temperature_ == pytest.approx(1 / scales[best], rel=1e-3)
    fitted = Ridge(probe.alpha_, fit_intercept=intercept).fit(X, targets).predict(X)
    logits = centre + (fitted - centre) / probe.temperature_
    np.testing.assert_allclose(np.log(probe.predict_proba(X)), log_softmax(logits, axis=1), atol=1e-4)


def test_digits_are_close_to_a_tuned_logistic_probe(digits):
    X, y = digits
    probe = PreValProbe(np.logspace(-3, 6, 15)).fit(X[:1000], y[:1000])
    logistic = LinearProbeCV(Cs=12).fit(X[:1000], y[:1000])
    assert probe.score(X[1000:], y[1000:]) > logistic.score(X[1000:], y[1000:]) - 0.05
    ours = log_loss(y[1000:], probe.predict_proba(X[1000:]))
    assert -probe.scores_.max() < 0.35
    assert ours < 0.45


def test_saved(digits, tmp_path):
    X, y = digits
    probe = PreValProbe().fit(X, y)
    again = from_pretrained(probe.save_pretrained(tmp_path))
    np.testing.assert_array_equal(again.predict_proba(X), probe.predict_proba(X))
    assert again.temperature_ == probe.temperature_


def test_groups_of_alphas_give_the_same(digits, monkeypatch):
    whole = PreValProbe().fit(*digits)
    monkeypatch.setattr("tlengine.probes.preval._BYTES", 1)
    one_by_one = PreValProbe().fit(*digits)
    np.testing.assert_allclose(one_by_one.scores_, whole.scores_, rtol=1e-5)
    np.testing.assert_allclose(one_by_one.coef_, whole.coef_, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("start", [1e-9, 1.0, 1e9])
def test_the_scale_stays_within_its_limits(start):
    """Perfect predictions want an infinite scale, useless ones none."""
    moves, labels = np.array([[1.0, -1], [-1, 1]]), np.array([0, 1])
    share = np.full(2, 0.5)
    assert fit_scale(moves, np.zeros(2), labels, share, start=start)[0] > 10
    assert fit_scale(-moves, np.zeros(2), labels, share, start=start)[0] == pytest.approx(1e-6, rel=1e-3)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"alphas": [-1.0]}, InputError),
        ({"X": np.full((20, 2), np.nan)}, NonFiniteError),
        ({"y": np.zeros(20)}, SingleClassError),
    ],
)
def test_bad_input(change, error):
    arguments = {"X": np.eye(20, 2), "y": np.arange(20) % 2, "alphas": [1.0]} | change
    with pytest.raises(error):
        PreValProbe(arguments["alphas"]).fit(arguments["X"], arguments["y"])


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_groups_are_left_out_whole(classes, class_weight):
    """Against ridge regressions refitted without each fold of groups."""
    rng = np.random.default_rng(classes)
    groups = np.repeat(np.arange(20), 3)
    y = rng.integers(0, classes, 20)[groups]
    X = rng.normal(size=(60, 6)) + 0.7 * np.eye(classes, 6)[y] + rng.normal(size=(20, 6))[groups]
    alphas = [0.1, 10.0]
    probe = PreValProbe(alphas, class_weight=class_weight).fit(X, y, groups=groups)
    targets = np.where(y[:, None] == np.arange(classes), 1.0, -1.0)
    weights = np.ones(60) if class_weight is None else compute_sample_weight("balanced", y)
    pairs = inner_folds(y, groups)
    assert len(pairs) == 5
    centre = np.average(targets, axis=0, weights=weights)
    for alpha, score in zip(alphas, probe.scores_, strict=True):
        held_out = np.empty((60, classes))
        for fit, held in pairs:
            w = weights[fit] if class_weight is None else compute_sample_weight("balanced", y[fit])
            held_out[held] = Ridge(alpha).fit(X[fit], targets[fit], sample_weight=w).predict(X[held])
        moves = held_out - centre

        def loss(log_scale, moves=moves):
            logits = log_softmax(centre + np.exp(log_scale) * moves, axis=1)
            return -np.average(logits[np.arange(60), y], weights=weights)

        best = minimize_scalar(loss, bounds=(-14, 14), method="bounded", options={"xatol": 1e-10})
        assert score == pytest.approx(-best.fun, rel=1e-6)


def test_groups_of_one_row_are_leaving_out_one_row():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 3)), np.arange(40) % 2
    assert np.array_equal(PreValProbe().fit(X, y, np.arange(40)).scores_, PreValProbe().fit(X, y).scores_)


def test_copies_do_not_vouch_for_each_other():
    rng = np.random.default_rng(0)
    X, y = np.repeat(rng.normal(size=(60, 80)), 4, axis=0), np.repeat(rng.integers(0, 2, 60), 4)
    loose, grouped = PreValProbe().fit(X, y), PreValProbe().fit(X, y, np.arange(240) // 4)
    assert loose.scores_.max() > -0.3
    assert grouped.scores_.max() == pytest.approx(-np.log(2), abs=0.05)


def test_groups_that_cannot_be():
    X, y = np.eye(4), [0, 0, 1, 1]
    with pytest.raises(ShapeMismatchError, match="groups have shape"):
        PreValProbe().fit(X, y, [0, 1])
    with pytest.raises(InputError, match="no class has two groups"):
        PreValProbe().fit(X, y, y)
