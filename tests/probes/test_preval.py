"""PreVal against the definition: ridge regressions refitted without each row, and scipy for the scale."""

import subprocess
import sys

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax
from sklearn.linear_model import Ridge
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.estimator_checks import parametrize_with_checks

from tests.probes.naive_scale import fit_scale
from tlengine import _core
from tlengine.data.folds import inner_folds
from tlengine.errors import InputError, NonFiniteError, ShapeMismatchError, SingleClassError
from tlengine.probes import LinearProbeCV, PreValProbe, from_pretrained


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
    probe = PreValProbe([1.0, 1e2]).fit(X, y)
    again = from_pretrained(probe.save_pretrained(tmp_path))
    np.testing.assert_array_equal(again.predict_proba(X), probe.predict_proba(X))
    assert again.temperature_ == probe.temperature_


def in_core(moves, base, labels, share, threads=1):
    """Scale and log-loss by the core, of predictions ``base + moves``."""
    predictions = np.ascontiguousarray((moves + base).T)[None]
    labels = labels.astype(np.uint32)
    scales, losses = _core.fit_scales(predictions, base, labels, None, share, threads)
    return scales[0], losses[0]


def predictions(rows, classes, use, seed):
    """Moves of some use, centre, labels and weights."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, rows).astype(np.uint32)
    moves = 0.1 * rng.normal(size=(rows, classes)) + use * (labels[:, None] == np.arange(classes))
    share = rng.random(rows) + 0.1
    return moves, rng.normal(size=classes) / 3, labels, share / share.sum()


@pytest.mark.parametrize(
    ("rows", "classes", "use"),
    [(200, 2, 0.02), (333, 3, 0.2), (500, 10, 0.1), (257, 100, 0.3), (64, 40, -0.1)],
)
def test_the_core_finds_the_scale_that_numpy_does(rows, classes, use):
    for seed in range(3):
        made = predictions(rows, classes, use, seed)
        scale, loss = in_core(*made)
        expected_scale, expected = fit_scale(*made)
        assert scale == pytest.approx(expected_scale, rel=1e-8 if use > 0 else 1e-3)
        assert loss == pytest.approx(expected, rel=1e-9)
        assert in_core(*made, threads=3) == (scale, loss)


def test_where_no_row_is_wrong_the_nearest_one_counts_as_wrong():
    """Ten rows right by 2 and one by 1.5: it is as if that one had the other label."""
    labels = np.arange(11) % 2
    lead = np.r_[np.full(10, 2.0), 1.5]
    moves = np.where(labels[:, None] == np.arange(2), 0.5, -0.5) * lead[:, None]
    share = np.full(11, 1 / 11)
    scale, loss = in_core(moves, np.zeros(2), labels, share)
    flipped = np.r_[labels[:10], 1 - labels[10]].astype(np.uint32)
    assert scale == pytest.approx(fit_scale(moves, np.zeros(2), flipped, share)[0], rel=1e-8)
    assert loss == pytest.approx(np.logaddexp(0, -scale * lead).mean(), rel=1e-8)


def test_the_nearest_row_does_not_blow_up_the_scale():
    """A lead of 1e-9, or a rival level up to rounding: neither asks for a scale at the limit of 1e6."""
    labels = np.arange(40) % 2
    moves = np.where(labels[:, None] == np.arange(2), 0.5, -0.5)
    share = np.full(40, 1 / 40)
    for lead in (1e-9, 6e-17, 0.0, -6e-17):
        moves[7] = [0.3, 0.3 + lead] if labels[7] else [0.3 + lead, 0.3]
        scale, loss = in_core(moves, np.zeros(2), labels, share)
        assert scale < 50
        assert loss == pytest.approx(np.log(2) / 40 + np.log1p(np.exp(-scale)) * 39 / 40, rel=1e-6)


def test_useless_predictions_are_at_the_lower_limit():
    moves, share = np.array([[-1.0, 1], [1, -1]]), np.full(2, 0.5)
    assert in_core(moves, np.zeros(2), np.array([0, 1]), share)[0] == pytest.approx(1e-6, rel=1e-3)


def crowded(rows, classes, noise, seed=0):
    """Rows of many classes, so many that the core keeps moments instead of predictions."""
    rng = np.random.default_rng(seed)
    y = np.r_[np.arange(classes), rng.integers(0, classes, rows - classes)]
    X = rng.normal(size=(classes, 40))[y] + noise * rng.normal(size=(rows, 40))
    return X.astype(np.float32), y


@pytest.mark.parametrize("noise", [0.2, 1.0, 30.0], ids=["easy", "usual", "hopeless"])
def test_many_classes_are_scaled_as_their_predictions_are(noise):
    """Beyond 16 MB of predictions, moments about a guess stand for them."""
    X, y = crowded(2_000, 160, noise)
    alphas = np.logspace(-2, 4, 7)
    assert len(X) * 160 * 8 * len(alphas) > 16 << 20
    probe = PreValProbe(alphas).fit(X, y)
    targets = np.where(y[:, None] == np.arange(160), 1.0, -1.0).T.copy()
    found = _core.solve_ridge(
        X, targets, np.ones(len(X)), None, alphas.tolist(), fit_intercept=True, leave_one_out=True,
        predictions=True, threads=1,
    )  # fmt: skip
    share, centre = np.full(len(X), 1 / len(X)), targets.mean(axis=1)
    for prediction, score, alpha in zip(found["prediction"], probe.scores_, alphas, strict=True):
        scale, loss = fit_scale((prediction - centre[:, None]).T, centre, y, share)
        assert score == pytest.approx(-loss, rel=1e-9)
        if alpha == probe.alpha_:
            assert probe.temperature_ == pytest.approx(1 / scale, rel=1e-8)


def test_threads_change_nothing():
    X, y = crowded(2_000, 160, 1.0)
    one, three = (PreValProbe(np.logspace(-2, 4, 7), n_jobs=n).fit(X, y) for n in (1, 3))
    np.testing.assert_array_equal(one.scores_, three.scores_)
    np.testing.assert_array_equal(one.coef_, three.coef_)


@pytest.mark.parametrize("groups", [None, np.arange(200) // 2])
def test_several_labels_share_one_temperature(groups):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 5))
    Y = X @ rng.normal(size=(5, 3)) + rng.normal(size=(200, 3)) > 0.5
    probe = PreValProbe([1.0, 10.0]).fit(X, Y.astype(int), groups=groups)
    signs = np.where(Y, 1.0, -1.0)
    centre, losses = signs.mean(axis=0), []
    pairs = (
        [(np.delete(np.arange(200), i), [i]) for i in range(200)]
        if groups is None
        else inner_folds(np.zeros(200, int), groups)
    )
    for alpha in [1.0, 10.0]:
        held_out = np.empty((200, 3))
        for fit, held in pairs:
            held_out[held] = Ridge(alpha).fit(X[fit], signs[fit]).predict(X[held])

        def loss(scale, held_out=held_out):
            return np.logaddexp(0, -2 * signs * (centre + scale * (held_out - centre))).mean()

        losses.append(minimize_scalar(loss, bounds=(1e-3, 1e3), method="bounded", options={"xatol": 1e-9}))
    np.testing.assert_allclose(-probe.scores_, [found.fun for found in losses], rtol=1e-8)
    best = int(np.argmin([found.fun for found in losses]))
    assert probe.alpha_ == [1.0, 10.0][best]
    assert probe.temperature_ == pytest.approx(1 / losses[best].x, rel=1e-5)
    fitted = Ridge(probe.alpha_).fit(X, signs).predict(X)
    logits = 2 * (centre + (fitted - centre) / probe.temperature_)
    np.testing.assert_allclose(probe.predict_proba(X), expit(logits), atol=1e-10)
    np.testing.assert_array_equal(probe.predict(X), probe.predict_proba(X) > 0.5)
    assert probe.multilabel_
    assert probe.predict(X).shape == Y.shape


def test_labels_keep_the_names_of_their_columns(tmp_path):
    import pandas as pd

    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(50, 3)), pd.DataFrame({"cat": np.arange(50) % 2, "dog": np.arange(50) % 3 > 1})
    probe = PreValProbe().fit(X, Y)
    assert probe.classes_.tolist() == ["cat", "dog"]
    again = from_pretrained(probe.save_pretrained(tmp_path))
    np.testing.assert_array_equal(again.predict_proba(X), probe.predict_proba(X))
    assert again.multilabel_
    assert again.classes_.tolist() == ["cat", "dog"]


def test_logarithms_of_probabilities_do_not_underflow():
    X, y = crowded(300, 20, 0.01)
    probe = PreValProbe([1e-3]).fit(X, y)
    logs = probe.predict_log_proba(1e3 * X)
    assert np.isfinite(logs).all()
    assert logs.min() < -800
    np.testing.assert_allclose(np.exp(probe.predict_log_proba(X)), probe.predict_proba(X))
    pair = PreValProbe().fit(X[:20], y[:20] % 2)
    np.testing.assert_allclose(np.exp(pair.predict_log_proba(X)), pair.predict_proba(X))


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


def test_many_classes_take_hardly_more_memory_than_ridge():
    def peak(probe):
        """The most memory, in kB, of a process that fits it; predictions of one alpha are 48 MB."""
        code = f"""
import resource, numpy as np
from tlengine.probes import {probe}
rng = np.random.default_rng(0)
y = np.arange(20_000) % 300
X = (rng.normal(size=(20_000, 48)) + rng.normal(size=(300, 48))[y]).astype(np.float32)
{probe}(np.logspace(-1, 2, 4)).fit(X, y)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        return int(found.stdout)

    assert peak("PreValProbe") < 1.2 * peak("RidgeProbeCV")
