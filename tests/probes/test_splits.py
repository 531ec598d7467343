"""Folds of the user's own: rows that are named twice count twice, as in scikit-learn; odd ones are named."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.metrics import f1_score, log_loss

from tlengine.errors import InputError, ShapeMismatchError
from tlengine.probes import (
    LinearProbeCV,
    LinearSVMProbeCV,
    RidgeProbeCV,
    RidgeRegressor,
    probe_path,
)

rng = np.random.default_rng(0)
X = rng.normal(size=(80, 4))
Y = (X[:, 0] + rng.normal(size=80) > 0).astype(int) + (X[:, 1] > 1)
WEIGHT = rng.integers(1, 4, size=80).astype(float)
BOOTSTRAP = [(rng.integers(0, 50, size=60), rng.integers(50, 80, size=40)) for _ in range(3)]
pytestmark = pytest.mark.filterwarnings("ignore::tlengine.errors.GridEdgeWarning")


@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.parametrize("multi_class", ["multinomial", "ovr"])
def test_a_bootstrap_is_what_scikit_learn_makes_of_its_rows(weight, multi_class):
    found = LinearProbeCV([0.5], cv=BOOTSTRAP, tol=1e-10, multi_class=multi_class).fit(X, Y, weight)
    counted = np.ones(80) if weight is None else weight
    for (train, test), accuracy, score in zip(BOOTSTRAP, found.accuracy_, found.scores_, strict=True):
        if multi_class == "multinomial":
            other = LogisticRegression(C=0.5, tol=1e-10, max_iter=10_000)
            other.fit(X[train], Y[train], counted[train])
            proba = other.predict_proba(X[test])
            assert score[0] == pytest.approx(-log_loss(Y[test], proba, sample_weight=counted[test]), abs=1e-5)
            assert accuracy[0] == pytest.approx(other.score(X[test], Y[test], counted[test]))
        else:
            copies = LinearProbeCV(
                [0.5], cv=[(np.arange(60), np.arange(60, 100))], multi_class="ovr", tol=1e-10
            )
            rows = np.concatenate([train, test])
            copies.fit(X[rows], Y[rows], counted[rows])
            assert score[0] == pytest.approx(copies.scores_[0, 0], abs=1e-5)


def test_so_do_scorers_other_heads_and_several_labels():
    scored = LinearProbeCV([0.5], cv=BOOTSTRAP, scoring="f1_macro", tol=1e-8).fit(X, Y)
    for (train, test), score in zip(BOOTSTRAP, scored.scores_, strict=True):
        other = LogisticRegression(C=0.5, tol=1e-10, max_iter=10_000).fit(X[train], Y[train])
        assert score[0] == pytest.approx(f1_score(Y[test], other.predict(X[test]), average="macro"))
    rows = np.concatenate(BOOTSTRAP[0])
    copies, L = [(np.arange(60), np.arange(60, 100))], np.stack([Y > 0, X[:, 2] > 0], axis=1)
    svm = LinearSVMProbeCV([0.1], cv=BOOTSTRAP[:1], tol=1e-8)
    assert (
        svm.fit(X, Y).scores_[0, 0] == LinearSVMProbeCV([0.1], cv=copies).fit(X[rows], Y[rows]).scores_[0, 0]
    )
    own, twice = (
        probe_path(*a, [0.1], folds=f) for a, f in (((X, L), BOOTSTRAP[:1]), ((X[rows], L[rows]), copies))
    )
    np.testing.assert_allclose(own.log_loss_, twice.log_loss_, rtol=1e-4)


def test_ridge_counts_them_too():
    (train, test), *_ = BOOTSTRAP
    own = RidgeProbeCV([1.0], cv=BOOTSTRAP[:1], scoring="accuracy").fit(X, Y)
    other = RidgeClassifier(1.0).fit(X[train], Y[train])
    assert own.scores_[0, 0] == pytest.approx(other.score(X[test], Y[test]))
    numbers = X @ [1.0, 2.0, 0.0, -1.0] + rng.normal(size=80)
    found = RidgeRegressor([1.0], cv=BOOTSTRAP[:1]).fit(X, numbers)
    line = Ridge(1.0).fit(X[train], numbers[train])
    assert found.loo_error_[0, 0] == pytest.approx(((line.predict(X[test]) - numbers[test]) ** 2).mean())


def test_a_row_that_is_dropped_is_in_no_fold():
    """Numbers are those of the rows that were given, also where some count nothing."""
    weight = np.where(np.arange(80) % 5 == 0, 0.0, 1.0)
    kept = [(train[weight[train] > 0], test[weight[test] > 0]) for train, test in BOOTSTRAP]
    for probe in (LinearProbeCV([0.5], tol=1e-8), RidgeRegressor([1.0])):
        y = Y.astype(float) if isinstance(probe, RidgeRegressor) else Y
        attribute = "loo_error_" if isinstance(probe, RidgeRegressor) else "scores_"
        one, other = (
            getattr(probe.set_params(cv=cv).fit(X, y, weight), attribute).copy() for cv in (BOOTSTRAP, kept)
        )
        np.testing.assert_allclose(one, other, rtol=1e-9)


@pytest.mark.parametrize("probe", [LinearProbeCV([0.5]), RidgeProbeCV([1.0]), RidgeRegressor([1.0])])
@pytest.mark.parametrize(
    ("fold", "error", "match"),
    [
        (([0, 1, 80], [2]), InputError, "fold 1 names row 80; rows are 0 to 79"),
        (([0, 1, -81], [2]), InputError, "fold 1 names row -81"),
        (([0.5, 1.5], [2]), InputError, "fold 1 has a part of dtype float64"),
        (([[0, 1]], [2]), InputError, r"shape \(1, 2\)"),
        ((np.ones(79, bool), [2]), ShapeMismatchError, "fold 1 has a mask of 79, there are 80 rows"),
    ],
)
def test_what_names_no_row_is_refused_with_its_fold(probe, fold, error, match):
    good = (np.arange(50), np.arange(50, 80))
    with pytest.raises(error, match=match):
        probe.set_params(cv=[good, fold]).fit(X, Y)


def test_masks_and_numbers_from_the_end():
    train, test = np.arange(80) < 50, np.arange(80) >= 50
    named = LinearProbeCV([0.5], cv=[(np.arange(50), np.arange(-30, 0))]).fit(X, Y)
    assert LinearProbeCV([0.5], cv=[(train, test)]).fit(X, Y).scores_ == named.scores_
