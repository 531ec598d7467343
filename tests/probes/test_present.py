"""A scorer that fails where a class is held out in no fold judges by the classes that are there."""

import warnings

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.naive_bayes import GaussianNB

from tlengine.errors import InputError, ScoringWarning
from tlengine.probes import LinearProbe, LinearProbeCV, LinearSVMProbeCV, RidgeProbeCV, probe_grid
from tlengine.probes.present import PresentClasses

pytestmark = pytest.mark.filterwarnings("ignore::tlengine.errors.GridEdgeWarning")
NEEDY = ["roc_auc_ovr", "top_k_accuracy", "average_precision", "neg_brier_score", "d2_log_loss_score"]


@pytest.fixture(scope="module")
def single(digits):
    """Text labels of digits; of the 9 there is one row."""
    X, y = digits[0][:300] / 16 + np.random.default_rng(0).normal(size=(300, 64)) / 2, digits[1][:300]
    kept = np.setdiff1d(np.arange(300), np.flatnonzero(y == 9)[1:])
    return X[kept], np.array([f"d{k}" for k in y[kept]])


@pytest.mark.parametrize("scoring", NEEDY)
@pytest.mark.parametrize("multi_class", ["multinomial", "ovr"])
def test_a_class_that_is_held_out_in_no_fold(single, scoring, multi_class):
    with pytest.warns(ScoringWarning, match=f"'{scoring}' .* in 3 of 3 folds .*without 'd9'$") as told:
        probe = LinearProbeCV([1e-3, 1e-1], cv=3, scoring=scoring, multi_class=multi_class).fit(*single)
    assert [(one.category, one.filename) for one in told] == [(ScoringWarning, __file__)]
    assert np.isfinite(probe.scores_).all()


def test_the_score_is_that_of_probabilities_over_the_classes_that_are_there(single):
    X, y = single
    alone = int(np.flatnonzero(y == "d9")[0])
    order = np.random.default_rng(1).permutation(len(y))
    test = np.setdiff1d(order[:100], alone)
    fold = (np.setdiff1d(np.arange(len(y)), test), test)
    with pytest.warns(ScoringWarning, match="1 of 1 folds"):
        found = LinearProbeCV([0.1], cv=[fold], scoring="roc_auc_ovr", tol=1e-9).fit(X, y).scores_[0, 0]
    logits = LinearProbe(0.1, tol=1e-9).fit(X[fold[0]], y[fold[0]]).decision_function(X[test])[:, :9]
    assert found == pytest.approx(
        roc_auc_score(y[test], softmax(logits, axis=1), multi_class="ovr"), abs=1e-6
    )


@pytest.mark.parametrize("probe", [LinearSVMProbeCV, lambda Cs, **more: RidgeProbeCV(Cs, **more)])
def test_probes_of_scores(single, probe):
    with pytest.warns(ScoringWarning, match="without 'd9'"):
        found = probe([1e-3, 1e-1], cv=3, scoring="top_k_accuracy").fit(*single)
    assert np.isfinite(found.scores_).all()


def test_a_scorer_that_works_with_every_class_sees_every_class(single):
    seen = []

    def scorer(probe, X, y):
        seen.append(len(probe.classes_))
        return 0.5

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LinearProbeCV([0.1], cv=3, scoring=scorer).fit(*single)
    assert seen == [10] * 3


def test_where_it_fails_with_fewer_classes_too_the_hint_names_what_is_missing(single):
    def scorer(probe, X, y):
        raise ValueError(f"{len(probe.classes_)} classes")

    with pytest.raises(InputError, match="ValueError: 10 classes") as told:
        LinearProbeCV([0.1], cv=3, scoring=scorer).fit(*single)
    assert "fewer folds" in told.value.hint
    assert "'d9'" in told.value.hint


@pytest.mark.parametrize("probe", ["logistic", "preval", GaussianNB()])
def test_test_rows_of_a_grid_without_a_class(single, probe, tmp_path):
    X, y = single
    alone = np.flatnonzero(y == "d9")
    parts = np.union1d(np.arange(150), alone), np.setdiff1d(np.arange(150, len(y)), alone)
    options = {"seeds": [0], "split": parts, "progress": False, "resume": tmp_path / "grid"}
    for _ in range(2):
        with pytest.warns(
            ScoringWarning, match="'roc_auc_ovr' needs test rows of every class.*: 'd9'$"
        ) as told:
            (record,) = probe_grid(X, y, probe=probe, scoring=["roc_auc_ovr", "accuracy"], **options).records
        assert len(told) == 1
        assert 0.5 < record["roc_auc_ovr"] <= 1


def test_two_classes_of_many():
    X, y = np.random.default_rng(0).normal(size=(60, 3)), np.arange(60) % 3
    for multi_class in ("multinomial", "ovr"):
        probe = LinearProbe(multi_class=multi_class).fit(X, y)
        two = PresentClasses(probe, np.array([True, False, True]))
        whole = probe.predict_proba(X)[:, [0, 2]]
        np.testing.assert_allclose(two.predict_proba(X), whole / whole.sum(axis=1, keepdims=True))
        assert two.decision_function(X).shape == (60,)
        assert (two.predict(X) == np.where(whole[:, 1] > whole[:, 0], 2, 0)).all()
        assert np.isfinite(log_loss(y[y != 1], two.predict_proba(X[y != 1])))
